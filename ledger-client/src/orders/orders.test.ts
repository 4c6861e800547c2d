import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { addressOf, parseTransfer, parseTransferAnswer, type TransferAnswer, WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { fastVerifier, tempDir, testSigner } from '../../test/rig.ts'
import { type DeskRig, ledgerSigner, openDesk, TestWallet } from '../../test/wallet-rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { openLedger } from '../engine.ts'
import { databaseFile } from '../store/database.ts'
import { openOrderDesk } from './desk.ts'

const take = ({ desk }: DeskRig, text: string): TransferAnswer => parseTransferAnswer(desk.orders.take(text))

function codeOf({ desk }: DeskRig, text: string): string {
  try {
    const answer = parseTransferAnswer(desk.orders.take(text))
    return 'entry' in answer ? 'booked' : answer.refused
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

const available = ({ engine }: DeskRig, owner: string) => engine.transfers.holdings(owner, 'WATT').available

function rows({ engine }: DeskRig): number {
  return engine.db.prepare<[], { rows: number }>('SELECT count(*) AS rows FROM signed_order').get()?.rows ?? -1
}

test('SPEC-153: an order is booked once; sent again, also long after it expired, it gets the same bytes', (t) => {
  const rig = openDesk(t)
  const { ada, bea, desk, clock, engine } = rig
  const text = ada.pay(bea.address, 2500n)
  const answer = desk.orders.take(text)
  const { id } = parseTransfer(text)
  t.like(parseTransferAnswer(answer), { transfer: id, account: ada.address, nonce: 1, at: clock.now() })
  clock.ms += 365 * 86_400_000
  for (let again = 0; again < 3; again++) t.is(desk.orders.take(text), answer)
  t.is(available(rig, ada.address), 7500n)
  t.is(available(rig, bea.address), 2500n)
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
})

test('SPEC-152: expired, foreign, out of turn, of a stranger or altered, an order is refused and nothing is stored', (t) => {
  const rig = openDesk(t)
  const { ada, bea, clock } = rig
  take(rig, ada.pay(bea.address, 1n))
  const good = ada.pay(bea.address, 5n)
  const other = addressOf(testSigner(904).publicKey)
  for (const [code, text] of [
    ['transfer/expired', ada.pay(bea.address, 5n, { nonce: 2, expiresAt: clock.now() })],
    ['transfer/foreign', ada.pay(bea.address, 5n, { nonce: 2, ledger: other })],
    ['transfer/nonce', ada.pay(bea.address, 6n, { nonce: 1 })],
    ['transfer/nonce', ada.pay(bea.address, 5n, { nonce: 3 })],
    ['transfer/forbidden', bea.pay(ada.address, 5n, { nonce: 1, account: 'ada' })],
    ['transfer/bad-signature', good.replace('"amount":"5"', '"amount":"6"')],
    ['transfer/bad-signature', good.replace(bea.address, other)],
    ['transfer/invalid', `${good} `],
  ] as const) {
    t.is(codeOf(rig, text), code)
  }
  t.is(rows(rig), 1)
  t.is(codeOf(rig, good), 'booked')
})

test('SPEC-153: a refusal takes the nonce and stands: the same order is not booked later, a new one is', (t) => {
  const rig = openDesk(t)
  const { ada, bea, desk } = rig
  take(rig, ada.pay(bea.address, 9000n))
  const tooMuch = ada.pay(bea.address, 5000n)
  const refusal = desk.orders.take(tooMuch)
  t.like(parseTransferAnswer(refusal), { refused: 'transfer/insufficient', nonce: 2 })
  take(rig, bea.pay(ada.address, 9000n))
  t.is(desk.orders.take(tooMuch), refusal)
  t.is(codeOf(rig, ada.pay(bea.address, 5000n)), 'booked')
  t.is(available(rig, ada.address), 5000n)
})

test('SPEC-153: strangers cannot fill the table: who never had anything booked here leaves nothing', (t) => {
  const rig = openDesk(t)
  const before = rows(rig)
  for (let number = 910; number < 920; number++) {
    const stranger = new TestWallet(number)
    t.is(codeOf(rig, stranger.pay(rig.ada.address, 1n)), 'transfer/insufficient')
    t.is(codeOf(rig, stranger.order({ kind: 'void', reservation: 'a'.repeat(64) }, { nonce: 1 })), 'transfer/unknown')
  }
  t.is(rows(rig), before)
})

test('a reservation is taken in part, or let go, by its receiver and by nobody else; the rest goes back', (t) => {
  const rig = openDesk(t)
  const { ada, bea, clock, engine } = rig
  const reserve = (amount: bigint) => {
    const text = ada.order({ kind: 'reserve', asset: 'WATT', to: bea.address, amount, heldUntil: clock.now() + 60_000 })
    t.is(codeOf(rig, text), 'booked')
    return parseTransfer(text).id
  }
  const first = reserve(4000n)
  t.is(available(rig, ada.address), 6000n)
  t.is(codeOf(rig, ada.order({ kind: 'void', reservation: first })), 'transfer/forbidden')
  t.is(
    codeOf(rig, bea.order({ kind: 'post', reservation: first, amount: 4001n }, { nonce: 1 })),
    'transfer/insufficient',
  )
  t.is(codeOf(rig, bea.order({ kind: 'post', reservation: first, amount: 1500n })), 'booked')
  t.is(available(rig, bea.address), 1500n)
  t.is(available(rig, ada.address), 8500n)
  t.is(codeOf(rig, bea.order({ kind: 'post', reservation: first })), 'transfer/settled')
  t.is(codeOf(rig, bea.order({ kind: 'void', reservation: reserve(1000n) })), 'booked')
  t.is(codeOf(rig, bea.order({ kind: 'post', reservation: reserve(2000n) })), 'booked')
  const late = reserve(500n)
  clock.ms += 60_000
  t.is(codeOf(rig, bea.order({ kind: 'post', reservation: late })), 'transfer/expired')
  engine.db.write(() => engine.transfers.expire())
  t.is(available(rig, ada.address), 6500n)
  t.is(available(rig, bea.address), 3500n)
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
})

test('SPEC-154: a named owner is spoken for by the wallet that the operator binds, and by the one before no more', (t) => {
  const rig = openDesk(t)
  const { ada, bea, engine } = rig
  t.is(codeOf(rig, ada.pay('shop', 1n, { nonce: 1 })), 'transfer/unknown', 'a name that nobody has is not paid')
  const bind = (owner: string, address: string) => engine.db.write(() => engine.bindings.bind(owner, address))
  bind('shop', bea.address)
  t.is(codeOf(rig, ada.pay('shop', 3000n)), 'booked')
  t.is(codeOf(rig, bea.pay(ada.address, 1000n, { account: 'shop', nonce: 1 })), 'booked')
  const eve = new TestWallet(905)
  t.is(codeOf(rig, eve.pay(eve.address, 1000n, { account: 'shop', nonce: 2 })), 'transfer/forbidden')
  bind('shop', eve.address)
  t.is(codeOf(rig, bea.pay(ada.address, 1000n, { account: 'shop', nonce: 2 })), 'transfer/forbidden')
  t.is(codeOf(rig, eve.pay(ada.address, 1000n, { account: 'shop', nonce: 2 })), 'booked')
  t.is(available(rig, 'shop'), 1000n)
  for (const [owner, address] of [
    ['shop', bea.address.toLowerCase()],
    [ada.address, bea.address],
    [ada.address.toLowerCase(), bea.address],
    ['a|b', bea.address],
  ] as const) {
    t.throws(() => bind(owner, address), { code: 'account/invalid' })
  }
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
})

test('a metering point is not enrolled for an address in a second spelling: its WATT would be nobody’s', (t) => {
  const { engine, ada } = openDesk(t)
  const known = engine.registry.all()[0]!
  const terms = { ...known.terms, owner: ada.address.toLowerCase() }
  const again = { point: known.id, key: known.keys[0]!.key, terms }
  t.throws(() => engine.db.write(() => engine.enrolment.enrol(again)), { code: 'account/invalid' })
})

test('SPEC-153: whatever is sent in whatever order, each nonce counts once, and what is there stays the same', (t) => {
  const step = fc.record({
    from: fc.nat(2),
    to: fc.nat(2),
    amount: fc.bigInt({ min: 1n, max: 9000n }),
    how: fc.constantFrom('next', 'next', 'next', 'again', 'late', 'early', 'altered'),
    pick: fc.nat(),
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 8, maxLength: 25 }), (steps) => {
      const rig = openDesk(t)
      const wallets = [rig.ada, rig.bea, new TestWallet(908)]
      const balance = new Map(wallets.map(({ address }, i) => [address, i === 0 ? 10_000n : 0n]))
      const last = new Map(wallets.map(({ address }) => [address, 0]))
      const answered: { text: string; answer: string }[] = []
      for (const { from, to, amount, how, pick } of steps) {
        const [payer, payee] = [wallets[from]!, wallets[to === from ? (to + 1) % 3 : to]!]
        const [has, nonce] = [balance.get(payer.address)!, last.get(payer.address)! + 1]
        if (how === 'again') {
          const known = answered[pick % Math.max(1, answered.length)]
          if (known !== undefined) t.is(rig.desk.orders.take(known.text), known.answer)
          continue
        }
        const other = how === 'late' ? Math.max(1, nonce - 1) : how === 'early' ? nonce + 1 : nonce
        const text = payer.pay(payee.address, amount, { nonce: other })
        const sent = how === 'altered' ? text.replace(`"${amount}"`, `"${amount + 1n}"`) : text
        const known = answered.some((each) => each.text === sent)
        const code = codeOf(rig, sent)
        if (how === 'altered') t.is(code, 'transfer/bad-signature')
        else if (other !== nonce && !known) t.is(code, 'transfer/nonce')
        else if (!known) {
          t.is(code, has >= amount ? 'booked' : 'transfer/insufficient')
          // An account's first order leaves nothing where it is refused.
          if (code !== 'booked' && nonce === 1) continue
          last.set(payer.address, nonce)
          answered.push({ text, answer: rig.desk.orders.take(text) })
          if (code !== 'booked') continue
          balance.set(payer.address, has - amount)
          balance.set(payee.address, balance.get(payee.address)! + amount)
        }
      }
      for (const { address } of wallets) {
        t.is(available(rig, address), balance.get(address)!)
        t.is(rig.engine.orderStore.lastNonce(address), last.get(address)!)
      }
      t.deepEqual(auditLedger(rig.engine.db, fastVerifier).faults, [])
    }),
    { numRuns: 8 },
  )
})

test('killed at any moment, an order is booked with its answer or not at all, and sending it again books it once', (t) => {
  const source = openDesk(t)
  const { ada, bea, clock, dataDir, engine } = source
  const copies: string[] = []
  const copy = () => {
    const folder = tempDir(t)
    for (const name of [databaseFile, `${databaseFile}-wal`]) {
      if (existsSync(join(dataDir, name))) copyFileSync(join(dataDir, name), join(folder, name))
    }
    copies.push(folder)
  }
  const signer = {
    publicKey: ledgerSigner.publicKey,
    sign: (payload: Uint8Array) => {
      copy() // booked and not yet answered: what a power cut would leave
      return ledgerSigner.sign(payload)
    },
  }
  const desk = openOrderDesk(engine, { clock, verifier: fastVerifier, signer })
  const text = ada.pay(bea.address, 2500n)
  copy()
  const answer = desk.orders.take(text)
  copy()
  t.is(copies.length, 3)
  for (const [n, folder] of copies.entries()) {
    const reopened = openLedger({ dataDir: folder, clock, verifier: fastVerifier, enrolment: 'open' })
    t.teardown(() => reopened.close())
    const after = openOrderDesk(reopened, { clock, verifier: fastVerifier, signer: ledgerSigner })
    const again = after.orders.take(text)
    t.is(after.orders.take(text), again)
    if (n === 2) t.is(again, answer)
    t.is(reopened.transfers.holdings(bea.address, 'WATT').available, 2500n)
    t.deepEqual(auditLedger(reopened.db, fastVerifier).faults, [])
  }
})

test('the audit finds an order that was forged, left out, or answered with another entry', (t) => {
  const rig = openDesk(t)
  const { ada, bea, engine } = rig
  engine.db.write(() => engine.bindings.bind('shop', bea.address))
  take(rig, ada.pay(bea.address, 100n))
  take(rig, ada.pay('shop', 200n))
  take(rig, bea.pay(ada.address, 50n, { account: 'shop', nonce: 1 }))
  const faults = (sql: string) => {
    const folder = tempDir(t)
    engine.db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
    copyFileSync(join(rig.dataDir, databaseFile), join(folder, databaseFile))
    const { db } = openLedger({ dataDir: folder, clock: rig.clock, verifier: fastVerifier, enrolment: 'open' })
    db.write(() => db.prepare(sql).run())
    const found = auditLedger(db, fastVerifier).faults.map(({ place, code }) => `${place}: ${code}`)
    db.close()
    return found
  }
  const one = `account = '${ada.address}' AND nonce = 1`
  t.deepEqual(faults('UPDATE signed_order SET nonce = nonce'), [])
  t.deepEqual(faults(`UPDATE signed_order SET text = replace(text, '"100"', '"101"') WHERE ${one}`), [
    `order 1 of ${ada.address}: transfer/bad-signature`,
  ])
  t.deepEqual(faults(`UPDATE signed_order SET answer = replace(answer, '"nonce":1', '"nonce":7') WHERE ${one}`), [
    `order 1 of ${ada.address}: receipt/invalid`,
  ])
  t.deepEqual(
    faults(`UPDATE signed_order SET answer = (SELECT answer FROM signed_order WHERE nonce = 2) WHERE ${one}`),
    [`order 1 of ${ada.address}: journal/broken`],
  )
  const gone = faults(`DELETE FROM signed_order WHERE ${one}`)
  t.is(gone[0], `order 2 of ${ada.address}: transfer/nonce`)
  t.regex(gone[1]!, /^entry \d+: transfer\/forbidden$/)
  t.deepEqual(faults(`UPDATE wallet_binding SET address = '${ada.address}'`), ['account owner:shop: journal/broken'])
})
