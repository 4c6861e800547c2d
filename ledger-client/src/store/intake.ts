import { type Clock, maxMessageLength, parseTopic } from '@wattline/protocol'
import type { Database, Statement } from './database.ts'

/** One message as it arrived. */
export interface Message {
  /** The gateway whose topic it came on; empty where the topic is none of ours. */
  readonly gateway: string
  readonly topic: string
  readonly payload: Uint8Array
}

/** A stored message that waits to be processed. */
export interface IntakeRow extends Message {
  readonly id: number
}

/** Messages that may wait in all; each gateway has its share of it, so that a flood of one does not shut out others. */
export const defaultBacklogLimit = 50_000
/** What a gateway may always have waiting, as a part of all. */
const leastShare = 1 / 50

/** SPEC-63: everything is stored before it is parsed. */
export class Intake {
  readonly #clock: Clock
  readonly #limit: number
  readonly #insert: Statement<[string, string, Uint8Array, number], unknown>
  readonly #take: Statement<[string, number], IntakeRow>
  readonly #remove: Statement<[number], unknown>
  readonly #counts: Statement<[], { gateway: string; rows: number }>
  #backlog: Map<string, number> | undefined
  #total = 0
  #turn = 0

  constructor(db: Database, clock: Clock, limit = defaultBacklogLimit) {
    this.#clock = clock
    this.#limit = limit
    this.#insert = db.prepare('INSERT INTO intake (gateway, topic, payload, received_at) VALUES (?, ?, ?, ?)')
    this.#take = db.prepare('SELECT id, gateway, topic, payload FROM intake WHERE gateway = ? ORDER BY id LIMIT ?')
    this.#remove = db.prepare('DELETE FROM intake WHERE id = ?')
    this.#counts = db.prepare('SELECT gateway, count(*) AS rows FROM intake GROUP BY gateway')
    db.onStale(() => this.recount())
  }

  /** Whether a gateway has used up its share: its message is then left to be sent again, as no receipt answers it. */
  isOverShare(gateway: string): boolean {
    const backlog = this.#load()
    const share = Math.max(this.#limit * leastShare, Math.floor(this.#limit / Math.max(1, backlog.size)))
    return (backlog.get(gateway) ?? 0) >= share || this.#total >= 2 * this.#limit
  }

  append({ gateway, topic, payload }: Message): void {
    const backlog = this.#load()
    this.#insert.run(gateway, topic, payload, this.#clock.now())
    backlog.set(gateway, (backlog.get(gateway) ?? 0) + 1)
    this.#total++
  }

  /**
   * The next messages to process: each waiting gateway has the same share, and its own order is kept. They take turns, so
   * a batch that is cut short has done as much for each.
   */
  next(limit: number): readonly IntakeRow[] {
    const gateways = [...this.#load().keys()]
    if (gateways.length === 0) return []
    // Who comes first changes from batch to batch, as the last ones may find the batch full.
    const start = this.#turn++ % gateways.length
    const order = [...gateways.slice(start), ...gateways.slice(0, start)]
    const share = Math.max(1, Math.floor(limit / order.length))
    const lanes = order.slice(0, limit).map((gateway) => this.#take.all(gateway, share))
    return Array.from({ length: share }, (_, turn) => lanes.flatMap((lane) => lane[turn] ?? [])).flat()
  }

  remove({ id, gateway }: IntakeRow): void {
    const backlog = this.#load()
    this.#remove.run(id)
    const left = (backlog.get(gateway) ?? 1) - 1
    if (left > 0) backlog.set(gateway, left)
    else backlog.delete(gateway)
    this.#total--
  }

  /** Counts anew: rows came in another way. */
  recount(): void {
    this.#backlog = undefined
  }

  /** How many messages wait. */
  waiting(): number {
    this.#load()
    return this.#total
  }

  /** How many messages of one gateway wait. */
  waitingOf(gateway: string): number {
    return this.#load().get(gateway) ?? 0
  }

  #load(): Map<string, number> {
    if (this.#backlog !== undefined) return this.#backlog
    const counts = this.#counts.all()
    this.#total = counts.reduce((sum, { rows }) => sum + rows, 0)
    this.#backlog = new Map(counts.map(({ gateway, rows }) => [gateway, rows]))
    return this.#backlog
  }
}

/** A message with the gateway that its topic names. */
export function toMessage(topic: string, payload: Uint8Array): Message {
  return { gateway: parseTopic(topic)?.gatewayId ?? '', topic, payload }
}

/** SPEC-62: too long to be read. */
export function isOversized(message: Message): boolean {
  return message.payload.length > maxMessageLength
}
