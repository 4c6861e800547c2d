import test from 'ava'
import fc from 'fast-check'
import { signerOf } from '../../test/arbitraries.ts'
import { type Address, addressOf } from '../account.ts'
import { lastMoment } from '../decode.ts'
import { signDocument } from '../document.ts'
import { isCurrency } from './currency.ts'
import { inquiryKinds, maxInquiryLength, parseInquiry, signInquiry } from './inquiry.ts'
import { holdingOf, namesIn, parseStatement, type StatementFacts, signStatement, toHoldings } from './statement.ts'

const ada = signerOf(40)
const ledgerKey = signerOf(41)
const ledger = addressOf(ledgerKey.publicKey)
const account = addressOf(ada.publicKey)

test('SPEC-156: a question says the same when it is read, and by whom it was signed', (t) => {
  const whole = fc.integer({ min: 1, max: lastMoment })
  fc.assert(
    fc.property(
      fc.constantFrom(account, 'ada', 'driver 7'),
      whole,
      fc.constantFrom(...inquiryKinds),
      whole,
      (...of) => {
        const [who, expiresAt, kind, from] = of
        const facts = { ledger, account: who, expiresAt, kind, from }
        const inquiry = signInquiry(facts, ada)
        t.like(parseInquiry(inquiry.text), { ...facts, signer: account, id: inquiry.id })
      },
    ),
    { numRuns: 6 },
  )
})

test('SPEC-156: a question for another key’s address, an altered one or none at all is refused', (t) => {
  const facts = { ledger, account: 'ada', expiresAt: 5, kind: 'history', from: 7 } as const
  const { text } = signInquiry(facts, ada)
  t.throws(() => signInquiry({ ...facts, account: ledger }, ada), { code: 'inquiry/forbidden' })
  t.throws(() => parseInquiry(text.replace('"ada"', '"bea"')), { code: 'inquiry/forbidden' })
  t.throws(() => parseInquiry(text.replace('"from":7', '"from":8')), { code: 'inquiry/forbidden' })
  for (const bad of ['', 'hello', `${text}${' '.repeat(maxInquiryLength)}`, text.replace('"v":1', '"v":2')]) {
    t.throws(() => parseInquiry(bad), { code: 'inquiry/invalid' })
  }
  for (const change of [{ account: '0xABC' }, { ledger: 'x' as Address }, { from: -1 }, { expiresAt: 1.5 }]) {
    t.throws(() => signInquiry({ ...facts, ...change }, ada), { code: 'inquiry/invalid' })
  }
})

test('SPEC-155: a statement says the same when it is read, and nobody but the ledger can have made it', (t) => {
  const digest = fc.stringMatching(/^[0-9a-f]{64}$/)
  const units = fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n })
  const whole = fc.nat()
  const facts: fc.Arbitrary<StatementFacts> = fc.record({
    inquiry: digest,
    account: fc.constantFrom(account, 'ada', 'Zoë'),
    at: whole,
    holdings: fc
      .tuple(fc.array(units, { minLength: 9, maxLength: 9 }), fc.subarray(['CHF', 'EUR'].filter(isCurrency)))
      .map(([amounts, money]) => toHoldings(() => amounts.pop() ?? 0n, money)),
    orders: whole,
    entries: whole,
    journal: digest,
    from: whole,
    lines: fc.array(fc.tuple(fc.integer({ min: 1 }), digest), { maxLength: 5 }),
    more: fc.boolean(),
  })
  fc.assert(
    fc.property(facts, (statement) => {
      const text = signStatement(statement, ledgerKey)
      const { text: read, ledger: key, ...rest } = parseStatement(text)
      t.is(read, text)
      t.is(addressOf(key), ledger)
      t.deepEqual(rest, statement)
    }),
    { numRuns: 6 },
  )
  const holdings = toHoldings((name) => (name === 'grid' ? -3n : 5n))
  const [zeros, at] = ['0'.repeat(64), 9]
  const one = {
    inquiry: zeros,
    account,
    at,
    holdings,
    orders: 0,
    entries: 1,
    journal: zeros,
    from: 0,
    lines: [],
    more: false,
  }
  const half = { ...one, holdings: { ...holdings, 'money:EUR': 7n } }
  t.like(parseStatement(signStatement(half, ledgerKey)).holdings, { 'money:EUR': 7n, 'money-held:EUR': 0n })
  const text = signStatement(one, ledgerKey)
  for (const bad of [
    text.replace('"grid":"-3"', '"grid":"-4"'),
    text.replace('"grid":"-3"', '"grid":"-03"'),
    text.replace('WATT-STATEMENT', 'WATT-RECEIPT'),
    signDocument('WATT-STATEMENT', { v: 1 }, ledgerKey),
    ...[
      { 'money:EUR': '1' },
      { 'money-held:EUR': '1' },
      { stored: '1' },
      { 'money:eur': '1', 'money-held:eur': '1' },
    ].map((more) => signDocument('WATT-STATEMENT', withHoldings(text, more), ledgerKey)),
  ]) {
    t.throws(() => parseStatement(bad), { code: 'receipt/invalid' })
  }
})

function withHoldings(text: string, more: object): object {
  const content: { holdings: object } = JSON.parse(text.split('|')[1]!)
  return { ...content, holdings: { ...content.holdings, ...more } }
}

test('SPEC-155: which accounts are an owner’s is told by their names, also where those have colons', (t) => {
  t.deepEqual(namesIn(toHoldings(() => 0n, ['EUR'].filter(isCurrency))).slice(5), ['money:EUR', 'money-held:EUR'])
  for (const [name, owner, of] of [
    ['owner:bea', 'bea', 'owner'],
    ['money:EUR:bea', 'bea', 'money:EUR'],
    ['money-held:EUR:bea', 'bea', 'money-held:EUR'],
    ['money:EUR:a:bea', 'a:bea', 'money:EUR'],
    ['money:EUR:a:bea', 'bea', undefined],
    ['money:EUR:bea', 'EUR:bea', undefined],
    ['minted:bea', 'bea', undefined],
    ['owner:bea', 'ea', undefined],
    ['money-added:EUR', 'EUR', undefined],
  ] as const) {
    t.is(holdingOf(name, owner), of, name)
  }
})
