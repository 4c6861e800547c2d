import { type Clock, makeTimestamp, type OneTimeCodeKey, WattError } from '@wattline/protocol'
import type { Log } from '../log.ts'
import { type Scheduler, systemScheduler } from '../modbus/scheduler.ts'
import { fieldsOf } from '../ocpp/json-place.ts'
import type { StationAnswer } from '../ocpp/station-connection.ts'
import type { StationObserver } from '../ocpp/station-observer.ts'
import type { Authorizer, OcppPayload } from '../ocpp/transaction-sink.ts'
import type { ChargingPlace } from '../sessions/session-signer.ts'
import type { Store } from '../store/database.ts'
import { numberAtStation, type Permit, PermitStore } from '../store/permits.ts'
import type { DriverCommand } from './driver-commands.ts'
import { type DriversConfig, driversDefaults } from './drivers-config.ts'
import { type ListAnswer, ListKeeper } from './list-keeper.ts'
import { LocalLists } from './local-list.ts'
import { applyOfflineRule } from './offline-rule.ts'
import { PassedReservations } from './passed-reservations.ts'
import { type HolderTerms, Places } from './places.ts'
import { RefusedStarts } from './refused-starts.ts'
import { Remote } from './remote.ts'
import { ReservationDesk, type Reserved } from './reservation-desk.ts'
import { RunningSessions } from './running-sessions.ts'
import { makeSecret } from './secrets.ts'
import { placesTold, type StationLink } from './station-link.ts'
import { tellPlace } from './tell-place.ts'

export interface DriversParts {
  /** Without it nobody is known by a card; what is reserved or begun by remote works. */
  readonly config: DriversConfig | undefined
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly link: StationLink
  /** Whether the ledger can be reached, as far as is known: the site's rule counts while it cannot. */
  readonly isOnline: () => boolean
  readonly scheduler?: Scheduler
}

/** For whoever starts or reserves on another's behalf: an operator's CSMS, a page for drivers. */
export interface Reserving {
  /** Whether a place, or anything at a station (0), is kept for somebody. */
  isReserved(place: ChargingPlace): boolean
  /** Whether it is kept for whoever presents this token. */
  isReservedFor(place: ChargingPlace, idToken: string, type?: string): boolean
  /** Keeps a place; throws `place/reserved` where it is taken, by the gateway's or by the station's word. */
  reserve(place: ChargingPlace, holder: HolderTerms, expiresAtMs: number): Promise<Reserved>
  cancel(reservation: number): Promise<Permit>
  /** Sends a request of others, with ids as the station knows them; what it reserves is kept here as well (SPEC-143). */
  passOn(stationId: string, action: string, payload: OcppPayload): Promise<StationAnswer>
  /** What stands against a request of others, with OCPP's word for it; undefined where nothing does. */
  objectionTo(stationId: string, action: string, payload: OcppPayload): Objection | undefined
}

interface Objection {
  readonly reason: string
  readonly status?: string
}

/** Who may charge where: the list, reservations, remote start and stop. */
export interface Drivers extends StationObserver {
  readonly authorizer: Authorizer
  readonly reserving: Reserving
  readonly remote: Remote
  readonly places: Places
  /** Throws where a request to a station would begin a session at a place that is kept for somebody else. */
  checkCall(stationId: string, action: string, payload: OcppPayload): void
  run(command: DriverCommand): Promise<unknown>
  /** Forgets what was over by this time. */
  prune(beforeMs: number): void
  stop(): void
}

/** A list that was copied into place is in force after this long at the latest. */
const lookEveryMs = 5_000
const pruneChunk = 1_000

export function openDrivers(parts: DriversParts): Drivers {
  const { config, store, clock, log, link, scheduler = systemScheduler } = parts
  const keeper = config && new ListKeeper({ ...config, store, clock, log })
  const { known, knownDriver } = rulesOf(parts, keeper)
  const placesOf = (stationId: string) => placesTold(link, stationId)
  const onUsed = ({ number, stationId: station }: Permit) => log.info('reservation.used', { number, station })
  const running = new RunningSessions(store)
  const refused = new RefusedStarts({ log, scheduler, link, running })
  const places = new Places({
    store,
    clock,
    elapsedMs: () => scheduler.now(),
    known,
    placesOf,
    onUsed,
    onStart: (presented, status) => {
      const { stationId: station, connectorId: connector } = presented
      if (status !== 'Accepted') {
        const reserved = connector !== undefined && places.isReserved({ stationId: station, connectorId: connector })
        log.info('driver.refused', { station, connector, status, reserved })
      }
      refused.judged(presented, status === 'Accepted')
    },
  })
  const desk = new ReservationDesk({ store, clock, log, scheduler, places, link })
  const passed = new PassedReservations({ store, clock, log, places, link })
  const remote = new Remote({ places, link, known, knownDriver, running })
  const lists = openLists({ ...parts, scheduler }, keeper)
  const look = () => {
    if (keeper?.look() === true) for (const { id } of link.stations()) lists?.due(id)
    stopLooking = scheduler.after(lookEveryMs, look)
  }
  let stopLooking = keeper === undefined ? () => {} : scheduler.after(lookEveryMs, look)
  const isBack = (stationId: string) => {
    desk.stationIsBack(stationId)
    lists?.due(stationId)
  }
  return {
    authorizer: places,
    reserving: {
      isReserved: (place) => places.isReserved(place),
      isReservedFor: (place, idToken, type) => places.isReservedFor(place, idToken, type),
      reserve: (place, holder, expiresAtMs) => desk.reserve(place, holder, expiresAtMs),
      cancel: (reservation) => desk.cancel(reservation),
      passOn: (stationId, action, payload) => passed.passOn(stationId, action, payload),
      objectionTo: (stationId, action, payload) =>
        findObjection(places, stationId, action, payload) ?? findOwn(places, stationId, action, payload),
    },
    places,
    remote,
    checkCall: (stationId, action, payload) => checkCall(places, stationId, action, payload),
    connected: isBack,
    disconnected: () => {},
    heard: ({ stationId, action }, payload) => {
      if (action === 'BootNotification') isBack(stationId)
      if (action === 'ReservationStatusUpdate') passed.ended(stationId, Number(payload['reservationId']))
    },
    prune: (beforeMs) => void new PermitStore(store).prune(beforeMs, pruneChunk),
    run: (command) => runCommand(command, { places, desk, remote, config, clock }),
    stop: () => {
      stopLooking()
      refused.stop()
      desk.stop()
      lists?.stop()
    },
  }
}

function openLists(
  { config, store, log, scheduler, link }: DriversParts & { readonly scheduler: Scheduler },
  keeper: ListKeeper | undefined,
): LocalLists | undefined {
  if (config?.tokensFile === undefined || keeper === undefined) return undefined
  const find = (idToken: string, type?: string) => keeper.find(idToken, type)
  return new LocalLists({ tokensFile: config.tokensFile, store, log, scheduler, link, find })
}

// What the list says, under the site's rule for while the ledger is out of reach.
function rulesOf({ config, isOnline }: DriversParts, keeper: ListKeeper | undefined) {
  const byRule = (answer: ListAnswer): ListAnswer =>
    config === undefined || isOnline() ? answer : applyOfflineRule(answer, config)
  const known = (idToken: string, type?: string) => byRule(keeper?.find(idToken, type) ?? { status: 'Invalid' })
  // Without a list every account is as good as any; who may give commands here decides.
  const knownDriver = (driver: string): ListAnswer => {
    const answer = keeper === undefined ? ({ status: 'Accepted', driver } as const) : keeper.findDriver(driver)
    // A rule that lets strangers charge gives nobody's name to them.
    return answer.status === 'Accepted' ? byRule(answer) : answer
  }
  return { known, knownDriver }
}

function checkCall(places: Places, stationId: string, action: string, payload: OcppPayload): void {
  const objection = findObjection(places, stationId, action, payload)
  if (objection !== undefined) throw new WattError('place/reserved', `${action} not sent: ${objection.reason}`)
}

function findObjection(places: Places, stationId: string, action: string, payload: OcppPayload): Objection | undefined {
  const { idToken, type } = fieldsOf(payload['idToken']) ?? {}
  // Without one the station chooses, and may choose a place that is kept.
  const connectorId = Number(payload['connectorId'] ?? payload['evseId'] ?? 0)
  const place = { stationId, connectorId }
  const kept = places.reservationAt(place)
  if (kept === undefined) return undefined
  const reason = `${tellPlace(place)} is reserved for somebody else`
  if (action === 'ReserveNow') {
    return numberAtStation(kept) === Number(payload['reservationId'] ?? payload['id'])
      ? undefined
      : { reason, status: 'Occupied' }
  }
  if (action !== 'RemoteStartTransaction' && action !== 'RequestStartTransaction') return undefined
  const token = String(payload['idTag'] ?? idToken)
  return places.isReservedFor(place, token, typeof type === 'string' ? type : undefined) ? undefined : { reason }
}

// Others count their reservations by themselves, and one of the same number would take our place at the station.
function findOwn(places: Places, stationId: string, action: string, payload: OcppPayload): Objection | undefined {
  if (action !== 'ReserveNow' && action !== 'CancelReservation') return undefined
  const number = Number(payload['reservationId'] ?? payload['id'])
  const isOurs = places
    .reservations()
    .some((one) => one.stationId === stationId && one.number === number && one.passedOn === undefined)
  if (!isOurs) return undefined
  const reason = `reservation ${number} is the gateway's own`
  return action === 'ReserveNow' ? { reason, status: 'Occupied' } : { reason }
}

interface CommandParts {
  readonly places: Places
  readonly desk: ReservationDesk
  readonly remote: Remote
  readonly config: DriversConfig | undefined
  readonly clock: Clock
}

async function runCommand(command: DriverCommand, parts: CommandParts): Promise<unknown> {
  const { places, desk, remote, config, clock } = parts
  switch (command.command) {
    case 'start': {
      const { station: stationId, connector: connectorId, by } = command
      return { words: await remote.start({ stationId, connectorId }, by) }
    }
    case 'stop': {
      const { station: stationId, connector: connectorId, session } = command
      const place = stationId === undefined || connectorId === undefined ? undefined : { stationId, connectorId }
      return { words: await remote.stop(place ?? session ?? '') }
    }
    case 'reserve': {
      const { station: stationId, connector: connectorId, minutes, driver, group } = command
      const code = command.withCode ? makeCodeKey(config) : undefined
      const holder = {
        ...(driver === undefined ? {} : { driver }),
        ...(group === undefined ? {} : { group }),
        ...(code === undefined ? {} : { code }),
      }
      const until = makeTimestamp(clock.now() + minutes * 60_000)
      const { permit, station } = await desk.reserve({ stationId, connectorId }, holder, until)
      return { number: permit.number, until, station, ...(code === undefined ? {} : { code }) }
    }
    case 'cancel-reservation': {
      const permit = await desk.cancel(command.number)
      return { words: `${tellPlace(permit)}: reservation ${permit.number} is cancelled` }
    }
    case 'reservations':
      // Never the secrets: whoever made one has it.
      return places
        .reservations()
        .map(({ number, stationId, connectorId, expiresAtMs, driver, group, code, passedOn }) => ({
          number,
          station: stationId,
          connector: connectorId,
          until: expiresAtMs,
          ...(driver === undefined ? {} : { driver }),
          ...(group === undefined ? {} : { group }),
          withCode: code !== undefined,
          byUpstream: passedOn !== undefined,
        }))
  }
}

function makeCodeKey(config: DriversConfig | undefined): OneTimeCodeKey {
  const { codeValiditySeconds: validitySeconds, codeLength: length } = config ?? driversDefaults
  return { secret: makeSecret(), validitySeconds, length }
}
