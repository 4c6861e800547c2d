import test from 'ava'
import fc from 'fast-check'
import { signerOf } from '../../test/arbitraries.ts'
import { formatPublicKey, samePublicKey } from '../attestation.ts'
import { signDocument } from '../document.ts'
import { makeGatewayId, makeMeterId, makePointId } from '../ids.ts'
import {
  formatHello,
  formatReceipt,
  maxMessageLength,
  parseHello,
  parseReceipt,
  type ReceiptFacts,
} from './messages.ts'

const ledger = signerOf(40)
const facts: ReceiptFacts = {
  point: makePointId(makeGatewayId('gw-1'), makeMeterId('roof')),
  session: '0123456789abcdef',
  serial: 7,
  epoch: 1_795_255_200_000,
  sequence: 42,
  hash: 'a'.repeat(64),
  mintedWh: 123n,
  burnedWh: 0n,
  resend: false,
  refusal: { epoch: 1, sequence: 43, code: 'record/malformed', message: 'why | not' },
}

test('SPEC-70: a receipt says again what the ledger put into it', (t) => {
  const { refusal: _, ...plain } = facts
  for (const one of [facts, plain]) {
    const text = formatReceipt(one, ledger)
    t.true(text.length < maxMessageLength)
    const { ledger: key, ...again } = parseReceipt(text, ledger.publicKey)
    t.deepEqual(again, one)
    t.true(samePublicKey(key, ledger.publicKey))
  }
})

test('SPEC-74: without a trusted key the first ledger will do, with one only that', (t) => {
  const text = formatReceipt(facts, ledger)
  t.is(parseReceipt(text, undefined).sequence, 42)
  t.throws(() => parseReceipt(text, signerOf(41).publicKey), {
    code: 'receipt/invalid',
    message: /not from the ledger that is trusted/,
  })
})

test('SPEC-70: a receipt that names a key and is signed by another is refused', (t) => {
  const content = { ...facts, v: 1, ledger: formatPublicKey(ledger.publicKey), mintedWh: '1', burnedWh: '1' }
  const forged = signDocument('WATT-RECEIPT', content, signerOf(41))
  for (const trusted of [undefined, ledger.publicKey]) {
    t.throws(() => parseReceipt(forged, trusted), {
      code: 'receipt/invalid',
      message: /not signed by the key it names/,
    })
  }
})

test('SPEC-70: a receipt of another shape is refused with the path of what is wrong', (t) => {
  const content = { ...facts, v: 1, ledger: formatPublicKey(ledger.publicKey), mintedWh: '-1', burnedWh: '1' }
  t.throws(() => parseReceipt(signDocument('WATT-RECEIPT', content, ledger), undefined), {
    code: 'receipt/invalid',
    message: /mintedWh/,
  })
})

test('SPEC-74: a greeting survives the wire', (t) => {
  const hello = { gatewayVersion: '0.1.0', points: [facts.point] }
  t.deepEqual(parseHello(Buffer.from(formatHello(hello))), hello)
})

test('SPEC-63: no bytes whatever make the greeting parser do more than refuse', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (bytes) => {
        t.throws(() => parseHello(bytes), { code: 'message/unreadable' })
      },
    ),
  )
  t.throws(() => parseHello(Buffer.from(formatHello({ gatewayVersion: '1', points: ['x' as never] }))), {
    message: /'x'/,
  })
})
