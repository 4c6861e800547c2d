import test from 'ava'
import fc from 'fast-check'
import { signerOf } from '../../test/arbitraries.ts'
import { addressOf } from '../account.ts'
import { formatPublicKey, toLowS } from '../attestation.ts'
import { hashText, toUpperHex } from '../bytes.ts'
import { lastMoment } from '../decode.ts'
import { decodeDerSignature, encodeDerSignature } from '../der.ts'
import { signDocument } from '../document.ts'
import { WattError } from '../errors.ts'
import { isCurrency } from './currency.ts'
import { maxTransferLength, parseTransfer, signTransfer, type TransferFacts } from './transfer.ts'
import { parseTransferAnswer, signTransferAnswer } from './transfer-answer.ts'

const ada = signerOf(30)
const ledgerKey = signerOf(31)
const ledger = addressOf(ledgerKey.publicKey)
const account = addressOf(ada.publicKey)

const name = fc.stringMatching(/^[a-z][a-z0-9 .-]{0,20}$/)
const target = fc.oneof(
  name,
  fc.integer({ min: 40, max: 90 }).map((n) => addressOf(signerOf(n).publicKey)),
)
const amount = fc.bigInt({ min: 1n, max: 10n ** 18n - 1n })
const time = fc.integer({ min: 1, max: lastMoment })
const id = fc.stringMatching(/^[0-9a-f]{64}$/)
const [eur] = ['EUR'].filter(isCurrency)
const asset = fc.constantFrom('WATT' as const, 'EEA' as const, eur!)
const payout = fc.stringMatching(/^[!#-[\]-{}~][ !#-[\]-{}~]{0,139}$/)
const facts: fc.Arbitrary<TransferFacts> = fc
  .tuple(
    fc.record({
      ledger: fc.constant(ledger),
      account: fc.oneof(fc.constant(account), name),
      nonce: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      expiresAt: time,
    }),
    fc.oneof(
      fc.record({ kind: fc.constant('pay' as const), asset, to: target, amount }),
      fc.record({ kind: fc.constant('reserve' as const), asset, to: target, amount, heldUntil: time }),
      fc.record(
        { kind: fc.constant('post' as const), reservation: id, amount },
        { requiredKeys: ['kind', 'reservation'] },
      ),
      fc.record({ kind: fc.constant('void' as const), reservation: id }),
      fc.record({ kind: fc.constant('withdraw' as const), asset: fc.constant(eur!), amount, payout, heldUntil: time }),
    ),
  )
  .filter(([terms, act]) => !('to' in act) || act.to !== terms.account)
  .map(([terms, act]) => ({ ...terms, ...act }))

function codeOf(text: string): string {
  try {
    parseTransfer(text)
    return 'taken'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

test('SPEC-151: what is signed says the same when it is read, and is named by its bytes', (t) => {
  fc.assert(
    fc.property(facts, (order) => {
      const signed = signTransfer(order, ada)
      const { key, signer, id, text, ...read } = parseTransfer(signed.text)
      t.deepEqual(read as TransferFacts, order)
      t.is(signer, account)
      t.is(formatPublicKey(key), formatPublicKey(ada.publicKey))
      t.is(id, hashText(text.split('|')[1]!))
      t.true(text.length <= maxTransferLength)
    }),
    { numRuns: 25 },
  )
})

test('SPEC-152: whatever byte of an order is altered, it is refused', (t) => {
  const other = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code))
  fc.assert(
    fc.property(facts, fc.nat(), other, (order, place, letter) => {
      const { text } = signTransfer(order, ada)
      const at = place % text.length
      fc.pre(text[at] !== letter)
      t.not(codeOf(text.slice(0, at) + letter + text.slice(at + 1)), 'taken')
    }),
    { numRuns: 25 },
  )
})

const pay: TransferFacts = {
  ledger,
  account,
  nonce: 1,
  expiresAt: 1_795_251_600_000,
  kind: 'pay',
  asset: 'WATT',
  to: 'bea',
  amount: 1500n,
}
const good = signTransfer(pay, ada).text
const body = good.split('|')[1]!
/** Signs any body: what a wallet of other make might send. */
const signBody = (content: string) => {
  const signature = toUpperHex(encodeDerSignature(ada.sign(Buffer.from(content))))
  return `WATT-TRANSFER|${content}|{"SA":"ECDSA-secp256k1-SHA256","SD":"${signature}"}`
}

test('SPEC-151: one order has one text, even where another one is signed well', (t) => {
  t.is(codeOf(signBody(body)), 'taken')
  for (const [what, content] of Object.entries({
    'white space': body.replace('"nonce":1', '"nonce": 1'),
    'another order of keys': body.replace('"v":1,', '').replace('}', ',"v":1}'),
    'an escape': body.replace('"to":"bea"', '"to":"\\u0062ea"'),
    'a key twice': body.replace('"nonce":1', '"nonce":2,"nonce":1'),
    'a number as 1e0': body.replace('"nonce":1', '"nonce":1e0'),
    'an unknown key': body.replace('"nonce":1', '"nonce":1,"memo":"x"'),
    'a leading zero': body.replace('"1500"', '"01500"'),
    'an amount of nothing': body.replace('"1500"', '"0"'),
    'an amount below nothing': body.replace('"1500"', '"-1500"'),
    'an amount with a point': body.replace('"1500"', '"1500.5"'),
    'an amount as a number': body.replace('"1500"', '1500'),
    'an amount beyond 18 digits': body.replace('"1500"', `"1${'0'.repeat(18)}"`),
    'a time that no calendar has': body.replace('1795251600000', `${lastMoment + 1}`),
    'no nonce': body.replace('"nonce":1', '"nonce":0'),
    'another asset': body.replace('"WATT"', '"EURO"'),
    'an asset in small letters': body.replace('"WATT"', '"eur"'),
    'another kind': body.replace('"pay"', '"mint"'),
    'a payment that is held': body.replace('"amount":"1500"', '"amount":"1500","heldUntil":5'),
    'to itself': body.replace('"to":"bea"', `"to":"${account}"`),
    'an account in a second spelling': body.replaceAll(account, account.toLowerCase()),
    'a ledger in a second spelling': body.replaceAll(ledger, ledger.toLowerCase()),
    'a key in lower case': body.replace(formatPublicKey(ada.publicKey), formatPublicKey(ada.publicKey).toLowerCase()),
    'another version': body.replace('"v":1', '"v":2'),
  })) {
    t.not(content, body, what)
    t.is(codeOf(signBody(content)), 'transfer/invalid', what)
  }
  t.is(codeOf(`${good}${' '.repeat(maxTransferLength)}`), 'transfer/invalid')
  t.is(codeOf(good.replace('WATT-TRANSFER', 'WATT-CERT')), 'transfer/invalid')
})

test('SPEC-151: a withdrawal is of money, and tells where to in plain characters', (t) => {
  const act = { kind: 'withdraw', asset: eur!, amount: 1250n, payout: 'ref 17', heldUntil: 1_795_999_999_999 } as const
  const { text } = signTransfer({ ledger, account, nonce: 1, expiresAt: 1_795_251_600_000, ...act }, ada)
  t.like(parseTransfer(text), act)
  const content = text.split('|')[1]!
  t.is(codeOf(signBody(content)), 'taken')
  for (const [what, altered] of Object.entries({
    'of WATT': content.replace('"EUR"', '"WATT"'),
    'of EEA': content.replace('"EUR"', '"EEA"'),
    'to nowhere': content.replace('"ref 17"', '""'),
    'to a blank': content.replace('"ref 17"', '" "'),
    'to more than 140 characters': content.replace('ref 17', 'x'.repeat(141)),
    'to what needs an escape': content.replace('ref 17', '\\\\'),
    'to what is no ASCII': content.replace('ref 17', '\\u00e4'),
    'to somebody here': content.replace('"amount"', '"to":"bea","amount"'),
    'for ever': content.replace(/,"heldUntil":\d+/, ''),
    'another order of keys': content.replace(/("payout":"ref 17"),("heldUntil":\d+)/, '$2,$1'),
  })) {
    t.not(altered, content, what)
    t.is(codeOf(signBody(altered)), 'transfer/invalid', what)
  }
})

test('SPEC-151: the signature is low-s, by the key in the text, and the key is that of the account', (t) => {
  const [head, , tail] = good.split('|')
  const compact = decodeDerSignature(Buffer.from(/"SD":"([0-9A-F]+)"/.exec(tail!)![1]!, 'hex'))!
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = order - BigInt(`0x${toUpperHex(compact.subarray(32))}`)
  const high = Uint8Array.from([...compact.subarray(0, 32), ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
  t.deepEqual(toLowS(high), compact)
  const mirrored = `${head}|${body}|{"SA":"ECDSA-secp256k1-SHA256","SD":"${toUpperHex(encodeDerSignature(high))}"}`
  t.is(codeOf(mirrored), 'transfer/invalid')
  t.is(codeOf(good.replace('"1500"', '"1501"')), 'transfer/bad-signature')
  const eve = signerOf(32)
  const stolen = body.replace(formatPublicKey(ada.publicKey), formatPublicKey(eve.publicKey))
  t.is(codeOf(signDocument('WATT-TRANSFER', JSON.parse(stolen), eve)), 'transfer/forbidden')
  t.throws(() => signTransfer(pay, eve), { code: 'transfer/forbidden' })
})

test('SPEC-153: an answer says booked or refused, never both, and is bound to the key of its ledger', (t) => {
  const facts = { transfer: hashText(body), account, nonce: 1, at: 5 }
  const booked = signTransferAnswer({ ...facts, entry: 7 }, ledgerKey)
  t.like(parseTransferAnswer(booked), { ...facts, entry: 7, text: booked })
  const refused = signTransferAnswer(
    { ...facts, refused: 'transfer/insufficient', message: 'ä|'.repeat(400) },
    ledgerKey,
  )
  t.like(parseTransferAnswer(refused), { ...facts, refused: 'transfer/insufficient' })
  for (const bad of [
    booked.replace('"entry":7', '"entry":8'),
    booked.replace('WATT-ANSWER', 'WATT-RECEIPT'),
    signDocument('WATT-ANSWER', { v: 1, ledger: formatPublicKey(ledgerKey.publicKey), ...facts }, ledgerKey),
    signDocument(
      'WATT-ANSWER',
      {
        v: 1,
        ledger: formatPublicKey(ledgerKey.publicKey),
        ...facts,
        entry: 7,
        refused: 'transfer/nonce',
        message: '',
      },
      ledgerKey,
    ),
    signDocument(
      'WATT-ANSWER',
      { v: 1, ledger: formatPublicKey(ledgerKey.publicKey), ...facts, entry: 7, message: 'x' },
      ledgerKey,
    ),
  ]) {
    t.throws(() => parseTransferAnswer(bad), { code: 'receipt/invalid' })
  }
})
