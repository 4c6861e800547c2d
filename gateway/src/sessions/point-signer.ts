import {
  type Clock,
  type ReadingState,
  readingStateNames,
  readingStates,
  type TransactionMark,
  toDriverAssignment,
} from '@wattline/protocol'
import { attestOne, type RecordExtras } from '../attest.ts'
import type { GatewayConfig } from '../config.ts'
import type { AttestedRecord, PreparedPoint, RecordWriter } from '../record-writer.ts'
import type { PointSetup } from '../setup.ts'
import type { Store } from '../store/database.ts'
import { findPoint } from '../store/points.ts'
import { findSessionRecord, insertSessionRecord, isSessionOpen } from '../store/session-records.ts'
import {
  type ChargingPoint,
  formatSerial,
  listChargingPoints,
  setUpChargingPoint,
  toChargingPoint,
} from './charging-points.ts'
import type { ChargingPlace, SessionReading, SessionSigner } from './session-signer.ts'

/** What becomes of what is signed; each is told after the commit. */
export interface PointSignerEvents {
  /** A session's records are on the disk. */
  signed(record: AttestedRecord): void
  /** A record that only says that nothing was told meanwhile. */
  silent(record: AttestedRecord): void
  /** A charging point that was not there at the start. */
  met(setup: PointSetup): void
}

/** What the signer works with. */
export interface PointSignerParts {
  readonly config: GatewayConfig
  readonly store: Store
  readonly writer: RecordWriter
  readonly clock: Clock
  readonly events: PointSignerEvents
}

interface Known {
  readonly point: ChargingPoint
  readonly setup: PointSetup
  /** When something was signed here last, by our clock. */
  signedAt: number
}

const marks: Readonly<Record<SessionReading['mark'], TransactionMark | undefined>> = {
  begin: 'B',
  interval: undefined,
  end: 'E',
}

/** A charging point that says nothing lets the meter above it wait for about one interval of that meter, within these. */
const shortestIdleMs = 1_000
const longestIdleMs = 60_000
/** While a session is open its own readings are waited for: without them, that meter would book what is charged here. */
const chargingMs = 15 * 60_000
const longestBeatMs = 15_000

/** Signs what sessions have measured under the key of their charging point, on the way that meters' readings go. */
export class PointSigner implements SessionSigner {
  readonly #parts: PointSignerParts
  readonly #known = new Map<string, Known>()

  /** Loads the keys of all charging points that are known; throws where one was lost. */
  constructor(parts: PointSignerParts) {
    this.#parts = parts
    for (const point of listChargingPoints(parts.config)) this.#add(point)
  }

  /** Every charging point that can sign. */
  setups(): readonly PointSetup[] {
    return [...this.#known.values()].map(({ setup }) => setup)
  }

  points(): readonly ChargingPoint[] {
    return [...this.#known.values()].map(({ point }) => point)
  }

  sign(reading: SessionReading): void {
    const { store, writer, clock, events } = this.#parts
    const known = this.#find(reading.place)
    const prepared = this.#prepare(known, reading)
    const record = store.write(() => {
      const { number } = writer.open(prepared)
      if (reading.mark !== 'interval' && findSessionRecord(store, reading.sessionId, reading.mark) !== undefined) {
        return undefined // signed already: nothing is signed twice
      }
      const signed = signOne(writer, prepared, reading)
      writer.count(1)
      if (reading.mark !== 'interval') note(store, number, reading, signed)
      store.onCommit(() => events.signed(signed))
      return signed
    })
    if (record !== undefined) known.signedAt = clock.now()
  }

  /**
   * Lets time pass in the chains of charging points that stand behind a meter: that meter's remainder is settled only
   * once they have spoken past it (SPEC-84). The record says that nothing was told, and repeats no value (SPEC-22).
   */
  beat(): void {
    const { config, store, writer, clock, events } = this.#parts
    const now = clock.now()
    for (const known of this.#known.values()) {
      const row = known.setup.behind === undefined ? undefined : findPoint(store, known.setup.point)
      if (row === undefined) continue // no meter waits, or nothing was signed yet
      const pauseMs = isSessionOpen(store, row.number) ? chargingMs : idleMsBelow(config, known.setup.behind)
      if (Math.abs(now - known.signedAt) < pauseMs) continue
      const moment = { takenAt: now, clockStatus: clock.status(), bootId: '', uptimeMs: 0 }
      const prepared = writer.prepare(known.setup, () => ({ takenAt: now, serial: formatSerial(known.point.place) }))
      store.write(() => {
        const meterSerial = formatSerial(known.point.place)
        const signed = attestOne(writer, prepared, { kind: 'failed', moment, code: 'bus/timeout' }, { meterSerial })
        writer.count(1)
        store.onCommit(() => events.silent(signed))
      })
      known.signedAt = now
    }
  }

  #add(point: ChargingPoint): Known {
    const { config, store } = this.#parts
    const known = { point, setup: setUpChargingPoint(config, store, point), signedAt: 0 }
    this.#known.set(keyOf(point.place), known)
    return known
  }

  // A charging point gets its key when its first session is signed: stations may come without having been announced.
  #find(place: ChargingPlace): Known {
    const known = this.#known.get(keyOf(place))
    if (known !== undefined) return known
    const { config, events } = this.#parts
    const met = this.#add(toChargingPoint(config, place))
    events.met(met.setup)
    return met
  }

  #prepare({ setup, point }: Known, { takenAt }: SessionReading): PreparedPoint {
    return this.#parts.writer.prepare(setup, () => ({ takenAt, serial: formatSerial(point.place) }))
  }
}

/** How often a charging point behind a meter is to be asked whether it has to say that it is idle. */
export function beatMsOf(config: GatewayConfig): number {
  const parents = (config.ocpp?.stations ?? []).flatMap(({ behind, connectors = [] }) => [
    behind,
    ...connectors.map((connector) => connector.behind),
  ])
  return Math.min(longestBeatMs, ...parents.map((behind) => idleMsBelow(config, behind) / 2))
}

function idleMsBelow({ meters }: Pick<GatewayConfig, 'meters'>, behind: string | undefined): number {
  const { intervalSeconds } = meters.find(({ id }) => id === behind) ?? {}
  if (intervalSeconds === undefined) return longestIdleMs
  return Math.min(longestIdleMs, Math.max(shortestIdleMs, intervalSeconds * 1000))
}

function keyOf({ stationId, connectorId }: ChargingPlace): string {
  return `${connectorId} ${stationId}`
}

function signOne(writer: RecordWriter, prepared: PreparedPoint, reading: SessionReading): AttestedRecord {
  const { place, mark, registerWh, takenAt, clockStatus, doubt, driver } = reading
  const tx = marks[mark]
  const meterSerial = formatSerial(place)
  const transaction = tx === undefined ? {} : { transaction: { mark: tx, user: toDriverAssignment(driver) } }
  const extras: RecordExtras = { meterSerial, ...transaction }
  // The station's clock has no uptime that could be compared: only what it says of the time counts.
  const moment = { takenAt, clockStatus, bootId: '', uptimeMs: 0 }
  const state = toDoubtfulState(doubt)
  if (state !== undefined && registerWh >= 0n) {
    const row = writer.open(prepared)
    const { history, rebase } = row // nothing is learned from a doubt
    const registers = { import: registerWh }
    const content = { takenAt, clockStatus, state, registers, meterSerial, history, rebase, ...transaction }
    return writer.write(prepared, row, content)
  }
  if (doubt !== undefined || registerWh < 0n) {
    return attestOne(writer, prepared, { kind: 'failed', moment, code: 'reading/out-of-range' }, extras)
  }
  const energy = { import: { registerWh, resolutionWh: 1 } }
  return attestOne(writer, prepared, { kind: 'read', moment, energy }, extras)
}

// A doubt that has a state of its own is signed with the register that it is about; any other one without.
function toDoubtfulState(doubt: string | undefined): ReadingState | undefined {
  return readingStateNames.find((name) => name === doubt && readingStates[name].energy === 'doubtful')
}

function note(store: Store, pointNumber: number, reading: SessionReading, signed: AttestedRecord): void {
  const { sessionId, mark, registerWh } = reading
  if (mark === 'interval') return
  const { epoch, sequence, takenAt, state } = signed
  const { energy } = readingStates[state]
  const isSound = energy === 'sound' || energy === 'wrapped' || energy === 'base'
  insertSessionRecord(store, {
    sessionId,
    mark,
    pointNumber,
    epoch,
    sequence,
    takenAt,
    state,
    ...(isSound ? { registerWh } : {}),
  })
}
