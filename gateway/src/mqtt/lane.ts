import { formatTopic, type PointId, parsePointId, type Receipt } from '@wattline/protocol'
import type { OutboxRecord } from '../store/outbox.ts'
import { Pacing, type PacingTiming } from './pacing.ts'
import { RecordEncoder } from './record-encoder.ts'

/** What goes out for one record: its certificate first where the receiver may lack it. */
export interface Departure {
  readonly topic: string
  readonly payload: string | Uint8Array
}

interface Sent {
  readonly epoch: number
  readonly sequence: number
  readonly atMs: number
}

/** The way of one metering point's records to the broker: how they are written, and how many may be under way. */
export class Lane {
  readonly point: PointId
  readonly pacing: Pacing
  readonly #encoder = new RecordEncoder()
  #sent: Sent[] = []
  #certificateDue = true
  /** Whether the ledger speaks of places that are not known here: nobody knows which records are a base to it. */
  #isAstray = false

  constructor(point: PointId, timing: PacingTiming, window: number) {
    this.point = point
    this.pacing = new Pacing(timing, window)
  }

  /** Everything that is sent from now on may meet a receiver that knows nothing. */
  restart(): void {
    this.#encoder.reset()
    this.#certificateDue = true
    this.#sent = []
  }

  /** What to publish for a record, in this order. `documents` are asked for where they are due: certificate and words on keys. */
  depart(record: OutboxRecord, nowMs: number, documents: () => readonly string[]): readonly Departure[] {
    this.pacing.sent(nowMs, this.#sent.length)
    this.#sent.push({ epoch: record.epoch, sequence: record.sequence, atMs: nowMs })
    const ids = parsePointId(this.point)
    const texts = this.#certificateDue ? documents() : []
    this.#certificateDue = false
    if (this.#isAstray) this.#encoder.reset()
    const payload = this.#encoder.encode(record.text)
    return [
      ...texts.map((text) => ({ topic: formatTopic({ ...ids, kind: 'certificate' }), payload: text })),
      { topic: formatTopic({ ...ids, kind: 'record' }), payload },
    ]
  }

  /** The ledger names a place that is not known here: until it confirms something, all goes out in full. */
  goAstray(): void {
    this.#isAstray = true
  }

  /** The ledger answers, and nobody knows to what: more is sent. */
  passOver(nowMs: number): void {
    this.#sent = this.#sent.slice(-1)
    this.pacing.answered(nowMs)
  }

  /** A receipt confirms more than before. Returns how long the last record took, where it went out since the restart. */
  confirmed({ epoch, sequence }: Receipt, nowMs: number): number | undefined {
    this.#isAstray = false
    const after = this.#sent.findIndex(
      (sent) => sent.epoch > epoch || (sent.epoch === epoch && sent.sequence > sequence),
    )
    const done = this.#sent.splice(0, after < 0 ? this.#sent.length : after)
    const last = done.at(-1)
    const latencyMs = last === undefined ? undefined : nowMs - last.atMs
    this.pacing.progressed(nowMs, done.length, latencyMs)
    return latencyMs
  }
}
