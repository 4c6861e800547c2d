import type { OcppVersion } from '@wattline/protocol'
import { Intake } from '../src/ocpp/intake.ts'
import type { Authorizer, OcppPayload } from '../src/ocpp/transaction-sink.ts'
import type { SessionReading } from '../src/sessions/session-signer.ts'
import { SessionSink } from '../src/sessions/session-sink.ts'
import { completeness, type SessionState, sessionWh } from '../src/sessions/session-state.ts'
import { openStore, type Store } from '../src/store/database.ts'
import { SessionStore } from '../src/store/sessions.ts'
import { HandClock, makeTempFolder, type Teardown } from './signing-rig.ts'

export const baseMs = Date.UTC(2027, 0, 15, 8)

/** Seconds after the beginning of a story, as stations write them. */
export function time(seconds: number): string {
  return new Date(baseMs + seconds * 1000).toISOString()
}

/** Everybody is let in but these; `CARD` is listed for a driver. */
const verdicts: Record<string, 'Blocked' | 'ConcurrentTx'> = { BLOCKED: 'Blocked', TWICE: 'ConcurrentTx' }
export const rigAuthorizer: Authorizer = {
  authorize: ({ idToken }) => ({
    status: verdicts[idToken] ?? 'Accepted',
    ...(/^CARD/.test(idToken) ? { driver: 'anna', groupIdToken: 'FAMILY' } : {}),
  }),
}

export interface SessionLine {
  readonly place: string
  readonly driver?: string
  readonly wh: number
  readonly completeness: string
  readonly remarks: readonly string[]
}

export interface SessionRig {
  readonly store: Store
  readonly books: SessionStore
  readonly sink: SessionSink
  readonly clock: HandClock
  readonly signed: SessionReading[]
  readonly dataDir: string
  /** Sends a request as a station would, at `seconds` of the story by our clock, or right after the one before. */
  send(action: string, payload: OcppPayload, seconds?: number): Promise<OcppPayload>
  lines(): readonly SessionLine[]
  frames(): readonly { readonly action: string; readonly outcome: string; readonly notes: string }[]
  /** How far the register of the place has gone on, or of connector 1. */
  placeWh(connectorId?: number): number
}

export interface SessionRigOptions {
  readonly version?: OcppVersion
  readonly authorizer?: Authorizer
  readonly dataDir?: string
  readonly sign?: (reading: SessionReading) => void
}

/** For tests: everything from a request to its session, with a real database and without sockets. */
export function makeSessionRig(teardown: Teardown, options: SessionRigOptions = {}): SessionRig {
  const { version = 'ocpp1.6', dataDir = makeTempFolder(teardown), authorizer = rigAuthorizer } = options
  const store = openStore(dataDir)
  teardown(() => store.close())
  // Nobody pulls the plug here, and each message would wait for the disk.
  store.db.pragma('synchronous = OFF')
  const clock = new HandClock()
  clock.nowMs = baseMs
  const signed: SessionReading[] = []
  const signer = {
    sign: (reading: SessionReading) => {
      options.sign?.(reading)
      signed.push(reading)
    },
  }
  const sink = new SessionSink({ store, clock, authorizer, signer })
  const intake = new Intake({
    store,
    clock,
    sink,
    authorizer,
    heartbeatSeconds: 300,
    onDoubt: () => {},
    onMessage: () => {},
  })
  const books = new SessionStore(store)
  let messages = 0
  return {
    store,
    books,
    sink,
    clock,
    signed,
    dataDir,
    send: async (action, payload, seconds) => {
      if (seconds !== undefined) clock.nowMs = baseMs + seconds * 1000
      const frame = JSON.stringify([2, `m${messages++}`, action, payload])
      const call = { stationId: 'CP1', version, action, messageId: 'm', payload, frame, timeZone: 'UTC' }
      return await intake.answer(call)
    },
    lines: () => books.latest(100).toReversed().map(toLine),
    frames: () =>
      store.db.prepare('SELECT action, outcome, notes FROM ocpp_frames ORDER BY number').all() as {
        action: string
        outcome: string
        notes: string
      }[],
    placeWh: (connectorId = 1) => Number(books.readPlace({ stationId: 'CP1', connectorId })?.register?.placeWh),
  }
}

export function toLine(session: SessionState): SessionLine {
  return {
    place: `${session.stationId}/${session.connectorId}`,
    ...(session.driver === undefined ? {} : { driver: session.driver }),
    wh: Number(sessionWh(session)),
    completeness: completeness(session),
    remarks: [...session.doubts, ...session.notes],
  }
}

/** One value of the import register, as 1.6 writes it. */
export function values(wh: number | string, seconds: number, more: object = {}) {
  const sampledValue = [{ value: String(wh), measurand: 'Energy.Active.Import.Register', unit: 'Wh', ...more }]
  return { timestamp: time(seconds), sampledValue }
}
