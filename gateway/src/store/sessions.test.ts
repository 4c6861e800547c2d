import test from 'ava'
import fc from 'fast-check'
import { makeSession, moment } from '../../test/session-states.ts'
import { makeTempFolder } from '../../test/signing-rig.ts'
import { openStore } from './database.ts'
import { SessionStore } from './sessions.ts'

const stationId = 'CP1'
// Two transactions at two places, so that sessions get into each other's way.
const stepArbitrary = fc.record({
  what: fc.constantFrom('open', 'value', 'settle', 'available', 'prune', 'clock'),
  connectorId: fc.integer({ min: 1, max: 2 }),
  transaction: fc.constantFrom('7', '8'),
  wh: fc.bigInt(0n, 50n),
  fails: fc.constantFrom('no', 'no', 'part', 'all'),
})
interface Step {
  readonly what: 'open' | 'value' | 'settle' | 'available' | 'prune' | 'clock'
  readonly connectorId: number
  readonly transaction: string
  readonly wh: bigint
}

let frame = 0

function take(books: SessionStore, { what, connectorId, transaction, wh }: Step): void {
  const place = { stationId, connectorId }
  const session = books.findTransaction(stationId, transaction)
  switch (what) {
    case 'open':
      books.writeSession(makeSession(++frame, connectorId, transaction))
      break
    case 'prune':
      books.prune({ beforeMs: 2, most: 100, chunk: 10 })
      break
    case 'clock':
      books.writeClock(stationId, { aheadMs: Number(wh), offsetMs: 0 })
      break
    case 'settle':
      for (const one of books.unsettled(place)) books.writeSession({ ...one, isSettled: true })
      break
    case 'available':
      if (session !== undefined) books.writeSession({ ...session, isAvailable: true })
      break
    case 'value': {
      if (session === undefined) break
      session.lastWh = wh
      session.heardAt = moment(Number(wh))
      const known = books.readPlace(place) ?? { endedWh: 0n }
      known.endedWh = wh
      books.writeSession(session)
      books.writePlace(place, known)
    }
  }
}

// Everything that can be asked.
const view = (books: SessionStore) => ({
  found: ['7', '8'].map((transaction) => books.findTransaction(stationId, transaction)),
  unsettled: books.unsettled({}),
  latest: books.latest(100).map((session) => books.findStart(stationId, session.startKey ?? '')),
  places: [1, 2].map((connectorId) => books.readPlace({ stationId, connectorId })),
  clock: books.readClock(stationId),
})

test('what is remembered of sessions is what stands in the database, whatever was undone', (t) => {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  store.db.pragma('synchronous = OFF')
  fc.assert(
    fc.property(fc.array(stepArbitrary, { maxLength: 30 }), (steps) => {
      const books = new SessionStore(store)
      for (const { fails, ...step } of steps) {
        const failing = (wanted: string, work: () => void) => {
          work()
          if (fails === wanted) throw new Error('undone')
        }
        try {
          store.write(() => {
            try {
              store.write(() => failing('part', () => take(books, step)))
            } catch {
              take(books, { ...step, what: 'value' }) // goes on after a part was undone
            }
            failing('all', () => {})
          })
        } catch {
          // as a full disk would have it
        }
        t.deepEqual(view(books), view(new SessionStore(store)))
      }
    }),
    { numRuns: 60 },
  )
})

test('what is read is the reader’s own until it is written', (t) => {
  const store = openStore(makeTempFolder(t.teardown))
  t.teardown(() => store.close())
  const books = new SessionStore(store)
  store.write(() => books.writeSession(makeSession(1, 1, '7')))
  const read = books.findTransaction(stationId, '7')
  if (read !== undefined) read.lastWh = 99n
  t.is(books.findTransaction(stationId, '7')?.lastWh, undefined)
})
