import {
  type ErrorCode,
  formatHello,
  formatTopic,
  type GatewayId,
  gatewayTopicFilter,
  type PointId,
  type PublicKey,
  type Receipt,
} from '@wattline/protocol'
import type { MqttConfig } from '../config.ts'
import type { Store } from '../store/database.ts'
import type { Epochs } from '../store/epochs.ts'
import type { Outbox } from '../store/outbox.ts'
import { findPoint, type PointRow } from '../store/points.ts'
import { type Settlement, type SettlementParts, settleReceipt } from '../store/settlement.ts'
import { gatewayVersion } from '../version.ts'
import { Lane } from './lane.ts'
import { defaultPacing, type PacingTiming } from './pacing.ts'
import { openPipe, type Pipe } from './pipe.ts'
import { ReceiptIntake } from './receipt-intake.ts'

/** What an uplink reports. */
export interface UplinkEvents {
  connected(): void
  disconnected(reason: string): void
  /** The broker took a record. That proves nothing: only a receipt frees it. */
  sent(point: PointId): void
  /** A receipt is booked. `latencyMs` is the time since the last confirmed record went out. */
  settled(receipt: Receipt, settlement: Settlement, latencyMs: number | undefined): void
  /** A message that is no receipt of the trusted ledger. */
  refusedMessage(error: unknown): void
  /** The first ledger was met, and is the trusted one from now on. */
  ledgerMet(key: PublicKey): void
  /** The uplink's own work failed: storage, or a bug. It goes on with the next event. */
  failed(error: unknown): void
}

export interface UplinkTiming extends PacingTiming {
  readonly firstPauseMs: number
  readonly longestPauseMs: number
}

export const defaultUplinkTiming: UplinkTiming = { ...defaultPacing, firstPauseMs: 1_000, longestPauseMs: 60_000 }

/** What an uplink works with. */
export interface UplinkParts {
  readonly config: MqttConfig
  readonly gatewayId: GatewayId
  readonly points: readonly PointId[]
  readonly store: Store
  readonly outbox: Outbox
  readonly epochs: Epochs
  readonly events: UplinkEvents
  readonly timing?: UplinkTiming
  /** Another way to the broker, and another clock of milliseconds: for tests that own both. */
  readonly openPipe?: typeof openPipe
  readonly nowMs?: () => number
}

/** Records that one turn of the event loop sends: polls and receipts want their turn too. */
const batch = 64
const tickMs = 1_000
/** Receipts that may wait for their transaction. They are cumulative: what is dropped comes again in the next. */
const receiptQueueLimit = 10_000

/** The ledger does not want this metering point now; nothing but waiting helps. */
const pointRefusals: readonly ErrorCode[] = [
  'order/unsigned',
  'point/closed-enrolment',
  'point/frozen',
  'point/revoked',
  'point/unknown',
  'record/equivocation',
  'record/wrong-key',
]

/** Carries the outbox to the broker, and receipts back. Nothing here is durable but what the outbox keeps. */
export class Uplink {
  readonly #parts: UplinkParts
  readonly #timing: UplinkTiming
  readonly #nowMs: () => number
  readonly #points: PointId[]
  readonly #lanes = new Map<PointId, Lane>()
  readonly #intake: ReceiptIntake
  readonly #asked: SettlementParts['asked'] = new Map()
  readonly #receipts: Receipt[] = []
  #pipe: Pipe | undefined
  #timer: NodeJS.Timeout | undefined
  #woken = false
  #stopped = false

  constructor(parts: UplinkParts) {
    this.#parts = parts
    this.#timing = parts.timing ?? defaultUplinkTiming
    this.#nowMs = parts.nowMs ?? (() => performance.now())
    this.#points = [...parts.points]
    for (const point of this.#points) this.#openLane(point)
    const { store, gatewayId, config } = parts
    this.#intake = new ReceiptIntake({ store, gatewayId, points: this.#points, ledgerKey: config.ledgerKey })
  }

  /** A metering point that was not there at the start: its records go the same way. */
  add(point: PointId): void {
    if (this.#lanes.has(point)) return
    this.#points.push(point)
    this.#openLane(point)
  }

  #openLane(point: PointId): void {
    this.#lanes.set(point, new Lane(point, this.#timing, this.#parts.config.window))
  }

  start(): void {
    const { config, gatewayId, events } = this.#parts
    this.#pipe = (this.#parts.openPipe ?? openPipe)(
      {
        config,
        clientId: config.clientId ?? `wattline-${gatewayId}`,
        topicFilter: gatewayTopicFilter(gatewayId),
        firstPauseMs: this.#timing.firstPauseMs,
        longestPauseMs: this.#timing.longestPauseMs,
      },
      {
        opened: () => this.#greet(),
        received: (topic, payload) => this.#receive(topic, payload),
        closed: (reason) => events.disconnected(reason),
      },
    )
    this.#timer = setInterval(() => this.wake(), Math.min(tickMs, this.#timing.firstResendMs / 4))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#pipe?.close()
  }

  /** Something may be there to do: records were stored, receipts came, or time has passed. */
  wake(): void {
    if (this.#woken) return
    this.#woken = true
    setImmediate(() => {
      this.#woken = false
      if (this.#stopped) return
      try {
        this.#work()
      } catch (error) {
        this.#parts.events.failed(error)
      }
    })
  }

  #greet(): void {
    this.#parts.outbox.rewind()
    for (const lane of this.#lanes.values()) {
      lane.restart()
      lane.pacing.reconnected(this.#nowMs())
    }
    this.#parts.events.connected()
    this.#sendHello()
    this.wake()
  }

  #sendHello(): void {
    const { gatewayId } = this.#parts
    const hello = formatHello({ gatewayVersion, points: this.#points })
    this.#pipe?.publish(formatTopic({ kind: 'hello', gatewayId }), hello)
  }

  #receive(topic: string, payload: Uint8Array): void {
    try {
      const receipt = this.#intake.read(topic, payload)
      if (this.#receipts.length < receiptQueueLimit) this.#receipts.push(receipt)
      this.wake()
    } catch (error) {
      this.#parts.events.refusedMessage(error)
    }
  }

  #work(): void {
    this.#settle()
    if (this.#pipe?.open !== true) return
    this.#sendAgain()
    if (this.#sendNext() === batch) this.wake()
  }

  // All receipts that have come meanwhile are booked in one transaction. If it fails they are gone, which is no harm:
  // the ledger says the same again.
  #settle(): void {
    const receipts = this.#receipts.splice(0)
    if (receipts.length === 0) return
    const { store } = this.#parts
    const parts = { ...this.#parts, asked: this.#asked }
    const settlements = store.write(() => {
      this.#intake.keep()
      return receipts.map((receipt) => ({ receipt, settlement: settleReceipt(parts, receipt) }))
    })
    const met = this.#intake.kept()
    if (met !== undefined) this.#parts.events.ledgerMet(met)
    for (const { receipt, settlement } of settlements) this.#react(receipt, settlement)
  }

  #react(receipt: Receipt, settlement: Settlement): void {
    const lane = this.#lanes.get(receipt.point)
    if (lane === undefined) return
    const { outcome } = settlement
    const nowMs = this.#nowMs()
    let latencyMs: number | undefined
    if (outcome === 'progressed') {
      this.#parts.outbox.release(receipt.point, receipt)
      latencyMs = lane.confirmed(receipt, nowMs)
    }
    if (outcome !== 'stale' && outcome !== 'outdated') this.#mind(lane, receipt, settlement, nowMs)
    this.#parts.events.settled(receipt, settlement, latencyMs)
  }

  #mind(lane: Lane, receipt: Receipt, { outcome, openedEpoch, refusal }: Settlement, nowMs: number): void {
    const unwelcome = refusal !== undefined && pointRefusals.includes(refusal.code)
    if (refusal === undefined) lane.pacing.welcomed()
    if (openedEpoch !== undefined) lane.pacing.rechained(nowMs)
    if (outcome === 'unknown') lane.goAstray()
    const again =
      openedEpoch !== undefined ||
      outcome === 'moved-back' ||
      (unwelcome ? lane.pacing.refused(nowMs) : receipt.resend && lane.pacing.mayResend(nowMs))
    if (again) this.#restart(lane)
    else if (outcome === 'unknown' && refusal === undefined && !receipt.resend) this.#passOver(lane, nowMs)
  }

  // SPEC-76: what is under way may be what the ledger has had for long. Only a later record can tell.
  #passOver(lane: Lane, nowMs: number): void {
    this.#parts.outbox.passOver(lane.point)
    lane.passOver(nowMs)
  }

  #restart(lane: Lane): void {
    this.#parts.outbox.rewind(lane.point)
    lane.restart()
  }

  #sendAgain(): void {
    const nowMs = this.#nowMs()
    const overdue = [...this.#lanes.values()].filter((lane) =>
      lane.pacing.isOverdue(nowMs, this.#parts.outbox.inFlight(lane.point)),
    )
    for (const lane of overdue) {
      lane.pacing.timedOut(nowMs)
      this.#restart(lane)
    }
    // Perhaps only the receipts were lost: the answer to a greeting names every place.
    if (overdue.length > 0) this.#sendHello()
  }

  #sendNext(): number {
    const { outbox, store, config, events } = this.#parts
    const limit = Math.min(batch, config.window - outbox.inFlight())
    if (limit <= 0) return 0
    const nowMs = this.#nowMs()
    const room = (point: PointId) => this.#lanes.get(point)?.pacing.room(nowMs, outbox.inFlight(point)) ?? 0
    const records = outbox.take(limit, this.#points, room)
    for (const record of records) {
      const lane = this.#lanes.get(record.point)
      const departures = lane?.depart(record, nowMs, () => documentsOf(findPoint(store, record.point))) ?? []
      for (const { topic, payload } of departures.slice(0, -1)) this.#pipe?.publish(topic, payload)
      const last = departures.at(-1)
      if (last !== undefined) this.#pipe?.publish(last.topic, last.payload, () => events.sent(record.point))
    }
    return records.length
  }
}

// A ledger that knows an older key hears first how it came to the present one (SPEC-95).
function documentsOf(row: PointRow | undefined): readonly string[] {
  if (row === undefined) return []
  return row.rotations === '' ? [row.certificate] : [row.rotations, row.certificate]
}
