import test from 'ava'
import fc from 'fast-check'
import { fromBase64 } from '../bytes.ts'
import { findSignedValues } from './signed-values.ts'

const ocmf = 'OCMF|{"FV":"1.0","TT":"3 Öre & <mehr>"}|{"SD":"00"}'
const base64 = (text: string) => Buffer.from(text).toString('base64')
const hex = (text: string) => Buffer.from(text).toString('hex')
const spki = '3059301306072A8648CE3D020106082A8648CE3D030107034200'

const inOld = (value: unknown, more: object = {}) =>
  findSignedValues('ocpp1.6', {
    transactionData: [{ timestamp: '2026-11-21T09:00:00Z', sampledValue: [{ format: 'SignedData', value, ...more }] }],
  })
const inNew = (signedMeterValue: unknown) =>
  findSignedValues('ocpp2.0.1', { meterValue: [{ sampledValue: [{ value: 1, signedMeterValue }] }] })

const xml = `<?xml version="1.0"?><values><value><signedData format="OCMF" encoding="plain">${ocmf
  .replaceAll('&', '&amp;')
  .replaceAll('<', '&lt;')
  .replaceAll('>', '&gt;')
  .replaceAll('"', '&quot;')}</signedData><publicKey encoding="plain">${spki}</publicKey></value></values>`

const wrappings: Readonly<Record<string, unknown>> = {
  plain: ocmf,
  'in hex': hex(ocmf),
  'in base64': base64(ocmf),
  'in base64 with line breaks': base64(ocmf).replace(/(.{40})/g, '$1\n'),
  'as the object of 2.x': JSON.stringify({ signedMeterData: base64(ocmf), encodingMethod: 'OCMF' }),
  'as an object with another name': JSON.stringify({ signedMeterValue: base64(ocmf), encodingMethod: '' }),
  'as XML of transparency software': xml,
}

for (const [what, value] of Object.entries(wrappings)) {
  test(`OCPP 1.6: OCMF ${what}`, (t) => {
    t.like(inOld(value), { 0: { text: ocmf, encoding: 'OCMF', timestamp: '2026-11-21T09:00:00Z' }, length: 1 })
  })
}

test('OCPP 1.6: context is told, and values that are not signed are none', (t) => {
  t.is(inOld(ocmf, { context: 'Transaction.Begin' })[0]?.context, 'Transaction.Begin')
  t.deepEqual(inOld('1234', { format: 'Raw' }), [])
  t.deepEqual(inOld(1234), [])
  t.deepEqual(
    findSignedValues('ocpp1.6', { meterValue: [{}, null, { sampledValue: [7, {}] }], transactionData: 1 }),
    [],
  )
})

test('a key comes in whatever wrapping; an empty one is none', (t) => {
  const keyOf = (publicKey: unknown) =>
    inNew({ signedMeterData: base64(ocmf), encodingMethod: 'OCMF', publicKey })[0]?.publicKey
  t.is(keyOf(base64(`oca:base16:asn1:${spki}`)), spki)
  t.is(keyOf(`oca:base16:asn1:${spki}`), spki)
  t.is(keyOf(base64(spki)), spki)
  t.is(keyOf(spki), spki)
  const der = Buffer.from(spki, 'hex').toString('base64')
  t.is(keyOf(der), der)
  t.is(keyOf(` ${der} `), der)
  t.is(keyOf(''), undefined)
  t.is(keyOf(7), undefined)
  t.is(inOld(xml)[0]?.publicKey, spki)
})

test('what is no OCMF keeps its name and its text', (t) => {
  t.like(inNew({ signedMeterData: base64('<edl/>'), encodingMethod: ' EDL ' }), { 0: { encoding: 'EDL' }, length: 1 })
  t.like(inNew({ signedMeterData: '%%%', encodingMethod: 'OCMF' }), { 0: { text: '%%%', encoding: 'OCMF' } })
  t.is(inOld('<signedData>x</signedData>')[0]?.encoding, 'unknown')
  t.deepEqual(inNew({ encodingMethod: 'OCMF' }), [])
  t.deepEqual(inNew(undefined), [])
  t.is(inOld(hex('ÿ').slice(0, 2))[0]?.encoding, 'unknown', 'half a character is no text')
})

test('base64 is read as Node writes it, with and without padding; anything else is none', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const text = Buffer.from(bytes).toString('base64')
      t.deepEqual(fromBase64(text), bytes)
      t.deepEqual(fromBase64(text.replace(/=/g, '')), bytes)
    }),
  )
  for (const text of ['A', 'AAAAA', 'AA=A', '====', 'Ä', 'a b']) t.is(fromBase64(text), undefined, text)
})
