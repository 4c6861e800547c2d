import test from 'ava'
import fc from 'fast-check'
import { firstEpoch, record, roofRecord, signerOf } from '../test/arbitraries.ts'
import { signRecord } from './attestation.ts'
import { hashText } from './bytes.ts'
import { formatOcmfPayload, parseOcmfPayload, parseOcmfText } from './ocmf.ts'

const signer = signerOf(0)
const zeros = '0'.repeat(64)

test('SPEC-11 to SPEC-15: the payload of a reading, character by character', (t) => {
  t.is(
    formatOcmfPayload(roofRecord(7, zeros, { registers: { import: 5n, export: 1_234_567n } })),
    '{"FV":"1.3","GI":"Wattline","GS":"gw-1","GV":"0.1.0","PG":"F7","MV":"Eastron","MM":"SDM630-Modbus V2",' +
      '"MS":"10223344","IS":false,"IL":"NONE","IF":[],"IT":"NONE","ID":"","CT":"CBIDC","CI":"gw-1 roof",' +
      `"XE":${firstEpoch},"XN":7,"XP":"${zeros}","RD":[` +
      '{"TM":"2026-11-21T10:07:00,000+0000 S","RV":0.005,"RI":"01-00:01.08.00*FF","RU":"kWh","RT":"AC","EF":"","ST":"G"},' +
      '{"TM":"2026-11-21T10:07:00,000+0000 S","RV":1234.567,"RI":"01-00:C2.08.00*FF","RU":"kWh","RT":"AC","EF":"","ST":"G"}]}',
  )
})

test('SPEC-13, SPEC-20: a poll without an answer is a record without a value', (t) => {
  const payload = formatOcmfPayload(roofRecord(7, zeros, { state: 'no-answer', registers: {} }))
  t.true(payload.endsWith('"RD":[{"TM":"2026-11-21T10:07:00,000+0000 S","EF":"E","ST":"T"}]}'))
})

test('SPEC-17: every record survives text and back', (t) => {
  fc.assert(
    fc.property(record, (original) => {
      const payload = formatOcmfPayload(original)
      t.deepEqual(parseOcmfPayload(payload), original)
      JSON.parse(payload) // other people's software reads it as JSON
    }),
  )
})

test('SPEC-17: a payload with one character changed is refused, or is another record and builds the changed text', (t) => {
  fc.assert(
    fc.property(record, fc.nat(), fc.integer({ min: 0x20, max: 0x7e }), (original, place, code) => {
      const payload = formatOcmfPayload(original)
      const at = place % payload.length
      const changed = payload.slice(0, at) + String.fromCharCode(code) + payload.slice(at + 1)
      try {
        t.is(formatOcmfPayload(parseOcmfPayload(changed)), changed)
      } catch (error) {
        t.is((error as { code?: string }).code, 'record/malformed')
      }
    }),
    { numRuns: 1000 },
  )
})

test('SPEC-10: the text has three sections, its hash is that of the payload', (t) => {
  const signed = signRecord(roofRecord(1, zeros), signer)
  const parsed = parseOcmfText(signed.text)
  t.is(parsed.payload, signed.payload)
  t.is(parsed.hash, hashText(signed.payload))
  t.deepEqual(parsed.signature, signed.signature)
})

const good = signRecord(roofRecord(1, zeros), signer).text
const refusals: Record<string, string> = {
  'a fourth section': `${good}|x`,
  'white space between tokens': good.replace('"FV":', '"FV": '),
  'another order of fields': good.replace('"GI":"Wattline","GS":"gw-1"', '"GS":"gw-1","GI":"Wattline"'),
  'version 1.4': good.replace('"FV":"1.3"', '"FV":"1.4"'),
  'no signature algorithm': good.replace('"SA":"ECDSA-secp256k1-SHA256",', ''),
  'a signature in lower case': good.replace(/"SD":"[^"]+"/, (text) => text.toLowerCase().replace('"sd"', '"SD"')),
  'a signature that is no DER': good.replace(/"SD":"30/, '"SD":"31'),
  'two decimals': good.replace('1000.010', '1000.01'),
  'a leading zero': good.replace('1000.010', '01000.010'),
  'an unknown OBIS code': good.replace('C2.08.00', 'C3.08.00'),
  'an unknown state': good.replace('"ST":"G"', '"ST":"N"'),
  'TX in context F': good.replace('"RV"', '"TX":"B","RV"'),
  'context T without TX': good.replace('"PG":"F1"', '"PG":"T1"'),
  'no reading': good.replace(/"RD":\[.*\]/, '"RD":[]'),
  'a reading of another shape': good.replace(/"RD":\[.*\]/, '"RD":[{"TM":"x"}]'),
  'a time that is none': good.replace('2026-11-21', '2026-11-31'),
  'a value where none could be read': good.replace('"EF":"","ST":"G"', '"EF":"E","ST":"T"'),
  'the same register twice': good.replace(/"RD":\[(.*)\]/, '"RD":[$1,$1]'),
  'sequence zero': good.replace('"XN":1,', '"XN":0,'),
  'text beyond ASCII': good.replace('Eastron', 'Eästron'),
  'another format': 'EMOC|{}|{}',
}
for (const [what, text] of Object.entries(refusals)) {
  test(`SPEC-10 to SPEC-17: a record with ${what} is refused`, (t) => {
    t.not(text, good)
    t.throws(() => parseOcmfText(text), { code: 'record/malformed' })
  })
}

test('SPEC-11: a text that JSON would have to escape, or that splits sections, cannot be signed', (t) => {
  for (const serial of ['a"b', 'a\\b', 'a|b', 'a\nb', 'ä', 'x'.repeat(201)]) {
    const template = { ...roofRecord(1, zeros).template, meterSerial: serial }
    t.throws(() => formatOcmfPayload(roofRecord(1, zeros, { template })), { code: 'record/malformed', message: /^MS:/ })
  }
})
