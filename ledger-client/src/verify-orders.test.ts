import { readFileSync } from 'node:fs'
import { addressOf, parseTransfer, signTransferAnswer } from '@wattline/protocol'
import test from 'ava'
import { fastVerifier, testSigner } from '../test/rig.ts'
import { ledgerSigner, TestWallet } from '../test/wallet-rig.ts'
import { verifyFile } from './verify-file.ts'
import { checkAnswer } from './wallet/ledger-link.ts'

const verify = (...lines: string[]) => verifyFile(lines.join('\n'), { byMeter: new Map() }, fastVerifier)
const ledger = addressOf(ledgerSigner.publicKey)
const [ada, bea] = [new TestWallet(901), new TestWallet(902)]
const pay = ada.pay(bea.address, 1500n)
const facts = { transfer: parseTransfer(pay).id, account: ada.address, nonce: 1, at: 1_795_251_600_000 }
const booked = signTransferAnswer({ ...facts, entry: 7 }, ledgerSigner)

test('SPEC-152: an order is checked with nothing but its text, and what is proven is said in words', (t) => {
  const [finding, ...rest] = verify('# a comment', pay)
  t.deepEqual(rest, [])
  t.true(finding!.ok)
  t.is(finding!.subject, `order 1 of ${ada.address}`)
  t.true(
    finding!.text.startsWith(`pay 1.500 WATT to ${bea.address}, at ledger ${ledger}, to be carried out until 2026-`),
  )
  t.regex(finding!.text, /own key has signed it; whether it was carried out is not in the file$/)
  const named = verify(bea.order({ kind: 'void', reservation: facts.transfer }, { account: 'shop' }))
  t.regex(named[0]!.text, /only the ledger can say/)
})

test('SPEC-153: with the answer of the ledger that it names, an order is proven to be booked', (t) => {
  t.regex(verify(pay, booked)[0]!.text, /that ledger has booked it at 2026-11-21T09:00:00.000Z as entry 7$/)
  const refused = signTransferAnswer({ ...facts, refused: 'transfer/insufficient', message: 'no' }, ledgerSigner)
  t.regex(verify(pay, refused)[0]!.text, /refused it at .*: transfer\/insufficient$/)
  t.regex(verify(booked)[0]!.text, /booked it .* the order itself is not in the file$/)
  const foreign = signTransferAnswer({ ...facts, entry: 7 }, testSigner(907))
  t.like(verify(pay, foreign)[0], { ok: false })
  t.regex(verify(pay, foreign)[0]!.text, /not by ledger/)
})

test('SPEC-153: an answer that calls its order another one is a fault', (t) => {
  for (const change of [{ nonce: 2 }, { account: bea.address }]) {
    const twisted = signTransferAnswer({ ...facts, ...change, entry: 7 }, ledgerSigner)
    t.like(verify(pay, twisted)[0], { ok: false })
    t.regex(verify(pay, twisted)[0]!.text, /calls it order \d of 0x.* \(receipt\/invalid\)$/)
    t.throws(() => checkAnswer(parseTransfer(pay), twisted), { code: 'receipt/invalid' })
  }
})

test('SPEC-153: two answers of one ledger to one nonce prove that it lies', (t) => {
  const other = signTransferAnswer({ ...facts, entry: 8 }, ledgerSigner)
  const lie = verify(pay, booked, other).find(({ ok }) => !ok)
  t.regex(lie!.text, /in two ways: lines 2 and 3/)
  t.true(
    verify(pay, booked, booked).every(({ ok }) => ok),
    'the same answer twice is no lie',
  )
})

test('altered in any way, an order or an answer is a fault that names its line and its code', (t) => {
  for (const [line, code] of [
    [pay.replace('"1500"', '"1501"'), 'transfer/bad-signature'],
    [pay.replace('"WATT"', '"WATTS"'), 'transfer/invalid'],
    [pay.replace('pay', 'Pay'), 'transfer/invalid'],
    [booked.replace('"entry":7', '"entry":8'), 'receipt/invalid'],
  ] as const) {
    t.like(verify('', line), [{ subject: 'line 2', ok: false }])
    t.true(verify(line)[0]!.text.endsWith(`(${code})`))
  }
})

test('golden vectors: the orders and answers that are published are proven', (t) => {
  const { orders, answers } = JSON.parse(
    readFileSync(new URL('../../protocol/vectors/transfers.json', import.meta.url), 'utf8'),
  )
  const findings = verify(...orders.map(({ text }: { text: string }) => text), answers[0])
  t.is(findings.length, orders.length)
  t.deepEqual(
    findings.filter(({ ok }) => !ok),
    [],
  )
})
