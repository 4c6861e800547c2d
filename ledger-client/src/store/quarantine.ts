import { hash } from 'node:crypto'
import { type Clock, type ErrorCode, maxMessageLength } from '@wattline/protocol'
import type { Database, Statement } from './database.ts'
import type { Intake, Message } from './intake.ts'

/** Rows kept of one gateway, and of all together; beyond it bad messages are only counted. */
const limits = { perGateway: 1000, total: 20_000 } as const

/** What could not be used, and why. */
export interface QuarantineRow {
  readonly id: number
  readonly gateway: string
  readonly topic: string
  readonly code: string
  readonly reason: string
  readonly payload: Buffer | null
  readonly length: number
  readonly digest: string
  readonly count: number
  readonly first_at: number
  readonly last_at: number
}

/** SPEC-63: what cannot be used is kept with topic, bytes, code and reason; the same bytes again raise a count. */
export class Quarantine {
  readonly #clock: Clock
  readonly #intake: Intake
  readonly #again: Statement<[string, string, number, string, string], unknown>
  readonly #insert: Statement<
    [string, string, string, string, Uint8Array | null, number, string, number, number],
    unknown
  >
  readonly #overflow: Statement<[string, string], unknown>
  readonly #counts: Statement<[], { gateway: string; rows: number }>
  readonly #release: Statement<[number, string, string], unknown>
  readonly #remove: Statement<[string, string], unknown>
  readonly #ofTopic: Statement<[string, string], { payload: Buffer | null }>
  #rows: Map<string, number> | undefined

  constructor(db: Database, clock: Clock, intake: Intake) {
    this.#clock = clock
    this.#intake = intake
    this.#again = db.prepare(
      'UPDATE quarantine SET code = ?, reason = ?, last_at = ?, count = count + 1 WHERE topic = ? AND digest = ?',
    )
    this.#insert = db.prepare(
      `INSERT INTO quarantine (gateway, topic, code, reason, payload, length, digest, count, first_at, last_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)`,
    )
    this.#overflow = db.prepare(
      `INSERT INTO quarantine_overflow (gateway, code, count) VALUES (?, ?, 1)
       ON CONFLICT (gateway, code) DO UPDATE SET count = count + 1`,
    )
    this.#counts = db.prepare('SELECT gateway, count(*) AS rows FROM quarantine GROUP BY gateway')
    // What waited for the enrolment of its point is processed again, in the order of its arrival.
    const waiting = `code IN ('point/closed-enrolment', 'order/unsigned', 'point/unknown', 'record/wrong-key') AND payload IS NOT NULL`
    this.#release = db.prepare(
      `INSERT INTO intake (gateway, topic, payload, received_at)
       SELECT gateway, topic, payload, ? FROM quarantine WHERE topic IN (?, ?) AND ${waiting} ORDER BY id`,
    )
    this.#remove = db.prepare(`DELETE FROM quarantine WHERE topic IN (?, ?) AND ${waiting}`)
    this.#ofTopic = db.prepare('SELECT payload FROM quarantine WHERE topic = ? AND code = ? ORDER BY id DESC LIMIT 2')
    db.onStale(() => {
      this.#rows = undefined
    })
  }

  /** Writes down a message that cannot be used. One that is too long is not kept, only named (SPEC-62). */
  add(message: Message, code: ErrorCode, reason: string): void {
    const { gateway, topic, payload } = message
    const digest = hash('sha256', payload)
    const now = this.#clock.now()
    if (this.#again.run(code, reason, now, topic, digest).changes > 0) return
    this.#rows ??= new Map(this.#counts.all().map((row) => [row.gateway, row.rows]))
    const rows = this.#rows
    const own = rows.get(gateway) ?? 0
    const total = [...rows.values()].reduce((sum, count) => sum + count, 0)
    if (own >= limits.perGateway || total >= limits.total) {
      // Gateways that are not known are counted together: their names are the sender's to invent.
      this.#overflow.run(own > 0 ? gateway : '', code)
      return
    }
    const kept = payload.length > maxMessageLength ? null : payload
    this.#insert.run(gateway, topic, code, reason, kept, payload.length, digest, now, now)
    rows.set(gateway, own + 1)
  }

  /** Puts back into the intake what waited for a point to be enrolled. */
  release(topics: { readonly certificate: string; readonly record: string }): void {
    this.#release.run(this.#clock.now(), topics.certificate, topics.record)
    this.#remove.run(topics.certificate, topics.record)
    this.#rows = undefined
    this.#intake.recount()
  }

  /** The last payloads of a topic that were refused with a code. */
  refused(topic: string, code: ErrorCode): readonly Buffer[] {
    return this.#ofTopic.all(topic, code).flatMap(({ payload }) => (payload === null ? [] : [payload]))
  }
}
