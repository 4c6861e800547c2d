import { WattError } from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, openRig, type Rig } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import type { Receipt, ReservationOrder, TransferOrder } from './transfers.ts'

type Teardown = Parameters<typeof openRig>[0]

/** A ledger in which alice has WATT from her roof. */
function openFunded(t: Teardown, wattWh = 1000n): Rig {
  const rig = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  rig.engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: wattWh })])
  return rig
}

function run<T>({ engine }: Rig, work: (transfers: Rig['engine']['transfers']) => T): T {
  return engine.db.write(() => work(engine.transfers))
}

/** The code that an order is refused with. */
function refusal(rig: Rig, work: (transfers: Rig['engine']['transfers']) => unknown): string {
  try {
    run(rig, work)
    return 'done'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

function holdings({ engine }: Rig, owner: string): readonly [available: bigint, reserved: bigint] {
  const { available, reserved } = engine.transfers.holdings(owner, 'WATT')
  return [available, reserved]
}

const order = (change: Partial<TransferOrder> = {}): TransferOrder => ({
  id: 'o-1',
  asset: 'WATT',
  from: 'alice',
  to: 'bob',
  amount: 300n,
  kind: 'payment',
  ...change,
})

const reservation = ({ clock }: Rig, change: Partial<ReservationOrder> = {}): ReservationOrder => ({
  ...order(),
  expiresAt: clock.now() + 60_000,
  ...change,
})

function isSound(t: Teardown & { deepEqual(a: unknown, b: unknown): unknown }, { engine }: Rig): void {
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
}

test('SPEC-89: a transfer moves what is there, once, and twice is once', (t) => {
  const rig = openFunded(t)
  const first = run(rig, (transfers) => transfers.transfer(order({ note: { invoice: '7' } })))
  t.like(first, { id: 'o-1', amount: 300n, repeated: false })
  t.deepEqual(holdings(rig, 'alice'), [700n, 0n])
  t.deepEqual(holdings(rig, 'bob'), [300n, 0n])
  rig.clock.ms += 1000
  const again = run(rig, (transfers) => transfers.transfer(order({ note: { invoice: '7' } })))
  t.deepEqual(again, { ...first, repeated: true })
  t.deepEqual(holdings(rig, 'bob'), [300n, 0n])
  isSound(t, rig)
})

test('SPEC-89: an id that was used for something else is refused, whatever differs', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.transfer(order()))
  for (const change of [{ amount: 301n }, { to: 'carol' }, { kind: 'transfer' as const }, { note: { a: 1 } }]) {
    t.is(
      refusal(rig, (transfers) => transfers.transfer(order(change))),
      'transfer/conflict',
    )
  }
  t.is(
    refusal(rig, (transfers) => transfers.reserve(reservation(rig))),
    'transfer/conflict',
  )
  run(rig, (transfers) => transfers.reserve(reservation(rig, { id: 'r-1' })))
  t.is(
    refusal(rig, (transfers) => transfers.post('o-1', { reservation: 'r-1' })),
    'transfer/conflict',
  )
  t.is(
    refusal(rig, (transfers) => transfers.void('r-1', { reservation: 'r-1' })),
    'transfer/conflict',
  )
  isSound(t, rig)
})

test('SPEC-89: what is reserved is nobody’s to use: no transfer and no burn takes it', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.reserve(reservation(rig, { amount: 800n })))
  t.deepEqual(holdings(rig, 'alice'), [200n, 800n])
  t.is(
    refusal(rig, (transfers) => transfers.transfer(order({ id: 'o-2', amount: 201n }))),
    'transfer/insufficient',
  )
  const heat = new Device({ meter: 'heat', role: 'consumer', owner: 'alice' })
  rig.engine.ingest([heat.certificateMessage(), heat.read({ import: 0n }), heat.read({ import: 500n })])
  t.deepEqual(holdings(rig, 'alice'), [0n, 800n])
  t.is(
    rig.engine.db.prepare<[], { amount: number }>("SELECT amount FROM balance WHERE account = 'grid:alice'").get()
      ?.amount,
    -300,
  )
  run(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1' }))
  t.deepEqual(
    [holdings(rig, 'alice'), holdings(rig, 'bob')],
    [
      [0n, 0n],
      [800n, 0n],
    ],
  )
  isSound(t, rig)
})

test('SPEC-89: a part is posted and the rest goes back; more than was reserved is refused', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.reserve(reservation(rig)))
  t.is(
    refusal(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1', amount: 301n })),
    'transfer/insufficient',
  )
  const posted = run(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1', amount: 120n }))
  t.like(posted, { amount: 120n, repeated: false })
  t.deepEqual(
    [holdings(rig, 'alice'), holdings(rig, 'bob')],
    [
      [880n, 0n],
      [120n, 0n],
    ],
  )
  t.true(run(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1', amount: 120n })).repeated)
  t.is(
    refusal(rig, (transfers) => transfers.post('p-2', { reservation: 'o-1' })),
    'transfer/settled',
  )
  t.is(
    refusal(rig, (transfers) => transfers.void('v-1', { reservation: 'o-1' })),
    'transfer/settled',
  )
  t.true(run(rig, (transfers) => transfers.reserve(reservation(rig))).repeated, 'the reservation itself, too')
  isSound(t, rig)
})

test('SPEC-89: a void gives everything back; what was never reserved is unknown', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.reserve(reservation(rig)))
  t.like(
    run(rig, (transfers) => transfers.void('v-1', { reservation: 'o-1' })),
    { amount: 300n, repeated: false },
  )
  t.deepEqual(holdings(rig, 'alice'), [1000n, 0n])
  t.true(run(rig, (transfers) => transfers.void('v-1', { reservation: 'o-1' })).repeated)
  for (const id of ['nothing', 'v-1']) {
    t.is(
      refusal(rig, (transfers) => transfers.post('p-1', { reservation: id })),
      'transfer/unknown',
    )
  }
  isSound(t, rig)
})

test('SPEC-89: an expiry frees, by the journal’s clock, as an entry; nothing is posted from its moment on', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.reserve(reservation(rig)))
  rig.clock.ms += 59_999
  t.deepEqual(
    run(rig, (transfers) => transfers.expire(rig.clock.now() + 100_000)),
    [],
    'no word runs ahead of the clock',
  )
  rig.clock.ms += 1
  t.is(
    refusal(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1' })),
    'transfer/expired',
  )
  t.is(
    refusal(rig, (transfers) => transfers.void('v-1', { reservation: 'o-1' })),
    'transfer/expired',
  )
  t.is(
    refusal(rig, (transfers) => transfers.reserve(reservation(rig, { id: 'late', expiresAt: rig.clock.now() }))),
    'transfer/expired',
  )
  t.deepEqual(holdings(rig, 'alice'), [700n, 300n])
  const expired = run(rig, (transfers) => transfers.expire(rig.clock.now()))
  t.like(expired, [{ id: 'o-1', amount: 300n }])
  t.deepEqual(holdings(rig, 'alice'), [1000n, 0n])
  t.deepEqual(
    run(rig, (transfers) => transfers.expire(rig.clock.now())),
    [],
  )
  rig.clock.ms += -30_000
  t.is(
    refusal(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1' })),
    'transfer/expired',
    'even if time goes back',
  )
  isSound(t, rig)
})

test('SPEC-89: what expired is free for the next order at once, and freed while the ledger runs', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.reserve(reservation(rig, { amount: 1000n })))
  rig.clock.ms += 60_000
  run(rig, (transfers) => transfers.transfer(order({ id: 'o-2', amount: 1000n })))
  t.deepEqual(holdings(rig, 'bob'), [1000n, 0n])
  run(rig, (transfers) => transfers.reserve(reservation(rig, { id: 'o-3', from: 'bob', to: 'alice' })))
  rig.clock.ms += 60_000
  rig.engine.processNext()
  t.deepEqual(holdings(rig, 'bob'), [1000n, 0n])
  isSound(t, rig)
})

test('SPEC-88: a burn goes to nobody, a fee names its order, and each asset knows its kinds', (t) => {
  const rig = openFunded(t)
  run(rig, (transfers) => transfers.transfer(order({ id: 'b-1', kind: 'burn', to: 'alice' })))
  run(rig, (transfers) => transfers.reserve(reservation(rig, { id: 'b-2', kind: 'burn', to: 'alice' })))
  run(rig, (transfers) => transfers.post('p-2', { reservation: 'b-2', amount: 50n }))
  t.deepEqual(holdings(rig, 'alice'), [650n, 0n])
  run(rig, (transfers) => transfers.transfer(order({ id: 'f-1', kind: 'fee', amount: 1n, note: { for: 'b-1' } })))
  const refused: [Partial<TransferOrder>, string][] = [
    [{ kind: 'fee', note: { for: 'nothing' } }, 'transfer/unknown'],
    [{ kind: 'fee' }, 'transfer/invalid'],
    [{ kind: 'fee', note: {} }, 'transfer/invalid'],
    [{ kind: 'burn' }, 'transfer/invalid'],
    [{ to: 'alice' }, 'transfer/invalid'],
    [{ asset: 'EEA' }, 'transfer/invalid'],
    [{ asset: 'EEA', kind: 'transfer' }, 'transfer/insufficient'],
    [{ amount: 0n }, 'transfer/invalid'],
    [{ amount: -1n }, 'transfer/invalid'],
    [{ amount: 2n ** 63n }, 'transfer/invalid'],
    [{ id: 'with blank' }, 'transfer/invalid'],
    [{ from: '' }, 'transfer/invalid'],
    [{ to: 'bob\ud800' }, 'transfer/invalid'],
    [{ to: 'bob\n' }, 'transfer/invalid'],
    [{ note: { text: 'x'.repeat(1000) } }, 'transfer/invalid'],
    [{ note: { amount: 1n } }, 'transfer/invalid'],
  ]
  for (const [change, code] of refused) {
    t.is(
      refusal(rig, (transfers) => transfers.transfer(order({ id: 'x', ...change }))),
      code,
      JSON.stringify(Object.keys(change)),
    )
  }
  const unknown: object = { ...order({ id: 'x' }), colour: 'red' }
  t.is(
    refusal(rig, (transfers) => transfers.transfer(unknown as TransferOrder)),
    'transfer/invalid',
  )
  isSound(t, rig)
})

test('SPEC-90: a limit refuses what would come, counts what is promised, and never stops what was promised', (t) => {
  const rig = openFunded(t)
  const { bounds, db } = rig.engine
  db.write(() => bounds.set({ owner: 'bob', asset: 'WATT', most: 500n }))
  run(rig, (transfers) => transfers.reserve(reservation(rig)))
  t.is(
    refusal(rig, (transfers) => transfers.transfer(order({ id: 'o-2', amount: 201n }))),
    'transfer/over-limit',
  )
  t.is(
    refusal(rig, (transfers) => transfers.reserve(reservation(rig, { id: 'o-2', amount: 201n }))),
    'transfer/over-limit',
  )
  run(rig, (transfers) => transfers.transfer(order({ id: 'o-2', amount: 200n })))
  db.write(() => bounds.set({ owner: 'bob', asset: 'WATT', most: 0n }))
  run(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1' }))
  t.deepEqual(holdings(rig, 'bob'), [500n, 0n])
  db.write(() => bounds.set({ owner: 'bob', asset: 'WATT' }))
  run(rig, (transfers) => transfers.transfer(order({ id: 'o-3', amount: 1n })))
  isSound(t, rig)
})

test('a transaction that is rolled back leaves nothing of an order: its id is free, its amount is there', (t) => {
  const rig = openFunded(t)
  const receipts: Receipt[] = []
  t.throws(() =>
    run(rig, (transfers) => {
      receipts.push(transfers.reserve(reservation(rig)), transfers.post('p-1', { reservation: 'o-1' }))
      throw new Error('power cut')
    }),
  )
  t.deepEqual(holdings(rig, 'alice'), [1000n, 0n])
  t.is(
    refusal(rig, (transfers) => transfers.post('p-1', { reservation: 'o-1' })),
    'transfer/unknown',
  )
  const again = run(rig, (transfers) => transfers.reserve(reservation(rig)))
  t.false(again.repeated)
  t.is(again.entry, receipts[0]!.entry)
  isSound(t, rig)
})
