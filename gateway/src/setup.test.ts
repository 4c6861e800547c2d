import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeGatewayId, WattError } from '@wattline/protocol'
import test from 'ava'
import { makeTempFolder, openRig } from '../test/signing-rig.ts'
import { decodeConfig } from './config.ts'
import { loadCertificate } from './identity/certificate-file.ts'
import { defaultProfileFolder, loadProfiles } from './modbus/profiles.ts'
import { checkProfiles, listCertificateDifferences, setUpMeters, setUpPoints } from './setup.ts'

const profiles = loadProfiles(defaultProfileFolder())

const configWith = (meter: string) =>
  decodeConfig(
    `version: 1
gateway: { id: gw-1, dataDir: data }
buses: [{ id: lan, tcp: { host: h } }]
meters: [{ id: roof, bus: lan, unitId: 1, ${meter} }]`,
    '/gateway.yaml',
  )

test('a profile that is unknown, or cannot serve the role, is told before the start', (t) => {
  t.notThrows(() => checkProfiles(configWith('profile: eastron-sdm630, role: bidirectional'), profiles, 'g.yaml'))
  const error = t.throws(() => checkProfiles(configWith('profile: nothing, role: producer'), profiles, 'g.yaml'))
  t.regex(error?.message ?? '', /^g\.yaml: meters\[0\]\.profile: no meter profile 'nothing'/)
})

test('a meter that cannot serve its role is told with the reason', (t) => {
  const refusal = (meter: string) =>
    t.throws(() => checkProfiles(configWith(meter), profiles, 'g.yaml'), { instanceOf: WattError })?.message ?? ''
  t.regex(refusal('profile: siemens-pac2200, role: consumer'), /no record can be made of it: .*written over Modbus/)
  t.regex(refusal('profile: dzg-dvh4013, role: bidirectional'), /span 258 registers, one request holds 125/)
  t.regex(refusal('profile: sunspec-inverter-103, role: consumer'), /it has no Energy.Active.Import.Register/)
  t.is(
    refusal('profile: eastron-sdm630, role: producer, sunspecInstance: 2'),
    'g.yaml: meters[0].sunspecInstance: profile eastron-sdm630 is not of SunSpec',
  )
})

test('a broken profile is told where it is needed, and only there', (t) => {
  const broken = new Map([['odd', new WattError('profile/invalid', 'odd.yaml: quantities: required')]])
  const some = Object.assign(new Map(profiles), { broken })
  t.notThrows(() => checkProfiles(configWith('profile: eastron-sdm630, role: producer'), some, 'g.yaml'))
  t.throws(() => checkProfiles(configWith('profile: odd, role: producer'), some, 'g.yaml'), {
    message: 'g.yaml: meters[0].profile: odd.yaml: quantities: required',
  })
})

for (const how of ['lost', 'changed'] as const) {
  test(`a key that is ${how} is refused, and none is made in its place`, (t) => {
    const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
    t.teardown(() => rig.close())
    rig.sign(1_000)
    const path = join(rig.dataDir, 'keys', 'roof.key')
    if (how === 'lost') rmSync(path)
    else writeFileSync(path, '22'.repeat(32))
    const meters = setUpMeters(configWith('profile: eastron-sdm630, role: producer'), profiles)
    const { store } = rig.session
    const error = t.throws(() => setUpPoints(meters, rig.dataDir, store))
    t.like(error, { code: 'key/mismatch' })
    t.regex(error?.message ?? '', /gw-1\/roof.*backup/s)
    // Also when the database is gone and only the certificate is left to tell.
    store.db.exec('DELETE FROM records; DELETE FROM points')
    t.like(
      t.throws(() => setUpPoints(meters, rig.dataDir, store)),
      { code: 'key/mismatch' },
    )
  })
}

test('SPEC-51: the certificate counts, and what the configuration says otherwise is told', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  rig.sign(1_000)
  const config = configWith('profile: eastron-sdm630, role: consumer, owner: me, maxPowerW: 5000')
  const [meter] = setUpMeters(config, profiles)
  const [setup] = setUpPoints([meter!], rig.dataDir, rig.session.store)
  t.is(setup?.role, 'producer')
  const certificate = loadCertificate(rig.dataDir, meter!.meterId)!
  t.deepEqual(
    listCertificateDifferences(meter!.config, makeGatewayId('gw-1'), certificate).map((line) => line.split(':')[0]),
    ['role', 'owner', 'maxPowerW'],
  )
})
