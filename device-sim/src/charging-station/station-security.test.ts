import { execFileSync } from 'node:child_process'
import test from 'ava'
import { dig, Rig, type RigOptions } from './station-rig.ts'

async function started(options: RigOptions = {}): Promise<Rig> {
  const rig = new Rig(options)
  rig.station.powerOn()
  await rig.run(2)
  return rig
}

/** A root certificate as others make it. */
function makeRoot(name: string): string {
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '/dev/null']
  return execFileSync('openssl', ['req', '-x509', ...ec, '-days', '30', '-subj', `/CN=${name}`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString()
}

const change = (rig: Rig, key: string, value: string) => rig.ask('ChangeConfiguration', { key, value })
const lastSocket = (rig: Rig) => rig.csms.sockets.at(-1)?.request

test('1.6: a higher security profile is taken where everything for it is there, and used at once; a lower one never', async (t) => {
  const rig = await started()
  t.like(await change(rig, 'SecurityProfile', '1'), { status: 'Rejected' })
  const key = '000102030405060708090a0b0c0d0e0f10111213'
  t.like(await change(rig, 'AuthorizationKey', key), { status: 'Accepted' })
  const sockets = rig.csms.sockets.length
  t.like(await change(rig, 'SecurityProfile', '1'), { status: 'Accepted' })
  await rig.run(2)
  t.is(rig.csms.sockets.length, sockets + 1)
  t.is(lastSocket(rig)?.password, Buffer.from(key, 'hex').toString('latin1'), 'hex over OCPP, bytes at the login')
  for (const refused of ['0', '2', '3', '4']) {
    t.like(await change(rig, 'SecurityProfile', refused), { status: 'Rejected' }, refused)
  }
})

test('2.0.1: a network profile is used after a restart, and left again where nobody is there', async (t) => {
  const rig = await started({ version: '2.0.1' })
  const connectionData = {
    ocppVersion: 'OCPP20',
    ocppTransport: 'JSON',
    ocppCsmsUrl: 'ws://elsewhere/',
    messageTimeout: 30,
    securityProfile: 1,
    ocppInterface: 'Wired0',
  }
  t.like(await rig.ask('SetNetworkProfile', { configurationSlot: 1, connectionData }), { status: 'Accepted' })
  const without = { ...connectionData, securityProfile: 3, ocppCsmsUrl: 'wss://elsewhere' }
  t.like(await rig.ask('SetNetworkProfile', { configurationSlot: 2, connectionData: without }), { status: 'Rejected' })
  const named = (component: string, variable: string) => ({
    component: { name: component },
    variable: { name: variable },
  })
  const priority = { ...named('OCPPCommCtrlr', 'NetworkConfigurationPriority'), attributeValue: '1,0' }
  await rig.ask('SetVariables', { setVariableData: [priority] })
  t.is(lastSocket(rig)?.url, 'ws://csms/CP1')
  await rig.ask('Reset', { type: 'Immediate' })
  await rig.run(5)
  t.is(lastSocket(rig)?.url, 'ws://elsewhere/CP1')
  const profile = await rig.ask('GetVariables', { getVariableData: [named('SecurityCtrlr', 'SecurityProfile')] })
  t.is(dig(profile, 'getVariableResult', 0, 'attributeValue'), '1')
  rig.csms.isReachable = false
  rig.csms.cut()
  await rig.run(30)
  t.is(lastSocket(rig)?.url, 'ws://csms/CP1')
})

test('roots are installed, told by their hashes as openssl tells them, used, deleted, and survive a power cut', async (t) => {
  const rig = await started({ version: '2.0.1' })
  const root = makeRoot('ours')
  const certificateType = 'CSMSRootCertificate'
  t.like(await rig.ask('InstallCertificate', { certificateType, certificate: 'nonsense' }), { status: 'Rejected' })
  t.like(await rig.ask('InstallCertificate', { certificateType, certificate: root }), { status: 'Accepted' })
  rig.kill()
  rig.station.powerOn()
  await rig.run(2)
  t.deepEqual(lastSocket(rig)?.identity.roots, [root])
  const ids = await rig.ask('GetInstalledCertificateIds', {})
  const hash = dig(ids, 'certificateHashDataChain', 0, 'certificateHashData')
  const serial = execFileSync('openssl', ['x509', '-noout', '-serial'], { input: root }).toString()
  t.is(dig(hash, 'serialNumber'), serial.trim().replace('serial=', '').toLowerCase())
  const other = await rig.ask('GetInstalledCertificateIds', { certificateType: ['V2GRootCertificate'] })
  t.like(other, { status: 'NotFound' })
  t.like(await rig.ask('DeleteCertificate', { certificateHashData: hash }), { status: 'Accepted' })
  t.like(await rig.ask('DeleteCertificate', { certificateHashData: hash }), { status: 'NotFound' })
  t.deepEqual(rig.csms.unsoundAnswers, [])
})

for (const version of ['1.6', '2.0.1', '2.1'] as const) {
  test(`${version}: a request for a certificate names the station, and only the certificate for its key is taken`, async (t) => {
    const rig = await started({ version })
    const [action, requestedMessage] =
      version === '1.6'
        ? ['ExtendedTriggerMessage', 'SignChargePointCertificate']
        : ['TriggerMessage', 'SignChargingStationCertificate']
    rig.csms.override = (asked) => (asked === 'SignCertificate' ? { result: { status: 'Accepted' } } : undefined)
    t.like(await rig.ask(action, { requestedMessage }), { status: 'Accepted' })
    await rig.run(1)
    const [asked] = rig.csms.heardOf('SignCertificate')
    t.is(asked?.problem, undefined)
    const csr = String(asked?.payload['csr'])
    t.regex(
      execFileSync('openssl', ['req', '-verify', '-noout', '-subject'], {
        input: csr,
        stdio: ['pipe', 'pipe', 'ignore'],
      }).toString(),
      /CN = CP1/,
    )
    const type = version === '1.6' ? {} : { certificateType: 'ChargingStationCertificate' }
    t.like(await rig.ask('CertificateSigned', { certificateChain: makeRoot('other'), ...type }), { status: 'Rejected' })
    t.is(lastSocket(rig)?.identity.cert, undefined)
    t.false(JSON.stringify(rig.events).includes('PRIVATE KEY'))
  })
}
