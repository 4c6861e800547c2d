import test from 'ava'
import { signerOf } from '../test/arbitraries.ts'
import { formatPublicKey, samePublicKey } from './attestation.ts'
import { type CertificateFacts, makeCertificate, parseCertificate } from './certificate.ts'
import { signDocument } from './document.ts'
import { makeGatewayId, makeMeterId, makePointId } from './ids.ts'

const signer = signerOf(30)
const gateway = makeGatewayId('gw-1')
const facts: CertificateFacts = {
  point: makePointId(gateway, makeMeterId('roof')),
  role: 'producer',
  behind: makePointId(gateway, makeMeterId('house')),
  owner: 'Ada Å',
  meter: { vendor: 'Eastron', model: 'SDM630', serial: '1' },
  maxPowerW: 30_000,
  rolloverWh: 10_000_000_000n,
  firstRegister: { export: 1_234_567n },
  location: 'household',
  issuedAt: 1_795_255_200_000,
}

test('SPEC-51: a certificate says again what it was made of, and who signed it', (t) => {
  const { key, hash, text, ...again } = parseCertificate(makeCertificate(facts, signer).text)
  t.deepEqual(again, facts)
  t.true(samePublicKey(key, signer.publicKey))
  t.is(hash.length, 64)
  t.true(text.startsWith('WATT-CERT|'))
})

test('SPEC-51: what is optional may be left out', (t) => {
  const { behind: _b, owner: _o, rolloverWh: _r, firstRegister: _f, location: _l, ...least } = facts
  const { key: _k, hash: _h, text: _t, ...again } = parseCertificate(makeCertificate(least, signer).text)
  t.deepEqual(again, least)
})

test('SPEC-93: a certificate says what its registers showed when it was made', (t) => {
  for (const firstRegister of [{}, { import: 5n }, { import: 0n, export: 9n }]) {
    t.deepEqual(
      parseCertificate(makeCertificate({ ...facts, firstRegister }, signer).text).firstRegister,
      firstRegister,
    )
  }
})

const content = {
  v: 1,
  point: 'gw-1/roof',
  key: formatPublicKey(signer.publicKey),
  role: 'producer',
  meter: { vendor: '', model: '', serial: '' },
  maxPowerW: 1,
  issuedAt: 0,
}
const refusals: Record<string, [object, RegExp]> = {
  'the key of somebody else': [{ ...content, key: formatPublicKey(signerOf(31).publicKey) }, /not signed by the key/],
  'an unknown field': [{ ...content, more: 1 }, /more/],
  'an unknown role': [{ ...content, role: 'king' }, /role: .*king/],
  'no power limit': [{ ...content, maxPowerW: 0 }, /maxPowerW/],
  'a place by its name instead of a class': [{ ...content, location: 'Main Street 5, Berlin' }, /location/],
  'a register below zero': [{ ...content, firstRegister: { export: '-1' } }, /firstRegister.export/],
  'no version': [{ ...content, v: 2 }, /v: /],
}
for (const [what, [bad, message]] of Object.entries(refusals)) {
  test(`SPEC-51: a certificate with ${what} is refused`, (t) => {
    t.throws(() => parseCertificate(signDocument('WATT-CERT', bad, signer)), { code: 'certificate/invalid', message })
  })
}

test('SPEC-51: a certificate for a point or a parent that is no metering point is refused', (t) => {
  for (const bad of [{ point: 'roof' }, { behind: 'house' }]) {
    const text = signDocument('WATT-CERT', { ...content, ...bad }, signer)
    t.throws(() => parseCertificate(text), { message: /'<gatewayId>\/<meterId>' expected/ })
  }
})

test('decoding tells every problem at once, each with its path', (t) => {
  const text = signDocument('WATT-CERT', { ...content, role: 'king', maxPowerW: -1, meter: { serial: 5 } }, signer)
  const error = t.throws(() => parseCertificate(text))
  for (const path of ['role', 'maxPowerW', 'meter.vendor', 'meter.serial'])
    t.regex(error.message, new RegExp(`certificate: ${path}: `))
})
