import test from 'ava'
import fc from 'fast-check'
import { signerOf } from '../test/arbitraries.ts'
import { hashText } from './bytes.ts'
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
