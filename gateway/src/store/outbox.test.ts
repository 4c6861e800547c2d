import { join } from 'node:path'
import { type ErrorCode, makeMeterId, parseCertificate, parseOcmfText, type Receipt } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { laterSession, placesOf, receiptFor, rigWith, settle, takeAll } from '../../test/settling-rig.ts'
import { HandClock, makeTempFolder, openRig, type SigningRig } from '../../test/signing-rig.ts'
import { exchangeKey } from '../identity/rotation.ts'
import { getPoint, type Place } from './points.ts'
import { pruneChunk, usedBytes } from './prune.ts'

test('records are taken once, in order, the points in turn', (t) => {
  const rig = rigWith(t, 3, ['roof', 'house'])
  const first = takeAll(rig, 4)
  t.deepEqual(
    first.filter((place) => place.startsWith('roof')),
    ['roof 1', 'roof 2'],
  )
  t.deepEqual(
    first.filter((place) => place.startsWith('house')),
    ['house 1', 'house 2'],
  )
  t.deepEqual(takeAll(rig).toSorted(), ['house 3', 'roof 3'])
  t.deepEqual(takeAll(rig), [])
  t.is(rig.outbox.inFlight(), 6)
})

test('one point with much to send does not starve the others', (t) => {
  const rig = rigWith(t, 1, ['roof', 'house'])
  for (let n = 0; n < 50; n++) rig.sign(2_000 + n, 'roof')
  t.true(takeAll(rig, 4).includes('house 1'))
})

test('SPEC-70: only the ledger frees a record; until then it is pending again after a restart', (t) => {
  const rig = rigWith(t, 3)
  takeAll(rig)
  rig.outbox.rewind()
  t.deepEqual(takeAll(rig), ['roof 1', 'roof 2', 'roof 3'])
  const [, second] = placesOf(rig)
  t.like(settle(rig, receiptFor(rig.points[0]!, second!)), { outcome: 'progressed', confirmed: 2 })
  t.is(rig.outbox.waiting(rig.points[0]!), 1)
  t.is(rig.outbox.inFlight(), 1)
  rig.outbox.rewind()
  t.deepEqual(takeAll(rig), ['roof 3'])
})

test('SPEC-71: within a session an older receipt changes nothing', (t) => {
  const rig = rigWith(t, 3)
  const [first, , third] = placesOf(rig)
  const older = receiptFor(rig.points[0]!, first!)
  settle(rig, receiptFor(rig.points[0]!, third!))
  t.is(settle(rig, older).outcome, 'stale')
  t.is(rig.outbox.waiting(rig.points[0]!), 0)
})

test('SPEC-71: a new session may go back, and everything after is sent again; the old session is over', (t) => {
  const rig = rigWith(t, 3)
  const [first, , third] = placesOf(rig)
  settle(rig, receiptFor(rig.points[0]!, third!))
  t.is(settle(rig, receiptFor(rig.points[0]!, first!, { session: laterSession })).outcome, 'moved-back')
  t.deepEqual(takeAll(rig), ['roof 2', 'roof 3'])
  t.is(settle(rig, receiptFor(rig.points[0]!, third!)).outcome, 'outdated')
})

test('SPEC-71: what a broker delivers again after a restart, from a session that is over, ends no later one', (t) => {
  const folder = makeTempFolder((action) => t.teardown(action))
  const before = openRig({ dataDir: folder })
  for (let n = 0; n < 3; n++) before.sign(1_000 + n)
  const [first, second, third] = placesOf(before)
  settle(before, receiptFor(before.points[0]!, first!))
  settle(before, receiptFor(before.points[0]!, second!, { session: laterSession }))
  before.close()
  const rig = openRig({ dataDir: folder })
  t.teardown(() => rig.close())
  t.is(settle(rig, receiptFor(rig.points[0]!, first!)).outcome, 'outdated')
  t.is(settle(rig, receiptFor(rig.points[0]!, third!, { session: laterSession })).outcome, 'progressed')
})

test('SPEC-71: a ledger that has lost everything gets everything again', (t) => {
  const rig = rigWith(t, 3)
  settle(rig, receiptFor(rig.points[0]!, placesOf(rig)[2]!))
  const empty = receiptFor(rig.points[0]!, { epoch: 0, sequence: 0, hash: '' }, { session: laterSession })
  t.is(settle(rig, empty).outcome, 'moved-back')
  t.deepEqual(takeAll(rig), ['roof 1', 'roof 2', 'roof 3'])
})

test('SPEC-73: a receipt whose hash is not ours frees nothing', (t) => {
  const rig = rigWith(t, 3)
  const place = { ...placesOf(rig)[1]!, hash: 'f'.repeat(64) }
  t.is(settle(rig, receiptFor(rig.points[0]!, place)).outcome, 'foreign')
  t.is(rig.outbox.waiting(rig.points[0]!), 3)
})

test('SPEC-73: a place that is not remembered opens a new epoch above it, once', (t) => {
  const rig = rigWith(t, 3)
  const [, , third] = placesOf(rig)
  const ahead = { epoch: third!.epoch, sequence: 9, hash: 'a'.repeat(64) }
  const settled = settle(rig, receiptFor(rig.points[0]!, ahead))
  t.is(settled.outcome, 'unknown')
  t.true((settled.openedEpoch ?? 0) > third!.epoch)
  t.is(settle(rig, receiptFor(rig.points[0]!, ahead)).openedEpoch, undefined)
  const next = rig.sign(2_000)
  t.is(settled.openedEpoch, next.epoch)
  t.is(next.sequence, 4)
  const inFuture = { ...ahead, epoch: next.epoch + 10 ** 9 }
  t.true((settle(rig, receiptFor(rig.points[0]!, inFuture)).openedEpoch ?? 0) > inFuture.epoch)
})

const refuse = (rig: SigningRig, place: Place, code: ErrorCode, confirmed: Place) =>
  receiptFor(rig.points[0]!, confirmed, { refusal: { ...place, code, message: 'no' } })

for (const code of ['chain/broken', 'record/epoch-closed', 'record/bad-signature', 'record/malformed'] as const) {
  test(`SPEC-72: after ${code} the chain goes on from what the ledger has, and the refused are kept`, (t) => {
    const rig = rigWith(t, 4)
    const [, second, third] = placesOf(rig)
    const receipt = refuse(rig, third!, code, second!)
    t.like(settle(rig, receipt), { outcome: 'progressed', rejected: 2 })
    const again = refuse(rig, third!, code, second!)
    t.is(settle(rig, again).openedEpoch, undefined, 'said again, done once')
    t.is(rig.outbox.waiting(rig.points[0]!), 0)
    const record = rig.sign(2_000)
    t.is(record.sequence, 3)
    const parsed = parseOcmfText(rig.texts().at(-1)!)
    t.is(parsed.record.previousHash, second!.hash)
    t.is(parsed.record.pageNumber, 3)
    t.deepEqual(takeAll(rig), ['roof 3'])
    t.is(rig.texts().length, 5, 'nothing is thrown away')
  })
}

test('SPEC-72: a chain refused before anything was accepted begins again at the certificate', (t) => {
  const rig = rigWith(t, 2)
  const [first] = placesOf(rig)
  settle(rig, refuse(rig, first!, 'chain/broken', { epoch: 0, sequence: 0, hash: '' }))
  t.is(rig.sign(2_000).sequence, 1)
  const [before, after] = [rig.texts()[0]!, rig.texts().at(-1)!].map((text) => parseOcmfText(text).record)
  t.is(after?.previousHash, before?.previousHash)
  t.not(after?.epoch, before?.epoch)
})

test('records given up before the ledger had its final word are confirmed after all', (t) => {
  const rig = rigWith(t, 4)
  const [first, , third, fourth] = placesOf(rig)
  settle(rig, refuse(rig, fourth!, 'chain/broken', first!))
  t.like(settle(rig, receiptFor(rig.points[0]!, third!)), { outcome: 'progressed' })
  const rejected = rig.session.store.db.prepare('SELECT sequence FROM records WHERE rejected IS NOT NULL').pluck().all()
  t.deepEqual(rejected, [4])
})

function giveAnotherKey({ session: { store, epochs }, dataDir, clock, points }: SigningRig): void {
  const holder = { meterId: makeMeterId('roof'), point: points[0]! }
  exchangeKey(holder, dataDir, { store, issuedAt: clock.now(), nextEpoch: (at) => epochs.next(at) })
}

test('SPEC-95: what a key signed that was frozen or revoked is given up where another key has followed, and only there', (t) => {
  const rig = rigWith(t, 4)
  const [, second, third] = placesOf(rig)
  const refusal = () => refuse(rig, third!, 'point/revoked', second!)
  t.is(settle(rig, refusal()).openedEpoch, undefined, 'the key in force is revoked: nothing helps but another one')
  giveAnotherKey(rig)
  t.like(settle(rig, refusal()), { rejected: 2 })
  const next = rig.sign(2_000)
  t.is(next.sequence, 3)
  t.is(parseOcmfText(rig.texts().at(-1)!).record.previousHash, second!.hash)
  t.deepEqual(takeAll(rig), ['roof 3'])
  t.is(settle(rig, refuse(rig, placesOf(rig).at(-1)!, 'point/revoked', second!)).openedEpoch, undefined)
})

test('SPEC-71: a ledger that has lost everything gets what an earlier key has signed, too', (t) => {
  const rig = rigWith(t, 2)
  settle(rig, receiptFor(rig.points[0]!, placesOf(rig)[1]!))
  giveAnotherKey(rig)
  const nothing = { epoch: 0, sequence: 0, hash: '' }
  const lost = receiptFor(rig.points[0]!, nothing, { session: laterSession })
  t.like(settle(rig, lost), { outcome: 'moved-back', openedEpoch: undefined })
  t.deepEqual(takeAll(rig), ['roof 1', 'roof 2'])
})

test('a refusal of something else changes no chain', (t) => {
  const rig = rigWith(t, 2)
  const [first, second] = placesOf(rig)
  for (const code of ['point/unknown', 'claim/over-limit'] as const) {
    t.is(settle(rig, refuse(rig, second!, code, first!)).openedEpoch, undefined)
  }
  t.deepEqual(takeAll(rig), ['roof 2'])
})

test('what is confirmed goes by age and by size; what waits, and the last confirmed, stays', (t) => {
  const rig = rigWith(t, 10)
  const { store } = rig.session
  const [sixth] = placesOf(rig).slice(5)
  settle(rig, receiptFor(rig.points[0]!, sixth!))
  const takenAt = parseOcmfText(rig.texts()[2]!).record.takenAt
  t.is(pruneChunk(store, { beforeMs: takenAt, maxBytes: 1e9 }), 2)
  t.is(pruneChunk(store, { beforeMs: 0, maxBytes: 1e9 }), 0)
  const before = usedBytes(store)
  while (pruneChunk(store, { beforeMs: Number.MAX_SAFE_INTEGER, maxBytes: 0 }) > 0);
  t.deepEqual(
    placesOf(rig).map(({ sequence }) => sequence),
    [6, 7, 8, 9, 10],
  )
  t.true(usedBytes(store) <= before)
  // The chain can still be taken up at the last confirmed record.
  settle(rig, refuse(rig, placesOf(rig)[1]!, 'chain/broken', sixth!))
  t.is(rig.sign(9_000).sequence, 7)
})

for (const place of ['the certificate', 'a place that is pruned'] as const) {
  test(`SPEC-71: a ledger restored to ${place} gets a chain that goes on from there`, (t) => {
    const rig = rigWith(t, 10)
    const places = placesOf(rig)
    settle(rig, receiptFor(rig.points[0]!, places[7]!))
    while (pruneChunk(rig.session.store, { beforeMs: Number.MAX_SAFE_INTEGER, maxBytes: 0 }) > 0);
    const back = place === 'the certificate' ? { epoch: 0, sequence: 0, hash: '' } : places[2]!
    const settled = settle(rig, receiptFor(rig.points[0]!, back, { session: laterSession }))
    t.like(settled, { outcome: 'moved-back', rejected: 3 })
    t.deepEqual(takeAll(rig), [])
    t.is(rig.sign(2_000).sequence, back.sequence + 1)
    const { record } = parseOcmfText(rig.texts().at(-1)!)
    const certificate = parseCertificate(getPoint(rig.session.store, rig.points[0]!).certificate)
    t.is(record.previousHash, back.hash === '' ? certificate.hash : back.hash)
    t.deepEqual(takeAll(rig), [`roof ${back.sequence + 1}`])
  })
}

test('by size alone, rejected records stay', (t) => {
  const rig = rigWith(t, 4)
  const [, second, third] = placesOf(rig)
  settle(rig, refuse(rig, third!, 'chain/broken', second!))
  rig.sign(2_000)
  rig.sign(2_001)
  settle(rig, receiptFor(rig.points[0]!, placesOf(rig).at(-1)!))
  while (pruneChunk(rig.session.store, { beforeMs: 0, maxBytes: 0 }) > 0);
  t.deepEqual(
    placesOf(rig).map(({ sequence }) => sequence),
    [3, 4, 4],
  )
  while (pruneChunk(rig.session.store, { beforeMs: Number.MAX_SAFE_INTEGER, maxBytes: 1e9 }) > 0);
  t.deepEqual(
    placesOf(rig).map(({ sequence }) => sequence),
    [4],
  )
})

/** A ledger as far as the outbox can see: takes records in the order of the chain, and remembers what it took. */
class ChainKeeper {
  accepted: { place: Place; wh: bigint }[] = []
  readonly known = new Set<string>()

  take(text: string): void {
    const { record, hash } = parseOcmfText(text)
    if (this.known.has(hash)) return
    const at = this.accepted.findIndex(({ place }) => place.hash === record.previousHash)
    const follows = this.accepted.length === 0 ? record.sequence === 1 : at === this.accepted.length - 1
    if (!follows) return
    this.known.add(hash)
    this.accepted.push({
      place: { epoch: record.epoch, sequence: record.sequence, hash },
      wh: record.registers.export ?? 0n,
    })
  }

  head(): Place {
    return this.accepted.at(-1)?.place ?? { epoch: 0, sequence: 0, hash: '' }
  }
}

const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('sign' as const), n: fc.integer({ min: 1, max: 4 }) }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('send' as const), n: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('lose' as const), n: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('receipt' as const), n: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('timeout' as const), n: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), n: fc.constant(0) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reboot' as const), n: fc.constant(0) }) },
  ),
  { minLength: 5, maxLength: 40 },
)

test('promise 1: whatever is lost, late, crashed or sent twice, the ledger has every record once and in order', (t) => {
  const folder = makeTempFolder(t.teardown)
  let run = 0
  fc.assert(
    fc.property(steps, (script) => {
      let boot = 0
      const options = { dataDir: join(folder, `${run++}`), clock: new HandClock() }
      let rig = openRig({ ...options, bootId: 'boot-0' })
      const ledger = new ChainKeeper()
      const receipts: Receipt[] = []
      let wh = 1_000
      const send = (limit: number, arrives: boolean) => {
        for (const { text } of rig.outbox.take(limit, rig.points, () => limit)) {
          if (!arrives) continue
          ledger.take(text)
          receipts.push(receiptFor(rig.points[0]!, ledger.head()))
        }
      }
      const reopen = () => {
        rig.close()
        rig = openRig({ ...options, bootId: `boot-${boot}` })
      }
      rig.sign(wh++)
      for (const { kind, n } of script) {
        if (kind === 'sign') for (let i = 0; i < n; i++) rig.sign(wh++)
        else if (kind === 'send') send(n, true)
        else if (kind === 'lose') send(n, false)
        else if (kind === 'timeout') rig.outbox.rewind()
        else if (kind === 'receipt') {
          // An old one or the newest, each perhaps more than once.
          const receipt = receipts[Math.max(0, receipts.length - 1 - n)]
          if (receipt !== undefined) settle(rig, receipt)
        } else {
          if (kind === 'reboot') boot++
          reopen()
        }
      }
      rig.outbox.rewind()
      send(1_000, true)
      settle(rig, receiptFor(rig.points[0]!, ledger.head()))
      t.is(rig.outbox.waiting(rig.points[0]!), 0)
      t.deepEqual(
        ledger.accepted.map(({ place }) => place),
        placesOf(rig),
      )
      t.deepEqual(
        ledger.accepted.map(({ wh: register }) => register),
        Array.from({ length: wh - 1_000 }, (_, n) => BigInt(1_000 + n)),
      )
      t.deepEqual(getPoint(rig.session.store, rig.points[0]!).acknowledged, ledger.head())
      rig.close()
    }),
    { numRuns: 40 },
  )
})
