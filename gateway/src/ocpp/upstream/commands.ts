import { isTransactionAction, type OcppVersion, ocppActions, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../../log.ts'
import type { UpstreamTransactions } from '../../store/upstream-transactions.ts'
import { CallRefused } from '../call-refused.ts'
import { fieldsOf } from '../json-place.ts'
import { findSchema, tellFaults } from '../schemas.ts'
import type { StationAnswer } from '../station-connection.ts'
import type { Authorizer, OcppPayload } from '../transaction-sink.ts'
import { type CommandGroup, findOwnership, groupOf } from './command-groups.ts'
import { mapCommand } from './command-ids.ts'
import type { LocalRules, Objection, UpstreamCommand } from './local-rules.ts'
import { hideSecrets, isOwnedKey, isOwnedVariable } from './owned-settings.ts'
import { capProfile } from './profile-cap.ts'
import { refuseCommand } from './refusals.ts'

/** What the gate for commands works with. */
export interface CommandParts {
  readonly allow: readonly CommandGroup[]
  readonly rules: LocalRules
  readonly authorizer: Authorizer
  readonly transactions: UpstreamTransactions
  readonly log: Log
  callStation(stationId: string, action: string, payload: OcppPayload): Promise<StationAnswer>
}

/** Passes commands of upstream on to stations, or refuses them with the local rule that forbids them. */
export class CommandGate {
  readonly #parts: CommandParts

  constructor(parts: CommandParts) {
    this.#parts = parts
  }

  /** Gives the answer for upstream; throws `CallRefused` where that is a CALLERROR. */
  async pass(asked: Omit<UpstreamCommand, 'payload'> & { readonly payload: unknown }): Promise<OcppPayload> {
    const command = { ...asked, payload: checkCommand(asked.version, asked.action, asked.payload) }
    const { stationId, action } = command
    const forbidden = this.#findObjection(command)
    if (forbidden !== undefined) return this.#refuse(command, forbidden)
    const mapped = mapCommand(command, this.#parts.transactions)
    if (!mapped.ok) return this.#refuse(command, mapped)
    const { payload } = mapped
    const objection = this.#parts.rules.objectionTo({ ...command, payload }) ?? this.#findStranger(command)
    if (objection !== undefined) return this.#refuse(command, objection)
    if (action === 'SetVariables') return await this.#setVariables(command)
    this.#capProfile(stationId, action, payload)
    return hideSecrets(await this.#ask(command, payload))
  }

  #refuse(command: UpstreamCommand, objection: Objection): OcppPayload {
    const { stationId, action } = command
    this.#parts.log.info('ocpp.upstream.command.refused', { station: stationId, action, reason: objection.reason })
    return refuseCommand({ ...command, ...objection })
  }

  // What holds everywhere; what holds here and now is asked for with the ids that are known here.
  #findObjection(command: UpstreamCommand): Objection | undefined {
    const { action, payload } = command
    const ownership = findOwnership(action)
    if (ownership !== undefined) return { reason: ownership }
    const group = groupOf(action)
    if (group === undefined || !this.#parts.allow.includes(group)) {
      return { reason: `the configuration of the gateway does not allow '${group ?? action}' from upstream` }
    }
    if (action === 'ChangeConfiguration' && isOwnedKey(String(payload['key']))) {
      return { reason: `the gateway itself sets ${String(payload['key'])}` }
    }
    if (/^Sign/.test(String(payload['requestedMessage']))) {
      return { reason: 'the gateway is the authority for certificates of its stations' }
    }
    return undefined
  }

  // Whoever is begun or kept a place for from afar must be known here like everybody else: no session hangs on
  // upstream's word.
  #findStranger({ stationId, action, payload }: UpstreamCommand): Objection | undefined {
    if (groupOf(action) !== 'start' && action !== 'ReserveNow') return undefined
    const { idToken, type } = fieldsOf(payload['idToken']) ?? { idToken: payload['idTag'] }
    const presented = { stationId, idToken: String(idToken), ...(typeof type === 'string' ? { type } : {}) }
    const { status } = this.#parts.authorizer.authorize(presented)
    return status === 'Accepted' ? undefined : { reason: `the list of drivers says '${status}' to this token` }
  }

  #capProfile(stationId: string, action: string, payload: OcppPayload): void {
    const most = this.#parts.rules.mostAmps(stationId)
    const profile = payload['csChargingProfiles'] ?? payload['chargingProfile']
    if (most === undefined || profile === undefined || action === 'GetChargingProfiles') return
    const lowered = capProfile(profile, most)
    if (lowered > 0)
      this.#parts.log.info('ocpp.upstream.profile.capped', { station: stationId, mostAmps: most, lowered })
  }

  // Each variable has its own answer: those that are ours are refused, the others are passed on.
  async #setVariables(command: UpstreamCommand): Promise<OcppPayload> {
    const list: unknown = command.payload['setVariableData']
    const entries: unknown[] = Array.isArray(list) ? list : []
    const free = entries.filter((entry) => !isOwnedVariable(entry))
    if (free.length < entries.length) {
      const reason = `the gateway itself sets ${entries.length - free.length} of these variables`
      this.#parts.log.info('ocpp.upstream.command.refused', {
        station: command.stationId,
        action: 'SetVariables',
        reason,
      })
    }
    const answer = free.length === 0 ? {} : await this.#ask(command, { ...command.payload, setVariableData: free })
    const results = answer['setVariableResult']
    const theirs: unknown[] = Array.isArray(results) ? results : []
    // A station that answers less than it was asked has not done it.
    const setVariableResult = entries.map((entry) =>
      isOwnedVariable(entry) ? rejectVariable(entry) : (theirs.shift() ?? rejectVariable(entry)),
    )
    return { setVariableResult }
  }

  async #ask(command: UpstreamCommand, payload: OcppPayload): Promise<OcppPayload> {
    const { stationId, action } = command
    try {
      const { payload: answer, faults } = await this.#parts.callStation(stationId, action, payload)
      const fields = fieldsOf(answer)
      if (fields === undefined) throw new CallRefused('InternalError', 'the station gave no readable answer')
      if (faults.length > 0) this.#parts.log.debug('ocpp.upstream.answer.odd', { station: stationId, action, faults })
      return fields
    } catch (error) {
      if (error instanceof CallRefused) throw error
      // It never left: a rule of this site stands against it, such as a reservation.
      if (error instanceof WattError && !error.code.startsWith('station/')) {
        return this.#refuse(command, {
          reason: error.message,
          ...(action === 'ReserveNow' ? { status: 'Occupied' } : {}),
        })
      }
      this.#parts.log.info('ocpp.upstream.command.failed', { station: stationId, action, ...errorFields(error) })
      throw toRefusal(error)
    }
  }
}

function rejectVariable(entry: unknown): OcppPayload {
  const { component, variable, attributeType } = fieldsOf(entry) ?? {}
  return {
    component,
    variable,
    ...(attributeType === undefined ? {} : { attributeType }),
    attributeStatus: 'Rejected',
    attributeStatusInfo: { reasonCode: 'NotEnabled', additionalInfo: 'the gateway itself sets it' },
  }
}

function toRefusal(error: unknown): CallRefused {
  if (!(error instanceof WattError)) return new CallRefused('InternalError', '')
  // What the station said in its own words; of everything else upstream learns that it did not get through.
  return new CallRefused(error.code === 'station/refused' ? 'NotSupported' : 'GenericError', error.message)
}

function checkCommand(version: OcppVersion, action: string, payload: unknown): OcppPayload {
  const schema = ocppActions[version].csms.includes(action) ? findSchema(version, action, 'request') : undefined
  const fields = fieldsOf(payload)
  if (schema === undefined || isTransactionAction(action)) {
    throw new CallRefused('NotImplemented', `${version} has no ${action.slice(0, 50)} to a station`)
  }
  const faults = schema.faults(payload)
  if (faults.length === 0 && fields !== undefined) return fields
  throw new CallRefused(version === 'ocpp1.6' ? 'FormationViolation' : 'FormatViolation', tellFaults(faults).join('; '))
}
