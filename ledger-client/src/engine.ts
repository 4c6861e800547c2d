import { type Clock, type SignatureVerifier, WattError } from '@wattline/protocol'
import { Bounds } from './ledger/bounds.ts'
import { issueEea } from './ledger/genesis.ts'
import type { Ledger } from './ledger/ledger.ts'
import { takeOffice } from './ledger/office.ts'
import { Operator } from './ledger/operator.ts'
import { SqliteJournal } from './ledger/sqlite-journal.ts'
import { SqliteLedger } from './ledger/sqlite-ledger.ts'
import { noteStorageStart } from './ledger/storage-start.ts'
import { Transfers } from './ledger/transfers.ts'
import { Bindings } from './orders/bindings.ts'
import { OrderStore } from './orders/order-store.ts'
import { emptyOutcome, type Outcome, Pipeline } from './pipeline.ts'
import { Enrolment, type EnrolmentMode } from './points/enrolment.ts'
import { OwnerOrders } from './points/owner-orders.ts'
import { Registry } from './points/registry.ts'
import { Remainders } from './points/tree.ts'
import { type Database, openDatabase } from './store/database.ts'
import { Intake, type IntakeRow, isOversized, type Message, toMessage } from './store/intake.ts'
import { Quarantine } from './store/quarantine.ts'
import { Records } from './store/records.ts'

/** How a ledger is opened. */
export interface LedgerOptions {
  readonly dataDir: string
  readonly clock: Clock
  readonly verifier: SignatureVerifier
  readonly enrolment: EnrolmentMode
  /** Checks the whole database file first. */
  readonly check?: boolean
  /** Messages that may wait to be processed. */
  readonly backlogLimit?: number
  /** The first holders of EEA, five of them; it is issued when they are first named. */
  readonly eeaHolders?: readonly string[]
  /** The operator's key: made with the ledger, needed again for each act of the operator (SPEC-157). */
  readonly operatorKeyFile?: string
}

/** Messages that were stored, but for those that were left out, and what came of processing. */
export interface Stored {
  readonly shed: readonly Message[]
  readonly outcome: Outcome
}

// How a record is refused whose point is not enrolled.
const unknownCodes = { open: 'point/unknown', closed: 'point/closed-enrolment', signed: 'order/unsigned' } as const

/** Messages that one transaction takes, and how long it may work on them before the others get a turn. */
export const batchLimits = { messages: 500, ms: 100 } as const

/** The ledger without its network: messages in, answers out. Everything in between is one commit per batch. */
export class LedgerEngine {
  readonly db: Database
  readonly registry: Registry
  readonly ledger: Ledger
  readonly enrolment: Enrolment
  readonly orders: OwnerOrders
  readonly quarantine: Quarantine
  readonly intake: Intake
  readonly remainders: Remainders
  readonly journal: SqliteJournal
  readonly operator: Operator
  readonly transfers: Transfers
  readonly bounds: Bounds
  readonly bindings: Bindings
  readonly orderStore: OrderStore
  readonly #pipeline: Pipeline

  constructor(db: Database, options: LedgerOptions) {
    const { clock, verifier } = options
    const { enrolment: mode } = options
    this.operator = new Operator(db, options.operatorKeyFile)
    const journal = new SqliteJournal(db, clock, this.operator)
    const ledger = new SqliteLedger(journal)
    this.journal = journal
    this.db = db
    this.ledger = ledger
    this.registry = new Registry(db)
    this.enrolment = new Enrolment(db, this.registry, ledger, { clock, mode })
    this.orders = new OwnerOrders(db, this.registry, this.enrolment)
    this.intake = new Intake(db, clock, options.backlogLimit)
    this.quarantine = new Quarantine(db, clock, this.intake)
    this.remainders = new Remainders(db, this.registry, ledger)
    this.bounds = new Bounds(db, journal)
    this.transfers = new Transfers(db, journal, this.bounds)
    this.bindings = new Bindings(db, journal)
    this.orderStore = new OrderStore(db)
    this.#pipeline = new Pipeline({
      db,
      clock,
      registry: this.registry,
      enrolment: this.enrolment,
      orders: this.orders,
      records: new Records(db),
      quarantine: this.quarantine,
      ledger,
      remainders: this.remainders,
      verifier,
      unknownCode: unknownCodes[mode],
    })
  }

  /**
   * Stores messages untouched; once this returns they survive anything. Gives those that were left out because their
   * gateway has used up its share: no receipt answers them, so they come again.
   */
  store(messages: readonly Message[]): Stored {
    const outcome = emptyOutcome()
    return { shed: this.db.write(() => this.#storeAll(messages, outcome)), outcome }
  }

  /** Processes one batch of what is stored. What this gives is committed: receipts may go out. */
  processNext(): Outcome {
    return this.turn([]).outcome
  }

  /**
   * Stores messages and processes one batch of those that an earlier commit has stored, in one commit for both. A message
   * that breaks the program has been stored before, so it is known at the next start.
   */
  turn(messages: readonly Message[]): Stored {
    this.db.noticeOthers()
    this.#expire()
    const rows = this.intake.next(batchLimits.messages)
    const outcome = emptyOutcome()
    if (rows.length === 0 && messages.length === 0) return { shed: [], outcome }
    try {
      const shed = this.db.write(() => {
        // First, as it makes room for what comes.
        this.#processAll(rows, outcome)
        return this.#storeAll(messages, outcome)
      })
      return { shed, outcome }
    } catch (error) {
      if (isStorageError(error)) throw error
      const stored = this.store(messages)
      mergeOutcome(stored.outcome, this.#processOneByOne(rows))
      return stored
    }
  }

  #storeAll(messages: readonly Message[], outcome: Outcome): readonly Message[] {
    return messages.filter((message) => {
      if (isOversized(message)) this.#pipeline.quarantineOversized(message, outcome)
      else if (this.intake.isOverShare(message.gateway)) return true
      else this.intake.append(message)
      return false
    })
  }

  // Asked first, as a transaction for nothing would cost a write.
  #expire(): void {
    if (this.transfers.isExpiryDue()) this.db.write(() => this.transfers.expire())
  }

  #processAll(rows: readonly IntakeRow[], outcome: Outcome): void {
    const until = performance.now() + batchLimits.ms
    for (const row of rows) {
      this.#pipeline.process(row, outcome)
      this.intake.remove(row)
      if (performance.now() > until) break
    }
  }

  // A message that breaks the program must not break it again at each start: it is put aside, the others go on.
  #processOneByOne(rows: readonly IntakeRow[]): Outcome {
    const merged = emptyOutcome()
    for (const row of rows) {
      try {
        const outcome = emptyOutcome()
        this.db.write(() => this.#processAll([row], outcome))
        mergeOutcome(merged, outcome)
      } catch (error) {
        if (isStorageError(error)) throw error
        this.db.write(() => {
          this.#pipeline.quarantineBroken(row, error, merged)
          this.intake.remove(row)
        })
      }
    }
    return merged
  }

  /** Stores and processes everything at once: for benches and tests. */
  ingest(batch: readonly { readonly topic: string; readonly payload: Uint8Array }[]): Outcome {
    const { outcome } = this.store(batch.map(({ topic, payload }) => toMessage(topic, payload)))
    while (this.intake.waiting() > 0) mergeOutcome(outcome, this.processNext())
    return outcome
  }

  close(): void {
    this.db.close()
  }
}

function isStorageError(error: unknown): boolean {
  return error instanceof WattError && error.code.startsWith('storage/')
}

/** Adds a later outcome to an earlier one. */
export function mergeOutcome(into: Outcome, { answers, incidents, ...counts }: Outcome): void {
  for (const [id, { resend, refusal }] of answers) {
    const told = into.answers.get(id)?.refusal ?? refusal
    const again = resend || (into.answers.get(id)?.resend ?? false)
    into.answers.set(id, { resend: again, ...(told === undefined ? {} : { refusal: told }) })
  }
  into.incidents.push(...incidents)
  into.accepted += counts.accepted
  into.replayed += counts.replayed
  into.held += counts.held
  into.quarantined += counts.quarantined
}

/** Opens the ledger in a data directory, without a network. */
export function openLedger(options: LedgerOptions): LedgerEngine {
  const engine = new LedgerEngine(openDatabase(options.dataDir, { check: options.check ?? false }), options)
  const { eeaHolders } = options
  try {
    engine.db.write(() => {
      takeOffice(engine, options.enrolment)
      noteStorageStart(engine)
    })
    if (eeaHolders !== undefined) engine.db.write(() => issueEea(engine.journal, eeaHolders))
    return engine
  } catch (error) {
    engine.close()
    throw error
  }
}
