import {
  type Clock,
  formatKwh,
  makeGatewayId,
  makeMeterId,
  makePointId,
  readingStates,
  type Wh,
} from '@wattline/protocol'
import type { GatewayConfig } from '../config.ts'
import type { Health } from '../health.ts'
import type { Log } from '../log.ts'
import { parseStoredText } from '../record-text.ts'
import type { Store } from '../store/database.ts'
import { findPoint } from '../store/points.ts'
import { insertSessionCheck, lastSessionCheck, type SessionCheck } from '../store/session-checks.ts'
import { type EndedSession, listUnchecked, type SessionRecord } from '../store/session-records.ts'
import { type ChargingPoint, termsOf } from './charging-points.ts'

/** A sound reading of the feeder's meter. */
export interface FeederReading {
  readonly takenAt: number
  readonly importWh: Wh
}

/** The feeder's readings around a session; the ones before and after may be the same where one fell on the moment. */
export interface FeederReadings {
  readonly beforeBegin?: FeederReading
  readonly afterBegin?: FeederReading
  readonly beforeEnd?: FeederReading
  readonly afterEnd?: FeederReading
  /** Its count began anew in between. */
  readonly restarted: boolean
}

/** EN 50470-3: a meter of class A is right to 2 %. What is in a station, or on a rail, is seldom worse. */
const permille = 20n
/** The step of a register that shows hundredths of a kWh, once for each of the two. */
const stepWh = 10n
/** What a station's clock may be off although it is put right. */
const clockSlackMs = 5_000n
/** After this long a meter that says nothing will say nothing of that time any more. */
const patienceMs = 86_400_000

/** What one session is compared by. */
export interface Comparison {
  readonly sessionWh: Wh
  readonly readings: FeederReadings
  readonly maxPowerW: number
  /** Others charge behind the same meter: it may have measured more than this session, and not less. */
  readonly shared: boolean
}

/**
 * Compares a session's energy with what the meter of its feeder allows for. That meter is not read at the session's
 * begin and end, so it gives a least and a most; only what lies beyond both meters' tolerances differs. Pure.
 */
export function compareWithFeeder(
  comparison: Comparison,
): Pick<SessionCheck, 'lowWh' | 'highWh' | 'verdict' | 'reason'> {
  const { sessionWh, readings, maxPowerW, shared } = comparison
  const { beforeBegin, afterBegin, beforeEnd, afterEnd, restarted } = readings
  if (restarted) return { verdict: 'unknown', reason: 'the meter began to count anew meanwhile' }
  if (beforeBegin === undefined || afterEnd === undefined) {
    return { verdict: 'unknown', reason: 'the meter has no sound reading before the begin, or none after the end' }
  }
  const highWh = afterEnd.importWh - beforeBegin.importWh
  // A session that fits between two readings has no least.
  const inner = (beforeEnd?.importWh ?? 0n) - (afterBegin?.importWh ?? 0n)
  const lowWh = inner > 0n && !shared ? inner : 0n
  const bounds = { lowWh, highWh }
  const slackWh = 2n * stepWh + (BigInt(maxPowerW) * 2n * clockSlackMs) / 3_600_000n
  const told = `${formatKwh(sessionWh)} kWh in the session, ${formatKwh(lowWh)} to ${formatKwh(highWh)} kWh at the meter`
  const tolerated = (wh: Wh) => (wh * permille) / 1000n
  if (sessionWh - tolerated(sessionWh) > highWh + tolerated(highWh) + slackWh) {
    return { ...bounds, verdict: 'differs', reason: `${told}: the station tells too much` }
  }
  if (sessionWh + tolerated(sessionWh) + slackWh < lowWh - tolerated(lowWh)) {
    return { ...bounds, verdict: 'differs', reason: `${told}: the station tells too little` }
  }
  return { ...bounds, verdict: 'agrees', reason: told }
}

/** What the check works with. */
export interface FeederCheckParts {
  readonly config: GatewayConfig
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly health: Health
  /** The charging points that have been met. */
  points(): readonly ChargingPoint[]
}

/** Compares sessions with the Modbus meter of their feeder, once that meter was read after their end. */
export class FeederCheck {
  readonly #parts: FeederCheckParts

  constructor(parts: FeederCheckParts) {
    this.#parts = parts
    for (const point of parts.points()) this.#recall(point)
  }

  /** Compares what can be compared by now. */
  run(): void {
    for (const point of this.#parts.points()) {
      const { feederMeter, maxPowerW } = termsOf(this.#parts.config, point.place)
      if (feederMeter !== undefined) this.#runAt(point, { feederMeter, maxPowerW })
    }
  }

  #runAt(point: ChargingPoint, { feederMeter, maxPowerW }: { feederMeter: string; maxPowerW: number }): void {
    const { store, config, clock } = this.#parts
    const row = findPoint(store, point.point)
    if (row === undefined) return
    const meter = makePointId(makeGatewayId(config.gateway.id), makeMeterId(feederMeter))
    for (const session of listUnchecked(store, row.number)) {
      const result = this.#compare(session, { meter, maxPowerW, shared: this.#isShared(point, feederMeter) })
      if (result === undefined) continue // its end is not covered yet
      const { sessionId } = session.end
      const check = { sessionId, pointNumber: row.number, meter: feederMeter, ...result, checkedAt: clock.now() }
      store.write(() => {
        insertSessionCheck(store, check)
        store.onCommit(() => this.#tell(point, check))
      })
    }
  }

  #compare(
    { begin, end }: EndedSession,
    {
      meter,
      ...rules
    }: { readonly meter: ReturnType<typeof makePointId>; readonly maxPowerW: number; readonly shared: boolean },
  ): Pick<SessionCheck, 'sessionWh' | 'lowWh' | 'highWh' | 'verdict' | 'reason'> | undefined {
    const { store, clock } = this.#parts
    if (begin?.registerWh === undefined || end.registerWh === undefined || end.registerWh < begin.registerWh) {
      return { verdict: 'unknown', reason: 'the session itself has no sound begin and end' }
    }
    const sessionWh = end.registerWh - begin.registerWh
    const readings = readFeeder(store, findPoint(store, meter)?.number ?? -1, begin, end)
    const waits = readings.afterEnd === undefined && clock.now() - end.takenAt < patienceMs
    return waits ? undefined : { sessionWh, ...compareWithFeeder({ sessionWh, readings, ...rules }) }
  }

  #isShared(point: ChargingPoint, feederMeter: string): boolean {
    const { config, points } = this.#parts
    return points().some(
      ({ meterId, place }) => meterId !== point.meterId && termsOf(config, place).feederMeter === feederMeter,
    )
  }

  // What is wrong with the feeder stays wrong over a restart.
  #recall(point: ChargingPoint): void {
    const { store } = this.#parts
    const row = findPoint(store, point.point)
    const last = row === undefined ? undefined : lastSessionCheck(store, row.number)
    if (last?.verdict === 'differs') this.#raise(point, last)
  }

  #tell(point: ChargingPoint, check: SessionCheck): void {
    const { log, health } = this.#parts
    const { verdict, sessionId, meter, reason } = check
    const fields = { point: point.point, session: sessionId, meter, reason }
    if (verdict === 'differs') {
      this.#raise(point, check)
      log.warn('session.feeder.differs', fields)
      return
    }
    if (verdict === 'agrees') health.clear(placeOf(point))
    log.info(`session.feeder.${verdict}`, fields)
  }

  #raise(point: ChargingPoint, { meter, reason, sessionId }: SessionCheck): void {
    const message = `session ${sessionId} against meter ${meter}: ${reason}. Check which meter feeds it, and both meters`
    this.#parts.health.raise({ code: 'session/feeder-differs', where: placeOf(point), message })
  }
}

function placeOf({ point }: ChargingPoint): string {
  return `feeder: ${point}`
}

// Newest first, as sessions are compared soon after their end: only the rows back to its begin are looked at.
function readFeeder(store: Store, pointNumber: number, begin: SessionRecord, end: SessionRecord): FeederReadings {
  const found: { -readonly [name in keyof FeederReadings]: FeederReadings[name] } = { restarted: false }
  const rows = store
    .sql('SELECT taken_at, text FROM records WHERE point = ? ORDER BY epoch DESC, sequence DESC')
    .raw()
    .iterate(pointNumber)
  for (const row of rows) {
    const [takenAt, text]: unknown[] = Array.isArray(row) ? row : []
    const record = typeof text === 'string' ? parseStoredText(text)?.record : undefined
    if (typeof takenAt !== 'number' || record === undefined) continue
    const { energy } = readingStates[record.state]
    const { import: importWh } = record.registers
    if (importWh === undefined || (energy !== 'sound' && energy !== 'wrapped' && energy !== 'base')) continue
    const reading = { takenAt, importWh }
    const restarts = energy !== 'sound'
    if (takenAt >= end.takenAt) {
      found.afterEnd = reading
      found.restarted = false // what came after the first reading that is late enough is no part of it
    }
    if (takenAt >= begin.takenAt) found.afterBegin = reading
    if (takenAt <= end.takenAt) found.beforeEnd ??= reading
    if (takenAt <= begin.takenAt) {
      found.beforeBegin = reading
      break
    }
    found.restarted ||= restarts
  }
  return found
}
