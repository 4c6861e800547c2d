import { join } from 'node:path'
import {
  parseTransfer,
  parseTransferAnswer,
  signTransferAnswer,
  type TransferAct,
  type TransferAnswer,
  WattError,
} from '@wattline/protocol'
import test from 'ava'
import { eur } from '../../test/money.ts'
import { fastVerifier, startMs, tempDir } from '../../test/rig.ts'
import { type DeskRig, ledgerSigner, openDesk, type TestWallet } from '../../test/wallet-rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { readEntries } from '../entries.ts'
import { deposit, postWithdrawal, readWithdrawals, voidWithdrawal, withdraw } from './money-desk.ts'

/** A ledger with an operator's key, where ada has brought 50 EUR. */
function openFunded(t: Parameters<typeof openDesk>[0]) {
  const dataDir = tempDir(t)
  const rig = openDesk(t, { dataDir, operatorKeyFile: join(dataDir, 'operator.key') })
  const { engine, ada } = rig
  const brought = { id: 'bank/1', asset: eur, owner: ada.address, amount: 5000n, reference: 'SEPA 1' }
  engine.db.write(() => deposit(engine, brought))
  return { ...rig, brought }
}

const out = { kind: 'withdraw', asset: eur, amount: 2000n, payout: 'ref 17', heldUntil: startMs + 60_000 } as const

function take({ desk }: DeskRig, wallet: TestWallet, act: TransferAct): TransferAnswer {
  return parseTransferAnswer(desk.orders.take(wallet.order(act)))
}

function codeOf({ engine }: DeskRig, work: () => unknown): string {
  try {
    engine.db.write(() => work())
    return 'done'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

const faultsOf = ({ engine }: DeskRig) =>
  auditLedger(engine.db, fastVerifier).faults.map(({ place, code }) => `${place}: ${code}`)

test('SPEC-151: a wallet pays with money and withdraws it; the operator alone pays it out, and signs that', (t) => {
  const rig = openFunded(t)
  const { engine, ada, bea, clock } = rig
  t.like(take(rig, ada, { kind: 'pay', asset: eur, to: bea.address, amount: 1250n }), { nonce: 1 })
  const held = take(rig, ada, out)
  const { transfer: reservation } = held
  t.deepEqual(readWithdrawals(engine.db, clock.ms), [
    {
      ...{ reservation, entry: 'entry' in held ? held.entry : 0, owner: ada.address, asset: eur, amount: 2000n },
      ...{ payout: 'ref 17', heldUntil: out.heldUntil },
    },
  ])
  t.deepEqual(engine.transfers.holdings(ada.address, eur), { available: 1750n, reserved: 2000n })
  for (const kind of ['post', 'void'] as const) {
    t.like(take(rig, ada, { kind, reservation }), { refused: 'transfer/forbidden' })
  }
  t.like(take(rig, ada, { ...out, amount: 1751n }), { refused: 'transfer/insufficient' })
  const paid = { reservation, reference: 'SEPA 2' }
  for (const [wrong, code] of [
    [{ ...paid, amount: '20.001' }, 'transfer/invalid'],
    [{ ...paid, amount: '20.01' }, 'transfer/insufficient'],
    [{ ...paid, reservation: 'none' }, 'transfer/unknown'],
  ] as const) {
    t.is(
      codeOf(rig, () => postWithdrawal(engine, wrong)),
      code,
    )
  }
  const { entry } = engine.db.write(() => postWithdrawal(engine, paid))
  t.like(
    engine.db.write(() => postWithdrawal(engine, paid)),
    { entry, repeated: true },
  )
  t.is(
    codeOf(rig, () => postWithdrawal(engine, { ...paid, reference: 'SEPA 3' })),
    'transfer/conflict',
  )
  t.deepEqual(readWithdrawals(engine.db, clock.ms), [])
  t.deepEqual(engine.transfers.holdings(ada.address, eur), { available: 1750n, reserved: 0n })
  const { faults, operator } = auditLedger(engine.db, fastVerifier)
  t.deepEqual(faults, [])
  t.is(operator?.signedActs, 3, 'the pin, the deposit and the payment outside')
  engine.db.prepare('DELETE FROM operator_act WHERE entry = ?').run(entry)
  t.deepEqual(faultsOf(rig), [`entry ${entry}: operator/unsigned`])
})

test('SPEC-154: what an address holds is withdrawn by its key’s order alone; the operator ends withdrawals and nothing else', (t) => {
  const rig = openFunded(t)
  const { engine, ada, bea, brought, clock } = rig
  const gone = { ...brought, id: 'bank/2', payout: 'x' }
  t.is(
    codeOf(rig, () => withdraw(engine, gone)),
    'transfer/forbidden',
  )
  t.is(
    codeOf(rig, () => deposit(engine, { ...brought, id: 'bank/2', owner: 'bea' })),
    'transfer/unknown',
  )
  engine.db.write(() => {
    engine.bindings.bind('bea', bea.address)
    deposit(engine, { ...brought, id: 'bank/2', owner: 'bea' })
    withdraw(engine, { ...gone, id: 'bank/3', owner: 'bea', amount: 1000n })
  })
  t.deepEqual(engine.transfers.holdings('bea', eur), { available: 4000n, reserved: 0n })
  const { transfer: forBea } = take(rig, ada, {
    ...{ kind: 'reserve', asset: eur, to: bea.address, amount: 100n, heldUntil: out.heldUntil },
  })
  const { transfer: leaving } = take(rig, ada, out)
  for (const [reservation, code] of [
    [forBea, 'transfer/unknown'],
    ['none', 'transfer/unknown'],
    [leaving, 'done'],
    [leaving, 'done'],
  ] as const) {
    t.is(
      codeOf(rig, () => voidWithdrawal(engine, reservation)),
      code,
    )
  }
  take(rig, ada, out)
  clock.ms = out.heldUntil
  t.deepEqual(readWithdrawals(engine.db, clock.ms), [])
  engine.processNext()
  t.deepEqual(engine.transfers.holdings(ada.address, eur), { available: 5000n, reserved: 0n })
  t.deepEqual(faultsOf(rig), [])
  // Whoever runs the ledger can write such an entry, and sign it; the audit asks for the order.
  const note = { payout: 'x', reference: 'y' }
  const stolen = { id: 'theft', asset: eur, from: ada.address, to: ada.address, amount: 5n, note }
  const { entry } = engine.db.write(() => engine.transfers.transfer({ ...stolen, kind: 'withdrawal' }))
  t.deepEqual(faultsOf(rig), [`entry ${entry}: transfer/forbidden`])
})

test('SPEC-152: what somebody reserved for another is not ended by an order of their own, or verify names it', (t) => {
  const rig = openFunded(t)
  const { engine, ada, bea, clock } = rig
  const promised = { kind: 'reserve', asset: eur, to: bea.address, amount: 100n, heldUntil: out.heldUntil } as const
  const { transfer: reservation } = take(rig, ada, promised)
  const order = parseTransfer(ada.order({ kind: 'void', reservation }))
  // A ledger that does her the favour.
  engine.db.write(() => {
    const { entry } = engine.transfers.void(order.id, { reservation })
    const facts = { transfer: order.id, account: ada.address, nonce: order.nonce, at: clock.ms, entry }
    engine.orderStore.add(order, ada.address, signTransferAnswer(facts, ledgerSigner))
  })
  t.deepEqual(faultsOf(rig), [`order 2 of ${ada.address}: transfer/forbidden`])
})

test('SPEC-153: an order of money in the journal does what its text says, or verify names it', (t) => {
  const rig = openFunded(t)
  const { engine, ada } = rig
  take(rig, ada, out)
  const [reserved] = [...readEntries(engine.db, { kind: 'withdrawal' })]
  engine.db.prepare("UPDATE entry SET note = replace(note, 'ref 17', 'ref 99') WHERE id = ?").run(reserved!.id)
  t.deepEqual(faultsOf(rig), [`entry ${reserved!.id}: journal/broken`, `order 1 of ${ada.address}: journal/broken`])
})
