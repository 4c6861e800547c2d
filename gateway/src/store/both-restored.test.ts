import { parseOcmfText } from '@wattline/protocol'
import test from 'ava'
import { laterSession, placesOf, receiptFor, settle, takeAll } from '../../test/settling-rig.ts'
import { makeTempFolder, openRig } from '../../test/signing-rig.ts'
import type { SettlementParts } from './settlement.ts'

// SPEC-75: gateway and ledger were both restored.

/** A gateway that has gone on from an older memory, in a new epoch. */
function restored(t: { teardown(action: () => void): void }) {
  const folder = makeTempFolder((action) => t.teardown(action))
  const before = openRig({ dataDir: folder })
  before.sign(1_000)
  const first = placesOf(before)[0]!
  settle(before, receiptFor(before.points[0]!, first))
  before.close()
  const rig = openRig({ dataDir: folder, bootId: 'boot-2' })
  t.teardown(() => rig.close())
  rig.sign(1_010)
  rig.sign(1_020)
  // What the gateway has forgotten, and the ledger has: it followed the first record too.
  const forgotten = { epoch: first.epoch, sequence: 2, hash: 'a'.repeat(64) }
  return { rig, forgotten, point: rig.points[0]! }
}

test('SPEC-75: a restored ledger at a record that is forgotten here gets again all that is kept', (t) => {
  const { rig, forgotten, point } = restored(t)
  settle(rig, receiptFor(point, placesOf(rig).at(-1)!))
  const settled = settle(rig, receiptFor(point, forgotten, { session: laterSession, resend: true }))
  t.deepEqual(settled, { outcome: 'moved-back' })
  t.deepEqual(takeAll(rig), ['roof 2', 'roof 3'])
  t.like(settle(rig, receiptFor(point, placesOf(rig).at(-1)!, { session: laterSession })), { outcome: 'progressed' })
  t.deepEqual(takeAll(rig), [])
})

for (const lost of ['confirmed', 'kept'] as const) {
  test(`SPEC-75: where nothing attaches, and what is lost was ${lost}, the chain goes on from what the ledger has`, (t) => {
    const { rig, forgotten, point } = restored(t)
    const [, , head] = placesOf(rig)
    if (lost === 'confirmed') settle(rig, receiptFor(point, head!))
    else {
      // The ledger stands beyond what is confirmed: nobody can tell whether it still has that.
      forgotten.sequence = 9
    }
    const asked: SettlementParts['asked'] = new Map()
    const ask = () => settle(rig, receiptFor(point, forgotten, { session: laterSession, resend: true }), asked)
    t.is(ask().openedEpoch, undefined)
    t.is(ask().openedEpoch, undefined)
    const settled = ask()
    t.is(settled.rejected, 2)
    t.deepEqual(takeAll(rig), [])
    const record = rig.sign(1_030)
    t.deepEqual([record.epoch, record.sequence], [settled.openedEpoch!, forgotten.sequence + 1])
    t.is(parseOcmfText(rig.texts().at(-1)!).record.previousHash, forgotten.hash)
    t.is(rig.texts().length, 4, 'nothing is thrown away')
    t.is(ask().openedEpoch, undefined, 'once')
    t.like(settle(rig, receiptFor(point, placesOf(rig).at(-1)!, { session: laterSession })), { outcome: 'progressed' })
  })
}

test('SPEC-75: a ledger that goes on in the same session has lost nothing: what it asks for is sent, and that is all', (t) => {
  const { rig, forgotten, point } = restored(t)
  forgotten.sequence = 9
  const asked: SettlementParts['asked'] = new Map()
  for (let times = 0; times < 9; times++) {
    t.deepEqual(settle(rig, receiptFor(point, forgotten, { resend: true }), asked), { outcome: 'unknown' })
  }
  t.deepEqual(takeAll(rig), ['roof 2', 'roof 3'])
})
