import test from 'ava'
import fc from 'fast-check'
import { roofRecord } from '../../test/arbitraries.ts'
import { toDriverAssignment } from '../driver.ts'
import type { OcmfRecord, TransactionMark } from '../ocmf.ts'
import { type OpenSession, type SessionCount, stepSession } from './session.ts'

const counted = (importWh: bigint): SessionCount => ({ kind: 'counted', importWh })
const base: SessionCount = { kind: 'base', importWh: 0n }
const none: SessionCount = { kind: 'none', importWh: 0n }

function marked(mark: TransactionMark | undefined, pageNumber: number, driver?: string): OcmfRecord {
  const record = roofRecord(7, '0'.repeat(64), { pageNumber })
  return mark === undefined ? record : { ...record, context: 'T', mark, user: toDriverAssignment(driver) }
}

const open: OpenSession = { epoch: 1, sequence: 2, pageNumber: 5, driver: 'bob', countedWh: 40n, sound: true }

test('SPEC-87: a pair is a bill; whatever breaks it is the owner’s, with the reason', (t) => {
  t.deepEqual(stepSession(open, marked('E', 6, 'bob'), counted(2n)), {
    burnWh: 42n,
    bill: { begin: open, driver: 'bob' },
  })
  for (const mark of ['L', 'R', 'A', 'P'] as const) {
    t.truthy(stepSession(open, marked(mark, 6, 'bob'), counted(2n)).bill, mark)
  }
  const { driver: _driver, ...ownersOwn } = open
  t.deepEqual(stepSession(ownersOwn, marked('E', 6), counted(2n)), { burnWh: 42n, bill: { begin: ownersOwn } })
  const flaw = (session: OpenSession, record: OcmfRecord, count: SessionCount) =>
    stepSession(session, record, count).reason
  t.is(flaw(open, marked('E', 7, 'bob'), counted(2n)), 'something is missing between begin and end')
  t.is(flaw(open, marked('E', 6, 'eve'), counted(2n)), 'begin and end name different drivers')
  t.is(
    flaw({ ...open, sound: false }, marked('E', 6, 'bob'), counted(2n)),
    'its begin is in doubt, or counting started anew',
  )
  for (const count of [none, base]) t.is(flaw(open, marked('E', 6, 'bob'), count), 'its end is in doubt')
  t.deepEqual(stepSession(undefined, marked('E', 6, 'bob'), counted(2n)), { burnWh: 2n, reason: 'it has no begin' })
})

test('SPEC-87: a begin settles what was counted before it, and starts from nothing', (t) => {
  const begin = { epoch: roofRecord(7, '').epoch, sequence: 7, pageNumber: 6, driver: 'eve', countedWh: 0n }
  t.deepEqual(stepSession(open, marked('B', 6, 'eve'), counted(2n)), {
    open: { ...begin, sound: true },
    burnWh: 42n,
    reason: 'it has no end',
  })
  t.deepEqual(stepSession(undefined, marked('B', 6, 'eve'), base), { open: { ...begin, sound: true }, burnWh: 0n })
  t.like(stepSession(undefined, marked('B', 6, 'eve'), none), { open: { sound: false } })
})

test('SPEC-87: an interval books outside a session only, and makes it no bill where counting starts anew', (t) => {
  t.deepEqual(stepSession(undefined, marked(undefined, 1), counted(3n)), { burnWh: 3n })
  t.deepEqual(stepSession(open, marked(undefined, 1), counted(3n)), { burnWh: 0n, open: { ...open, countedWh: 43n } })
  t.like(stepSession(open, marked(undefined, 1), base), { open: { sound: false } })
  t.like(stepSession(open, marked(undefined, 1), none), { open: { sound: true } })
})

test('SPEC-87: whatever the marks, everything that is counted is booked or open, once', (t) => {
  const step = fc.record({
    mark: fc.constantFrom<TransactionMark | undefined>('B', 'E', 'L', undefined),
    page: fc.integer({ min: 1, max: 4 }),
    driver: fc.constantFrom('bob', 'eve', undefined),
    wh: fc.bigInt({ min: 0n, max: 1_000n }),
    kind: fc.constantFrom<SessionCount['kind']>('counted', 'counted', 'base', 'none'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let session: OpenSession | undefined
      let [total, booked] = [0n, 0n]
      for (const { mark, page, driver, wh, kind } of steps) {
        const importWh = kind === 'counted' ? wh : 0n
        const result = stepSession(session, marked(mark, page, driver), { kind, importWh })
        total += importWh
        booked += result.burnWh
        session = result.open
        t.true(result.burnWh >= 0n)
        t.is(booked + (session?.countedWh ?? 0n), total)
      }
    }),
  )
})
