import test from 'ava'
import fc from 'fast-check'
import { signerOf } from '../test/arbitraries.ts'
import { asciiToBytes, hashText, toUpperHex } from './bytes.ts'
import { encodeDerSignature } from './der.ts'
import { isSignedBy, parseDocument, signDocument } from './document.ts'

const signer = signerOf(20)

test('SPEC-50: whatever a document says, its text is ASCII in three sections and says the same again', (t) => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' })), (content) => {
      const text = signDocument('WATT-CERT', content, signer)
      t.regex(text, /^[\x20-\x7e]*$/)
      t.is(text.split('|').length, 3)
      const document = parseDocument('WATT-CERT', text, 'certificate/invalid')
      t.deepEqual(document.content, JSON.parse(JSON.stringify(content)))
      t.is(document.hash, hashText(text.split('|')[1]!))
    }),
    { numRuns: 50 },
  )
})

test('SPEC-50: a document is bound to its key and to every byte of its body', (t) => {
  const text = signDocument('WATT-RECEIPT', { a: 1 }, signer)
  t.true(isSignedBy(parseDocument('WATT-RECEIPT', text, 'receipt/invalid'), signer.publicKey))
  t.false(isSignedBy(parseDocument('WATT-RECEIPT', text, 'receipt/invalid'), signerOf(21).publicKey))
  const altered = text.replace('"a":1', '"a":2')
  t.false(isSignedBy(parseDocument('WATT-RECEIPT', altered, 'receipt/invalid'), signer.publicKey))
})

test('SPEC-50: a body has one way of writing, however well another one is signed', (t) => {
  const sign = (body: string) => {
    const signature = toUpperHex(encodeDerSignature(signer.sign(asciiToBytes(body))))
    return `WATT-ANCHOR|${body}|{"SA":"ECDSA-secp256k1-SHA256","SD":"${signature}"}`
  }
  const good = '{"a":1000,"b":{"c":"x\\u007c\\u00e4\\n"}}'
  t.deepEqual(parseDocument('WATT-ANCHOR', sign(good), 'anchor/invalid').content, { a: 1000, b: { c: 'x|ä\n' } })
  for (const [what, body] of Object.entries({
    'a key twice': good.replace('"a":1000', '"a":999,"a":1000'),
    'a key twice, further in': good.replace('"c":', '"c":1,"c":'),
    'another number': good.replace('1000', '1e3'),
    'a number with a point': good.replace('1000', '1000.0'),
    'zero with a sign': good.replace('1000', '-0'),
    'more than a number holds': good.replace('1000', '9007199254740993'),
    'white space': good.replace(',', ', '),
    'a line feed at the end': `${good}\n`,
    'an escape of a letter': good.replace('"x', '"\\u0078'),
    'more brackets than a stack holds': '['.repeat(100_000) + ']'.repeat(100_000),
    'an escape in capitals': good.replace('7c', '7C'),
  })) {
    t.throws(() => parseDocument('WATT-ANCHOR', sign(body), 'anchor/invalid'), { code: 'anchor/invalid' }, what)
  }
})

test('SPEC-50: anything else is refused with the code of the asker', (t) => {
  const text = signDocument('WATT-RECEIPT', { a: 1 }, signer)
  for (const bad of [
    '',
    'x'.repeat(500),
    text.replace('WATT-RECEIPT', 'WATT-CERT'),
    text.replace('{"a":1}', '{"a":'),
    text.replace('{"a":1}', '{"ä":1}'),
    text.replace('"SD":"30', '"SD":"31'),
  ]) {
    t.throws(() => parseDocument('WATT-RECEIPT', bad, 'receipt/invalid'), { code: 'receipt/invalid' })
  }
})
