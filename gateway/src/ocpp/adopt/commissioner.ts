import { type Clock, type OcppVersion, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../../log.ts'
import type { SecurityProfile } from '../../store/adopted-stations.ts'
import type { Csms } from '../csms.ts'
import type { OcppConfig } from '../ocpp-config.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import { type AdoptionStep, secureStation } from './secure-station.ts'
import { applySetting, type SettingOutcome, settingsOf } from './station-settings.ts'
import { wantedSettings } from './wanted-settings.ts'

export interface CommissionerParts {
  readonly config: OcppConfig
  readonly csms: Csms
  readonly clock: Clock
  readonly log: Log
  /** From a station's first word to our first look at its settings: it has more to tell at the start. */
  readonly settleMs?: number
}

export interface AdoptOrder {
  readonly station: string
  /** Left out: as it is. */
  readonly profile?: SecurityProfile | undefined
  /** How long to wait for a station that is not there. */
  readonly waitSeconds: number
}

/** What an adoption has come to. */
export interface AdoptionReport {
  readonly station: string
  readonly version?: OcppVersion
  readonly steps: readonly AdoptionStep[]
  readonly settings: readonly SettingOutcome[]
}

const comesBackWithinMs = 90_000
const statusWithinMs = 3_000
const lookEveryMs = 50

/** Lets stations in for the installer, sets them up, and sets them up again when they have forgotten it. */
export class Commissioner {
  readonly #parts: CommissionerParts
  readonly #settleMs: number
  readonly #looking = new Map<string, NodeJS.Timeout>()
  readonly #busy = new Set<string>()

  constructor(parts: CommissionerParts) {
    this.#parts = parts
    this.#settleMs = parts.settleMs ?? 5_000
  }

  stop(): void {
    for (const timer of this.#looking.values()) clearTimeout(timer)
    this.#looking.clear()
  }

  /** Lets a station in, sets it up, and gives it what its security profile needs. */
  async adopt({ station, profile, waitSeconds }: AdoptOrder): Promise<AdoptionReport> {
    const { csms, config, clock, log } = this.#parts
    this.#checkOrder(station, profile)
    const isListed = config.stations.some(({ id }) => id === station)
    if (!isListed) csms.adopted.add(station, clock.now())
    const wasThere = csms.versionOf(station) !== undefined
    if (!(await csms.waitFor(station, waitSeconds * 1000))) {
      return { station, steps: [this.#tellAbsence(station, isListed)], settings: [] }
    }
    this.#busy.add(station)
    try {
      if (!wasThere) await new Promise((resolve) => setTimeout(resolve, this.#settleMs).unref())
      const version = csms.versionOf(station) ?? 'ocpp1.6'
      const settings = await this.#apply(station, version)
      if (!isListed) csms.adopted.change(station, { settings: settings.flatMap(toTaken) })
      const steps = [...(await this.#setClock(station, version))]
      if (profile !== undefined) steps.push(...(await this.#secure(station, version, profile)))
      log.info('ocpp.station.adopted', { station, version, profile })
      return { station, version, steps, settings }
    } finally {
      this.#busy.delete(station)
    }
  }

  /** Takes an adoption back; gives whether there was one. */
  abandon(station: string): boolean {
    const { csms, log } = this.#parts
    const wasAdopted = csms.adopted.remove(station)
    if (wasAdopted) {
      log.info('ocpp.station.abandoned', { station })
      csms.disconnect(station, 'no longer adopted')
    }
    return wasAdopted
  }

  /** A station talks: what it has forgotten is set again, a little later. */
  ready(station: string): void {
    const { csms, log } = this.#parts
    const settings = csms.adopted.find(station)?.settings ?? []
    if (settings.length === 0 || this.#busy.has(station)) return
    clearTimeout(this.#looking.get(station))
    const timer = setTimeout(() => {
      this.#looking.delete(station)
      this.#restore(station).catch((error: unknown) =>
        log.warn('ocpp.station.unrestored', { station, ...errorFields(error) }),
      )
    }, this.#settleMs)
    this.#looking.set(station, timer)
  }

  #checkOrder(station: string, profile: SecurityProfile | undefined): void {
    const { config, csms } = this.#parts
    if (profile === undefined) return
    if (config.stations.some(({ id }) => id === station)) {
      throw new WattError('config/invalid', `${station} is in the configuration: its security profile stands there`)
    }
    if (profile > 1 && config.tls === undefined) {
      throw new WattError('config/invalid', `security profile ${profile} needs ocpp.tls in the configuration`)
    }
    if (profile === 3 && (csms.certificates === undefined || config.tls?.clientCaFile === undefined)) {
      const message = 'security profile 3 needs ocpp.authority and ocpp.tls.clientCaFile in the configuration'
      throw new WattError('config/invalid', message)
    }
  }

  #tellAbsence(station: string, isListed: boolean): AdoptionStep {
    const refused = this.#parts.csms.stations().find(({ id }) => id === station)?.refused
    const known = isListed ? 'it is in the configuration' : 'it is let in from now on'
    const why = refused === undefined ? 'it has not been here' : `last time: ${refused.reason}. ${refused.advice}`
    return { ok: false, words: `${known}, but it is not connected: ${why} Run this again when it is` }
  }

  async #apply(station: string, version: OcppVersion): Promise<readonly SettingOutcome[]> {
    const settings = settingsOf(version, this.#askOf(station))
    const outcomes: SettingOutcome[] = []
    for (const wanted of wantedSettings(version, this.#parts.config)) {
      const outcome = await applySetting(settings, wanted)
      const isNothing = wanted.isOptional && (outcome.outcome === 'unknown' || outcome.outcome === 'refused')
      if (!isNothing) outcomes.push(outcome)
      if (this.#parts.csms.versionOf(station) === undefined) break
    }
    return outcomes
  }

  // The answers to BootNotification and Heartbeat set the clock. The time of the status that follows shows it.
  async #setClock(station: string, version: OcppVersion): Promise<readonly AdoptionStep[]> {
    const { csms } = this.#parts
    const ask = this.#askOf(station)
    try {
      await ask('TriggerMessage', { requestedMessage: 'Heartbeat' })
      csms.forgetClock(station)
      const place = version === 'ocpp1.6' ? { connectorId: 1 } : { evse: { id: 1, connectorId: 1 } }
      await ask('TriggerMessage', { requestedMessage: 'StatusNotification', ...place })
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      return [{ ok: true, words: `its clock was not looked at: ${error.message}` }]
    }
    const until = performance.now() + statusWithinMs
    for (;;) {
      const ahead = csms.stations().find(({ id }) => id === station)?.clockAheadSeconds
      if (ahead !== undefined) return [tellClock(ahead)]
      if (performance.now() > until) return [{ ok: true, words: 'its clock is not known: its status has no time' }]
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
    }
  }

  async #secure(station: string, version: OcppVersion, profile: SecurityProfile): Promise<readonly AdoptionStep[]> {
    const { csms } = this.#parts
    if (profile === 0) {
      csms.adopted.change(station, {
        profile: 0,
        nextProfile: undefined,
        passwordHash: undefined,
        nextPasswordHash: undefined,
      })
      return [{ ok: true, words: 'it needs no password: whoever is in this network can say that it is this station' }]
    }
    const ask = this.#askOf(station)
    const steps = await secureStation({
      stationId: station,
      version,
      profile,
      adopted: csms.adopted,
      certificates: csms.certificates,
      settings: settingsOf(version, ask),
      ask,
      url: this.#urlFor(station, profile),
    })
    if (!steps.every(({ ok }) => ok)) return steps
    const isBack = await csms.haveConnectAgain(station, 'connect with the new security profile', comesBackWithinMs)
    const holds = csms.adopted.find(station)
    if (
      isBack &&
      holds?.profile === profile &&
      holds.nextProfile === undefined &&
      holds.nextPasswordHash === undefined
    ) {
      return [...steps, { ok: true, words: `it has shown it: security profile ${profile} is demanded from now on` }]
    }
    const words = `it has not shown it yet: it is let in as before until it connects with security profile ${profile}`
    return [...steps, { ok: false, words }]
  }

  #urlFor(station: string, profile: SecurityProfile): string | undefined {
    const { config, csms } = this.#parts
    const address = csms.addressFor(station)?.replace(/^::ffff:/, '')
    if (address === undefined) return undefined
    const host = config.tls?.publicHost ?? (address.includes(':') ? `[${address}]` : address)
    const [port, tlsPort] = csms.ports
    return profile === 1 ? `ws://${host}:${port}` : `wss://${host}:${tlsPort}`
  }

  async #restore(station: string): Promise<void> {
    const { csms, log } = this.#parts
    const version = csms.versionOf(station)
    if (version === undefined || this.#busy.has(station)) return
    const settings = settingsOf(version, this.#askOf(station))
    const restored: string[] = []
    for (const { name, value } of csms.adopted.find(station)?.settings ?? []) {
      const { outcome } = await applySetting(settings, { name, values: [value], isOptional: true })
      if (outcome === 'failed') return // it went away, and tells when it is back
      if (outcome !== 'kept') restored.push(`${name}: ${outcome}`)
    }
    if (restored.length > 0) log.info('ocpp.station.restored', { station, settings: restored })
  }

  #askOf(station: string) {
    return (action: string, payload: OcppPayload) => this.#parts.csms.call(station, action, payload)
  }
}

function toTaken({ name, outcome, value }: SettingOutcome) {
  const isTaken = ['kept', 'taken', 'taken-other', 'after-restart'].includes(outcome)
  return isTaken && value !== undefined ? [{ name, value }] : []
}

const soundClockSeconds = 60

function tellClock(aheadSeconds: number): AdoptionStep {
  const off = Math.abs(aheadSeconds)
  if (off <= soundClockSeconds) return { ok: true, words: 'its clock is right' }
  const direction = aheadSeconds > 0 ? 'ahead' : 'behind'
  // Whole hours, or half ones: a zone, not a clock.
  const isZone = off > 1_700 && Math.abs(off - Math.round(off / 1_800) * 1_800) <= soundClockSeconds
  const cause = isZone
    ? 'by whole or half hours, as if it took local time for UTC: set its time zone, or timeZone under this station'
    : 'and it does not take ours: look for a setting of its time source'
  return { ok: false, words: `its clock is ${off} s ${direction}, ${cause}` }
}
