import { type Currency, WattError } from '@wattline/protocol'
import test from 'ava'
import { eur, usd } from '../../test/money.ts'
import { fastVerifier, openRig, type Rig } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { readEntries } from '../entries.ts'
import { readBalances } from '../reports.ts'
import { accountOf, assetOf, classOf } from './accounts.ts'
import { correct } from './corrections.ts'
import type { DepositOrder, ReservationOrder, TransferOrder, Transfers } from './transfers.ts'

function run<T>({ engine }: Rig, work: (transfers: Transfers) => T): T {
  return engine.db.write(() => work(engine.transfers))
}

function codeOf(rig: Rig, work: (transfers: Transfers) => unknown): string {
  try {
    run(rig, work)
    return 'done'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

function holdings({ engine }: Rig, owner: string, asset = eur): readonly [available: bigint, reserved: bigint] {
  const { available, reserved } = engine.transfers.holdings(owner, asset)
  return [available, reserved]
}

const brought: DepositOrder = { id: 'd-1', asset: eur, owner: 'alice', amount: 5000n, reference: 'SEPA 2026/17' }
const out: TransferOrder = {
  ...{ id: 'w-1', asset: eur, from: 'alice', to: 'alice', amount: 1200n, kind: 'withdrawal' },
  note: { payout: 'as agreed', reference: 'SEPA 18' },
}
const paid: TransferOrder = { id: 'p-1', asset: eur, from: 'alice', to: 'bob', amount: 700n, kind: 'payment' }
const held = ({ clock }: Rig, change: Partial<ReservationOrder> = {}): ReservationOrder => ({
  ...{ ...out, id: 'h-1', note: { payout: 'as agreed' }, expiresAt: clock.ms + 1000 },
  ...change,
})

test('SPEC-88: money is brought from outside once, pays, and leaves: added − removed is what owners have', (t) => {
  const rig = openRig(t)
  const first = run(rig, (transfers) => transfers.deposit(brought))
  rig.clock.ms += 1000
  t.deepEqual(
    run(rig, (transfers) => transfers.deposit(brought)),
    { ...first, repeated: true },
  )
  for (const change of [{ amount: 5001n }, { owner: 'bob' }, { asset: usd }, { reference: 'other' }]) {
    t.is(
      codeOf(rig, (transfers) => transfers.deposit({ ...brought, ...change })),
      'transfer/conflict',
    )
  }
  t.is(
    codeOf(rig, (transfers) => transfers.transfer({ ...paid, id: 'd-1' })),
    'transfer/conflict',
  )
  run(rig, (transfers) => transfers.transfer(paid))
  run(rig, (transfers) => transfers.transfer({ ...paid, id: 'f-1', kind: 'fee', amount: 5n, note: { for: 'p-1' } }))
  run(rig, (transfers) => transfers.transfer(out))
  run(rig, (transfers) => transfers.deposit({ ...brought, id: 'd-2', asset: usd, amount: 9n }))
  t.deepEqual(
    [holdings(rig, 'alice'), holdings(rig, 'bob')],
    [
      [3095n, 0n],
      [705n, 0n],
    ],
  )
  const { money, balanced, supplyWh } = readBalances(rig.engine.db)
  t.deepEqual(money, [
    { currency: eur, addedUnits: 5000n, removedUnits: 1200n, supplyUnits: 3800n },
    { currency: usd, addedUnits: 9n, removedUnits: 0n, supplyUnits: 9n },
  ])
  t.deepEqual([balanced, supplyWh], [true, 0n])
  t.deepEqual(auditLedger(rig.engine.db, fastVerifier).faults, [])
})

test('SPEC-88: what is no deposit, and what money cannot do, is refused and leaves nothing', (t) => {
  const rig = openRig(t)
  run(rig, (transfers) => transfers.deposit(brought))
  const deposits: Partial<DepositOrder>[] = [
    ...[{ asset: 'WATT' as const }, { asset: 'EEA' as const }, { asset: 'eur' as Currency }],
    ...[{ amount: 0n }, { amount: -1n }, { reference: '' }, { reference: 'x'.repeat(141) }, { reference: 'a\nb' }],
    ...[{ owner: '' }, { id: 'with blank' }],
  ]
  for (const change of deposits) {
    const order = { ...brought, id: 'd-2', ...change }
    t.is(
      codeOf(rig, (transfers) => transfers.deposit(order)),
      'transfer/invalid',
      JSON.stringify(Object.keys(change)),
    )
  }
  const most = 10n ** 18n
  t.is(
    codeOf(rig, (transfers) => transfers.deposit({ ...brought, id: 'd-2', amount: most - 4999n })),
    'transfer/over-limit',
  )
  const transfers: [Partial<TransferOrder>, string][] = [
    ...(['transfer', 'burn'] as const).map((kind): [Partial<TransferOrder>, string] => [{ kind }, 'transfer/invalid']),
    [{ to: 'bob' }, 'transfer/invalid'],
    [{ asset: 'WATT' }, 'transfer/invalid'],
    [{ note: {} }, 'transfer/invalid'],
    [{ note: { payout: 'as agreed' } }, 'transfer/invalid'],
    [{ note: { payout: '', reference: 'x' } }, 'transfer/invalid'],
    [{ amount: 5001n }, 'transfer/insufficient'],
    [{ asset: usd }, 'transfer/insufficient'],
  ]
  for (const [change, code] of transfers) {
    t.is(
      codeOf(rig, (each) => each.transfer({ ...out, ...change })),
      code,
      JSON.stringify(change, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)),
    )
  }
  t.is(
    codeOf(rig, (each) => each.reserve(held(rig, { note: {} }))),
    'transfer/invalid',
  )
  t.is([...readEntries(rig.engine.db, {})].length, 1)
})

test('SPEC-89: a withdrawal is held, then paid with the reference of its payment, let go, or free again in the end', (t) => {
  const rig = openRig(t)
  run(rig, (transfers) => transfers.deposit(brought))
  run(rig, (transfers) => {
    for (const id of ['h-1', 'h-2', 'h-3']) transfers.reserve(held(rig, { id }))
    transfers.reserve({ ...paid, id: 'h-4', expiresAt: rig.clock.ms + 1000 })
  })
  t.deepEqual(holdings(rig, 'alice'), [700n, 4300n])
  const post = (reservation: string, more: { reference?: string; amount?: bigint } = {}, id = 'x-1') =>
    codeOf(rig, (transfers) => transfers.post(id, { reservation, ...more }))
  t.is(post('h-1'), 'transfer/invalid', 'paid as what?')
  t.is(post('h-4', { reference: 'SEPA 1' }), 'transfer/invalid', 'a payment here is none outside')
  t.is(post('h-1', { reference: 'SEPA 1', amount: 1201n }), 'transfer/insufficient')
  t.is(post('h-1', { reference: 'SEPA 1' }, 'a'.repeat(64)), 'transfer/invalid', 'no wallet pays it')
  t.is(
    codeOf(rig, (transfers) => transfers.void('b'.repeat(64), { reservation: 'h-1' })),
    'transfer/invalid',
  )
  t.is(post('h-1', { reference: 'SEPA 1', amount: 1000n }), 'done')
  t.is(post('h-1', { reference: 'SEPA 1', amount: 1000n }), 'done', 'twice is once')
  t.is(post('h-1', { reference: 'SEPA 2', amount: 1000n }), 'transfer/conflict')
  t.is(post('h-1', { reference: 'SEPA 2' }, 'x-2'), 'transfer/settled')
  t.deepEqual(holdings(rig, 'alice'), [900n, 3100n])
  run(rig, (transfers) => transfers.void('x-3', { reservation: 'h-2' }))
  rig.clock.ms += 1000
  t.is(post('h-3', { reference: 'SEPA 3' }, 'x-4'), 'transfer/expired')
  run(rig, (transfers) => transfers.expire())
  t.deepEqual(holdings(rig, 'alice'), [4000n, 0n])
  t.is(rig.engine.journal.balance(accountOf.moneyRemoved(eur)), 1000n)
  t.deepEqual(
    [...readEntries(rig.engine.db, { kind: 'withdrawal' })].map(({ kind }) => kind),
    ['reserve', 'reserve', 'reserve', 'post'],
  )
  t.deepEqual(auditLedger(rig.engine.db, fastVerifier).faults, [])
})

test('SPEC-90: a limit holds for money, by currency; what a correction gives back comes all the same', (t) => {
  const rig = openRig(t)
  const { bounds, db, journal } = rig.engine
  db.write(() => bounds.set({ owner: 'alice', asset: eur, most: 5000n }))
  run(rig, (transfers) => transfers.deposit(brought))
  t.is(
    codeOf(rig, (transfers) => transfers.deposit({ ...brought, id: 'd-2', amount: 1n })),
    'transfer/over-limit',
  )
  run(rig, (transfers) => transfers.deposit({ ...brought, id: 'd-3', asset: usd }))
  const gone = run(rig, (transfers) => transfers.transfer(out))
  run(rig, (transfers) => transfers.deposit({ ...brought, id: 'd-4', amount: 1200n }))
  db.write(() => correct(journal, { entry: gone.entry, reason: 'the bank sent it back' }))
  t.deepEqual(holdings(rig, 'alice'), [6200n, 0n])
  t.deepEqual(auditLedger(db, fastVerifier).faults, [])
})

test('SPEC-91: a deposit is taken back as far as it is free; a withdrawal in two steps comes back where it came from', (t) => {
  const rig = openRig(t)
  const { db, journal } = rig.engine
  const { entry } = run(rig, (transfers) => transfers.deposit(brought))
  run(rig, (transfers) => transfers.reserve(held(rig)))
  const attempt = (amount?: bigint, at = entry) =>
    codeOf(rig, () =>
      correct(journal, { entry: at, reason: 'charged back', ...(amount === undefined ? {} : { amount }) }),
    )
  t.is(attempt(), 'transfer/insufficient')
  t.is(attempt(5001n), 'entry/final')
  t.is(attempt(3800n), 'done')
  t.deepEqual(holdings(rig, 'alice'), [0n, 1200n])
  const post = run(rig, (transfers) => transfers.post('x-1', { reservation: 'h-1', reference: 'SEPA 1' }))
  t.deepEqual(holdings(rig, 'alice'), [0n, 0n])
  t.is(attempt(undefined, post.entry), 'done')
  t.deepEqual(holdings(rig, 'alice'), [1200n, 0n])
  t.is(journal.balance(accountOf.moneyAdded(eur)), -1200n)
  t.is(journal.balance(accountOf.moneyRemoved(eur)), 0n)
  t.deepEqual(auditLedger(db, fastVerifier).faults, [])
})

test('SPEC-88: an account of money names its currency, and its owner where it has one', (t) => {
  for (const account of ['money:EUR:bob', 'money-held:EUR:a:b', 'money-added:EUR', 'money-removed:EUR'])
    t.is(assetOf(account), eur, account)
  const strange = ['money:EUR', 'money:EUR:', 'money:eur:bob', 'money:EURO:bob', 'money:EEA:bob', 'money:bob']
  for (const account of [...strange, 'money-added:EUR:bob', 'money-added:', 'money-added:EEA'])
    t.is(classOf(account), undefined, account)
})
