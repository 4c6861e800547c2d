import { makeTimestamp, type OcppVersion } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { MemoryBooks } from '../../test/memory-books.ts'
import { baseMs, time, toLine, values } from '../../test/session-rig.ts'
import type { OcppPayload } from '../ocpp/transaction-sink.ts'
import {
  type ChargingEvent,
  type EventSource,
  readMeterValues,
  readStart,
  readStop,
  readTransactionEvent,
} from './charging-event.ts'
import { SessionMachine } from './session-machine.ts'
import type { SessionReading } from './session-signer.ts'
import { sessionWh } from './session-state.ts'

type Read = (source: EventSource) => ChargingEvent
interface Told {
  readonly read: Read
  readonly version: OcppVersion
  readonly payload: OcppPayload | ((machine: Teller) => OcppPayload)
}

const authorisation = { status: 'Accepted', driver: 'anna' } as const

/** Tells the machine what a station says, as the sink does. Everything arrives a day after it happened. */
class Teller {
  readonly books = new MemoryBooks()
  readonly machine = new SessionMachine(this.books)
  readonly signed: SessionReading[] = []
  readonly #contents = new Set<string>()
  #frame = 0

  tell({ read, version, payload }: Told): void {
    const content = typeof payload === 'function' ? payload(this) : payload
    const contentHash = JSON.stringify(content)
    const source = { stationId: 'CP1', version, payload: content, contentHash, clockStatus: 'S' } as const
    const arrivedAt = makeTimestamp(baseMs + 86_400_000)
    const isRepeat = this.#contents.has(contentHash)
    this.#contents.add(contentHash)
    this.#frame += 1
    const event = read({ ...source, arrivedAt, isRepeat, frame: this.#frame })
    const { readings } = this.machine.take(event, event.tokens.length > 0 ? authorisation : undefined)
    this.signed.push(...readings)
  }

  settle(): void {
    this.signed.push(...this.machine.settle(baseMs + 30 * 86_400_000))
  }

  get sessions() {
    return [...this.books.sessions.values()]
  }

  get placeWh(): bigint {
    return this.books.places.get('CP1/1')?.register?.placeWh ?? 0n
  }
}

// What is known in the end, without what depends on the order by its nature: numbers of frames, and times of arrival.
function summary(teller: Teller) {
  return teller.sessions
    .map((session) => ({
      ...toLine(session),
      begin: String(session.beginWh),
      end: String(session.end?.wh),
      begun: session.begunAt.claimedAt,
      ended: session.end?.at.claimedAt,
      settled: session.isSettled,
    }))
    .toSorted((a, b) => a.begun - b.begun)
}

function signedPairs({ signed }: Teller) {
  return signed
    .filter(({ mark }) => mark !== 'interval')
    .map(({ mark, registerWh, takenAt, driver }) => [mark, String(registerWh), takenAt, driver])
}

interface Session {
  readonly steps: readonly number[]
  readonly idle: number
}
const session = fc.record({
  steps: fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 6 }),
  idle: fc.integer({ min: 0, max: 500 }),
})

const value2 = (wh: number, seconds: number) => ({
  timestamp: time(seconds),
  sampledValue: [{ value: wh, measurand: 'Energy.Active.Import.Register' }],
})

/** The events of one 2.x transaction; only the first must name the place. */
function events2({ steps, idle }: Session, n: number, fromWh: number, isPlaceNamed = false): readonly Told[] {
  const registers = [fromWh + idle]
  for (const step of steps) registers.push((registers.at(-1) ?? 0) + step)
  return registers.map((wh, seqNo) => ({
    version: 'ocpp2.0.1',
    read: readTransactionEvent,
    payload: {
      eventType: seqNo === 0 ? 'Started' : seqNo === steps.length ? 'Ended' : 'Updated',
      timestamp: time(10_000 * n + 60 * seqNo),
      seqNo,
      transactionInfo: { transactionId: `tx-${n}` },
      ...(seqNo === 0 ? { idToken: { idToken: 'CARD' } } : {}),
      ...(seqNo === 0 || isPlaceNamed ? { evse: { id: 1 } } : {}),
      meterValue: [value2(wh, 10_000 * n + 60 * seqNo)],
    },
  }))
}

/** The messages of one 1.6 transaction. Everything after the start carries the number that the start was given. */
function events16({ steps, idle }: Session, n: number, fromWh: number): readonly Told[] {
  const version = 'ocpp1.6' as const
  const at = 10_000 * n
  const begin = { connectorId: 1, idTag: 'CARD', meterStart: fromWh + idle, timestamp: time(at) }
  const idOf = ({ sessions }: Teller) =>
    sessions.find(({ begunAt, isStarted }) => isStarted && begunAt.claimedAt === Date.parse(begin.timestamp))?.id ?? -1
  const told: Told[] = [{ version, read: readStart, payload: begin }]
  let wh = begin.meterStart
  steps.forEach((step, i) => {
    wh += step
    const [meterValue, seconds] = [values(wh, at + 60 * (i + 1)), at + 60 * (i + 1)]
    const meterStop = wh
    told.push(
      i < steps.length - 1
        ? {
            version,
            read: readMeterValues,
            payload: (teller) => ({ connectorId: 1, transactionId: idOf(teller), meterValue: [meterValue] }),
          }
        : {
            version,
            read: readStop,
            payload: (teller) => ({ transactionId: idOf(teller), meterStop, timestamp: time(seconds) }),
          },
    )
  })
  return told
}

function tellAll(told: readonly Told[]): Teller {
  const teller = new Teller()
  for (const one of told) teller.tell(one)
  teller.settle()
  return teller
}

/** A life of sessions, one after another, on one register. */
function life(sessions: readonly Session[], make: typeof events2): readonly (readonly Told[])[] {
  let fromWh = 1_000
  return sessions.map((one, n) => {
    const told = make(one, n, fromWh)
    fromWh += one.idle + one.steps.reduce((sum, step) => sum + step, 0)
    return told
  })
}

const lives = fc.array(session, { minLength: 1, maxLength: 4 })
const makers = { '1.6': events16, '2.0.1': events2 } as const

function checkBooks(t: ExecutionContext, teller: Teller): void {
  const all = teller.sessions.map(sessionWh)
  t.true(all.every((wh) => wh >= 0n))
  const ends = teller.signed.filter(({ mark }) => mark !== 'interval')
  const registers = teller.signed.map(({ registerWh }) => registerWh)
  t.deepEqual(
    registers,
    registers.toSorted((a, b) => Number(a - b)),
  )
  const keys = ends.map(({ sessionId, mark }) => `${sessionId} ${mark}`)
  t.is(new Set(keys).size, keys.length, 'signed once')
  t.deepEqual(
    ends.map(({ mark }) => mark),
    ends.map((_, at) => (at % 2 === 0 ? 'begin' : 'end')),
  )
}

for (const [name, make] of Object.entries(makers)) {
  test(`SPEC-110: OCPP ${name}: the sessions of a place and what flows between them are its register’s difference`, (t) => {
    fc.assert(
      fc.property(lives, (sessions) => {
        const teller = tellAll(life(sessions, make).flat())
        const used = sessions.map(({ steps }) => steps.reduce((sum, step) => sum + step, 0))
        t.deepEqual(
          teller.sessions.map((one) => Number(sessionWh(one))),
          used,
        )
        const between = sessions.slice(1).reduce((sum, { idle }) => sum + idle, 0)
        const firstWh = 1_000 + (sessions[0]?.idle ?? 0)
        t.is(Number(teller.placeWh) - firstWh, used.reduce((sum, wh) => sum + wh, 0) + between)
        checkBooks(t, teller)
      }),
    )
  })

  test(`SPEC-102: OCPP ${name}: a message that comes again, at once or later, changes nothing`, (t) => {
    fc.assert(
      fc.property(lives, fc.array(fc.tuple(fc.nat(40), fc.nat(40)), { maxLength: 12 }), (sessions, repeats) => {
        const told = life(sessions, make).flat()
        const once = tellAll(told)
        // Each is told again at some place after its first time.
        const again = told.map((one) => [one])
        for (const [which, later] of repeats) {
          const from = which % told.length
          again[from + (later % (told.length - from))]?.push(told[from]!)
        }
        const often = tellAll(again.flat())
        t.deepEqual(summary(often), summary(once))
        t.deepEqual(signedPairs(often), signedPairs(once))
      }),
    )
  })

  test(`SPEC-116: OCPP ${name}: whatever is lost, no energy is in two sessions, and none is negative`, (t) => {
    fc.assert(
      fc.property(lives, fc.array(fc.boolean(), { minLength: 28, maxLength: 28 }), (sessions, isLost) => {
        const told = life(sessions, make).flat()
        const teller = tellAll(told.filter((_, at) => isLost[at] === false))
        checkBooks(t, teller)
        const sum = teller.sessions.map(sessionWh).reduce((all, wh) => all + wh, 0n)
        const used = sessions
          .map(({ steps, idle }) => idle + steps.reduce((a, b) => a + b, 0))
          .reduce((a, b) => a + b, 0)
        t.true(sum <= BigInt(used))
      }),
    )
  })
}

test('SPEC-115: OCPP 2.x: the messages of a transaction in any order, and again, give the same session', (t) => {
  const shuffled = fc.tuple(lives, fc.array(fc.nat(1_000), { minLength: 30, maxLength: 30 }), fc.boolean())
  fc.assert(
    fc.property(shuffled, ([sessions, keys, isPlaceNamed]) => {
      const told = life(sessions, (one, n, fromWh) => events2(one, n, fromWh, isPlaceNamed))
      const inOrder = tellAll(told.flat())
      const mixed = told.map((ofOne) =>
        [...ofOne, ...ofOne]
          .map((one, at) => ({ one, key: keys[at % keys.length]! * (at + 7) }))
          .toSorted((a, b) => (a.key % 101) - (b.key % 101))
          .map(({ one }) => one),
      )
      const other = tellAll(mixed.flat())
      t.deepEqual(summary(other), summary(inOrder))
      t.deepEqual(signedPairs(other), signedPairs(inOrder))
    }),
    { numRuns: 300 },
  )
})

test('SPEC-115: what a station tells in any order moves the register of the place to one and the same value', (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { minLength: 2, maxLength: 20 }),
      fc.array(fc.nat(1_000), { minLength: 20, maxLength: 20 }),
      (steps, keys) => {
        const rising = steps.toSorted((a, b) => a - b)
        const told = rising.map((wh, at) => ({
          version: 'ocpp1.6' as const,
          read: readMeterValues,
          payload: { connectorId: 1, meterValue: [values(wh, 60 * at)] },
        }))
        const mixed = told.map((one, at) => ({ one, key: keys[at]! })).toSorted((a, b) => a.key - b.key)
        t.is(tellAll(mixed.map(({ one }) => one)).placeWh, BigInt(rising.at(-1)!))
      },
    ),
  )
})
