import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, makeCertificate, makeMeterId, makePointId, nobleVerifier } from '@wattline/protocol'
import test from 'ava'
import { makeTempFolder, rigGatewayId } from '../../test/signing-rig.ts'
import { ensureCertificate, loadCertificate } from './certificate-file.ts'
import { ensureDeviceKey, loadDeviceKey } from './device-key.ts'

const roof = makeMeterId('roof')
const modeOf = (path: string) => statSync(path).mode & 0o777

test('a key is made once, for its owner only, and found again', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  t.is(loadDeviceKey(dataDir, roof), undefined)
  const made = ensureDeviceKey(dataDir, roof)
  t.is(modeOf(join(dataDir, 'keys')), 0o700)
  t.is(modeOf(join(dataDir, 'keys', 'roof.key')), 0o600)
  const again = ensureDeviceKey(dataDir, roof)
  t.is(formatPublicKey(again.publicKey), formatPublicKey(made.publicKey))
  const payload = new Uint8Array([1, 2, 3])
  t.true(nobleVerifier.verify(payload, again.sign(payload), made.publicKey))
  t.deepEqual(readdirSync(join(dataDir, 'keys')), ['roof.key'], 'nothing is left of the making')
})

test('each metering point has a key of its own', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const [a, b] = ['a', 'b'].map((id) => ensureDeviceKey(dataDir, makeMeterId(id)))
  t.notDeepEqual(a?.publicKey, b?.publicKey)
})

test('a key that others may read is refused, with what to do', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  ensureDeviceKey(dataDir, roof)
  chmodSync(join(dataDir, 'keys', 'roof.key'), 0o640)
  const error = t.throws(() => ensureDeviceKey(dataDir, roof))
  t.like(error, { code: 'key/unreadable' })
  t.regex(error?.message ?? '', /roof\.key has mode 0640.*chmod 0600/)
})

test('a key folder that others may enter, as after a careless restore, is closed to them again', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const made = ensureDeviceKey(dataDir, roof)
  chmodSync(join(dataDir, 'keys'), 0o755)
  t.deepEqual(ensureDeviceKey(dataDir, roof).publicKey, made.publicKey)
  t.is(modeOf(join(dataDir, 'keys')), 0o700)
})

for (const [what, content] of Object.entries({
  empty: '',
  short: 'AB'.repeat(31),
  text: 'z'.repeat(64),
  zero: '00'.repeat(32),
})) {
  test(`a damaged key is refused and left as it is: ${what}`, (t) => {
    const dataDir = makeTempFolder(t.teardown)
    ensureDeviceKey(dataDir, roof)
    const path = join(dataDir, 'keys', 'roof.key')
    writeFileSync(path, content)
    t.like(
      t.throws(() => ensureDeviceKey(dataDir, roof)),
      { code: 'key/unreadable' },
    )
    t.is(readFileSync(path, 'utf8'), content)
  })
}

test('SPEC-51: a certificate is made once with the key, and kept', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const signer = ensureDeviceKey(dataDir, roof)
  const make = (issuedAt: number) => () =>
    makeCertificate(
      {
        point: makePointId(rigGatewayId, roof),
        role: 'producer',
        meter: { vendor: 'v', model: 'm', serial: '' },
        maxPowerW: 1000,
        issuedAt,
      },
      signer,
    ).text
  const first = ensureCertificate(dataDir, roof, signer, make(1))
  t.is(ensureCertificate(dataDir, roof, signer, make(2)).hash, first.hash)
  t.is(loadCertificate(dataDir, roof)?.issuedAt, 1)
  rmSync(join(dataDir, 'keys', 'roof.key'))
  const other = ensureDeviceKey(dataDir, roof)
  t.like(
    t.throws(() => ensureCertificate(dataDir, roof, other, make(3))),
    { code: 'key/mismatch' },
  )
})
