import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { decodeWith } from '@wattline/protocol'
import * as v from 'valibot'

const ms = v.pipe(v.number(), v.finite())
const wh = v.pipe(v.number(), v.finite())

const sample = v.strictObject({
  atMs: ms,
  context: v.picklist(['Transaction.Begin', 'Transaction.End', 'Sample.Periodic', 'Sample.Clock', 'Trigger']),
  /** With three decimals. */
  registerWh: wh,
  powerW: v.number(),
  currentA: v.array(v.number()),
  offeredA: v.number(),
  socPercent: v.exactOptional(v.number()),
})

/** One message of a transaction, in the words of OCPP 2.0.1, before any version has encoded it. */
const queuedEvent = v.strictObject({
  transactionId: v.string(),
  eventType: v.picklist(['Started', 'Updated', 'Ended']),
  atMs: ms,
  seqNo: v.number(),
  triggerReason: v.string(),
  offline: v.boolean(),
  evseId: v.number(),
  chargingState: v.string(),
  idToken: v.exactOptional(v.string()),
  remoteStartId: v.exactOptional(v.number()),
  reservationId: v.exactOptional(v.number()),
  stoppedReason: v.exactOptional(v.string()),
  /** The register at the begin of the transaction. */
  startWh: wh,
  samples: v.array(sample),
  attempts: v.number(),
})

const openTransaction = v.strictObject({
  id: v.string(),
  evseId: v.number(),
  idToken: v.string(),
  groupIdToken: v.exactOptional(v.string()),
  startedAtMs: ms,
  startWh: wh,
  nextSeqNo: v.number(),
  /** Begun by the CSMS, not by a card. */
  remote: v.boolean(),
})

const listEntry = v.strictObject({
  idToken: v.string(),
  status: v.string(),
  groupIdToken: v.exactOptional(v.string()),
  expiresAtMs: v.exactOptional(ms),
})

const profile = v.strictObject({
  id: v.number(),
  evseId: v.number(),
  stackLevel: v.number(),
  purpose: v.picklist([
    'ChargingStationExternalConstraints',
    'ChargingStationMaxProfile',
    'TxDefaultProfile',
    'TxProfile',
  ]),
  kind: v.picklist(['Absolute', 'Recurring', 'Relative']),
  recurrency: v.optional(v.picklist(['Daily', 'Weekly'])),
  validFromMs: v.optional(ms),
  validToMs: v.optional(ms),
  transactionId: v.optional(v.string()),
  startMs: v.optional(ms),
  durationSeconds: v.optional(v.number()),
  unit: v.picklist(['A', 'W']),
  periods: v.pipe(
    v.array(v.strictObject({ startSeconds: v.number(), limit: v.number(), phases: v.optional(v.number()) })),
    v.readonly(),
  ),
})

const reservation = v.strictObject({
  id: v.number(),
  evseId: v.number(),
  idToken: v.string(),
  groupIdToken: v.exactOptional(v.string()),
  expiresAtMs: ms,
})

const security = v.strictObject({
  /** Of the request that is under way. */
  pendingKey: v.exactOptional(v.string()),
  own: v.exactOptional(v.strictObject({ chain: v.string(), key: v.string() })),
  roots: v.array(v.strictObject({ type: v.string(), pem: v.string() })),
  /** OCPP 2.x: where to connect, by configuration slot. */
  networkProfiles: v.record(v.string(), v.strictObject({ url: v.string(), securityProfile: v.number() })),
})

const displayMessage = v.strictObject({ id: v.number(), info: v.record(v.string(), v.unknown()) })

const monitor = v.strictObject({
  id: v.number(),
  component: v.string(),
  variable: v.string(),
  type: v.string(),
  value: v.number(),
  severity: v.number(),
})

const stateSchema = v.strictObject({
  version: v.literal(1),
  transactionsMade: v.number(),
  /** What the meter of each EVSE has counted, in mJ as decimal text. */
  registers: v.record(v.string(), v.string()),
  queue: v.array(queuedEvent),
  open: v.array(openTransaction),
  /** OCPP 1.6: what the CSMS calls each transaction. */
  givenIds: v.record(v.string(), v.number()),
  settings: v.record(v.string(), v.string()),
  localList: v.strictObject({ version: v.number(), entries: v.array(listEntry) }),
  cache: v.array(listEntry),
  reservations: v.array(reservation),
  profiles: v.array(profile),
  /** EVSEs out of order by ChangeAvailability; 0 is the station. */
  inoperative: v.array(v.number()),
  security: v.optional(security, { roots: [], networkProfiles: {} }),
  displayMessages: v.optional(v.array(displayMessage), []),
  monitors: v.optional(v.array(monitor), []),
})

export type StationState = v.InferOutput<typeof stateSchema>
export type QueuedEvent = v.InferOutput<typeof queuedEvent>
export type OpenTransaction = v.InferOutput<typeof openTransaction>
export type Sample = v.InferOutput<typeof sample>
export type ListEntry = v.InferOutput<typeof listEntry>
export type Reservation = v.InferOutput<typeof reservation>

/** Where the state lies. `write` has returned only when the text survives a power cut. */
export interface StateStorage {
  read(): string | undefined
  write(text: string): void
}

const firstState: StationState = {
  version: 1,
  transactionsMade: 0,
  registers: {},
  queue: [],
  open: [],
  givenIds: {},
  settings: {},
  localList: { version: 0, entries: [] },
  cache: [],
  reservations: [],
  profiles: [],
  inoperative: [],
  security: { roots: [], networkProfiles: {} },
  displayMessages: [],
  monitors: [],
}

/** What a station knows after a power cut. Each change is whole: in memory and in storage, or nowhere. */
export class DurableState {
  readonly #storage: StateStorage
  #state: StationState

  constructor(storage: StateStorage) {
    this.#storage = storage
    const text = storage.read()
    this.#state =
      text === undefined ? firstState : decodeWith(stateSchema, JSON.parse(text), 'station state', 'storage/corrupt')
  }

  get now(): StationState {
    return this.#state
  }

  change(change: Partial<StationState>): void {
    const next = { ...this.#state, ...change }
    this.#storage.write(JSON.stringify(next))
    this.#state = next
  }
}

/** A file that is replaced whole: after a cut it holds the old text or the new one. */
export function fileStorage(path: string): StateStorage {
  mkdirSync(dirname(path), { recursive: true })
  const draft = join(dirname(path), '.state.draft')
  return {
    read() {
      try {
        return readFileSync(path, 'utf8')
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
        throw error
      }
    },
    write(text) {
      const file = openSync(draft, 'w')
      writeFileSync(file, text)
      fsyncSync(file)
      closeSync(file)
      renameSync(draft, path)
      const folder = openSync(dirname(path), 'r')
      fsyncSync(folder)
      closeSync(folder)
    },
  }
}
