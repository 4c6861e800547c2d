import {
  formatPublicKey,
  type MeterId,
  type PointId,
  type ReadingState,
  readingStates,
  WattError,
} from '@wattline/protocol'
import type { Health } from './health.ts'
import { errorFields, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { UplinkEvents } from './mqtt/uplink.ts'
import type { ReadingEvents } from './readings.ts'
import type { AttestedRecord } from './record-writer.ts'
import type { Settlement } from './store/settlement.ts'

/** Where what happens is told: to the log, to health, and as figures. */
export interface WatchParts {
  readonly log: Log
  readonly health: Health
  readonly metrics: Metrics
  /** Something that does not heal: the program must end. */
  onFatal(error: unknown): void
}

/** What an installer should know of each state that is not well: what happened, and what to do about it. */
const stateMessages: Readonly<Partial<Record<ReadingState, string>>> = {
  'no-answer': 'the meter does not answer',
  disconnected: 'the port or connection is gone',
  'read-error': 'the meter answers, but not with a reading',
  'register-decreased':
    'the register stands below an earlier reading: if the meter was reset or changed, run accept-swap',
  'implausible-jump': 'the register rose by more than the fuse allows: if that is right, run accept-swap',
  'meter-swapped': 'another meter answers here: if that is right, run accept-swap',
  frozen: 'power flows, but the register stands still: if the meter is changed, run accept-swap',
  'implausible-grid':
    'voltage or frequency is none that a grid has: check profile and wiring, or set grid in the configuration',
  'too-coarse': 'the register counts in steps too coarse for this interval: it counts once enough time has passed',
}

/** Tells of readings. */
export interface ReadingWatch extends ReadingEvents {
  /** Why the last poll of a meter failed, to be told with the state that follows from it. */
  failed(meterId: MeterId, error: WattError): void
}

export function watchReadings({ log, health, metrics, onFatal }: WatchParts): ReadingWatch {
  const states = new Map<PointId, ReadingState>()
  const errors = new Map<MeterId, WattError>()
  const tell = (record: AttestedRecord) => {
    const { point, meterId, state, epoch, sequence } = record
    metrics.reading(point, state)
    log.debug('record.signed', { point, epoch, sequence, state })
    const before = states.get(point)
    if (before === state) return
    states.set(point, state)
    const doubt = stateMessages[state]
    const detail = readingStates[state].energy === 'absent' ? errors.get(meterId)?.message : record.reason
    const message = detail === undefined ? doubt : `${doubt}: ${detail}`
    if (message === undefined) health.clear(point)
    else health.raise({ code: state, where: point, message })
    if (before === undefined && message === undefined) return
    log[message === undefined ? 'info' : 'warn']('point.state.changed', { point, from: before, to: state, message })
  }
  return {
    failed: (meterId, error) => errors.set(meterId, error),
    signed: (records) => {
      if (health.clear('storage') !== undefined) log.info('storage.recovered')
      records.forEach(tell)
    },
    lost: (count, error) => {
      if (!(error instanceof WattError) || !error.retryable) return onFatal(error)
      const news = health.raise({ code: error.code, where: 'storage', message: error.message })
      if (news) log.error('storage.failed', { ...errorFields(error), lostReadings: count })
    },
  }
}

export function watchUplink({ log, health, metrics, onFatal }: WatchParts): UplinkEvents {
  return {
    connected: () => {
      health.clear('mqtt')
      log.info('mqtt.connected')
    },
    disconnected: (reason) => {
      const news = health.raise({ code: 'broker/unreachable', where: 'mqtt', message: reason })
      log[news ? 'warn' : 'debug']('mqtt.disconnected', { reason })
    },
    sent: (point) => metrics.sent(point),
    settled: (receipt, settlement, latencyMs) => {
      const { point, epoch, sequence } = receipt
      if (latencyMs !== undefined) metrics.receipt(latencyMs)
      if (settlement.outcome === 'progressed') {
        metrics.acknowledged(point, settlement.confirmed ?? 0)
        log.debug('outbox.record.acknowledged', { point, epoch, sequence, latencyMs })
      }
      tellSettlement(log, health, point, settlement)
    },
    refusedMessage: (error) => {
      const message = error instanceof Error ? error.message : String(error)
      const news = health.raise({ code: 'receipt/invalid', where: 'ledger', message })
      log[news ? 'warn' : 'debug']('receipt.invalid', errorFields(error))
    },
    ledgerMet: (key) => log.info('ledger.met', { ledgerKey: formatPublicKey(key) }),
    failed: (error) => {
      if (!(error instanceof WattError) || !error.retryable) return onFatal(error)
      const news = health.raise({ code: error.code, where: 'storage', message: error.message })
      if (news) log.error('storage.failed', errorFields(error))
    },
  }
}

function tellSettlement(log: Log, health: Health, point: PointId, settlement: Settlement): void {
  const { outcome, openedEpoch, rejected, refusal } = settlement
  if (outcome === 'stale') return
  const where = `ledger: ${point}`
  if (outcome === 'outdated') {
    const message =
      'receipts of an earlier session: if no others follow, the clock of the ledger was put back; put it right, and start the ledger anew'
    if (health.raise({ code: 'receipt/outdated', where, message })) log.warn('receipt.outdated', { point })
    return
  }
  if (openedEpoch !== undefined) log.warn('epoch.opened', { point, epoch: openedEpoch, outcome, rejected, refusal })
  if (refusal !== undefined) {
    const news = health.raise({ code: refusal.code, where, message: refusal.message })
    if (news) log.warn('receipt.refusal', { point, ...refusal })
  } else if (outcome === 'foreign') {
    const message = 'the ledger confirmed another record than ours at this place'
    if (health.raise({ code: 'receipt/invalid', where, message })) log.error('receipt.foreign', { point })
  } else {
    health.clear(where)
    health.clear('ledger')
  }
  if (outcome === 'moved-back') log.warn('receipt.moved-back', { point })
}
