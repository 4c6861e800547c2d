import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { makeTimestamp } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import type { ClientOptions } from 'ws'
import { type CsmsRig, connectStation, type RawStation, startCsms } from '../../../test/csms-rig.ts'
import { makeTempFolder } from '../../../test/signing-rig.ts'
import { Authority, authorityPaths, createAuthority } from './authority-files.ts'
import { StationCertificates } from './station-certificates.ts'
import { readCertificateRequest } from './x509.ts'

const dayMs = 86_400_000
const password = 'a password that nobody guesses'
const basic = { headers: { authorization: `Basic ${Buffer.from(`CP1:${password}`).toString('base64')}` } }

interface CertifyingRig extends CsmsRig {
  connect(options: ClientOptions, version?: string): Promise<RawStation>
}

async function startRig(
  t: ExecutionContext,
  config: object,
  dataDir = makeTempFolder(t.teardown),
): Promise<CertifyingRig> {
  createAuthority(dataDir, 'gw-1', makeTimestamp(Date.now()))
  const authority = new Authority(dataDir)
  authority.issueForServer(['127.0.0.1'], makeTimestamp(Date.now()))
  const { server, authority: own } = authorityPaths(dataDir)
  const tls = { port: 0, certFile: server.cert, keyFile: server.key, clientCaFile: own.cert }
  const rig = await startCsms(
    t.teardown,
    { tls, authority: {}, ...config },
    {
      dataDir,
      parts: ({ clock, log }) => ({
        certificates: (stations) =>
          new StationCertificates({ ...stations, authority, clock, log, stationDays: 90, renewBeforeDays: 30 }),
      }),
    },
  )
  // TLS looks at the real clock.
  rig.clock.nowMs = Date.now()
  return {
    ...rig,
    connect: (options, version = 'ocpp1.6') =>
      connectStation(`wss://127.0.0.1:${rig.tlsPort}/CP1`, [version], { ca: authority.certificate, ...options }),
  }
}

/** A certificate of this gateway's authority. */
function certify({ dataDir, clock }: CertifyingRig, csr: string, days: number): string {
  const read = readCertificateRequest(csr)
  if (!read.ok) throw new Error(read.reason)
  return new Authority(dataDir).issueForStation(read, clock.now(), days)
}

function makeRequest(t: ExecutionContext, name: string) {
  const key = join(makeTempFolder(t.teardown), 'key')
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const csr = execFileSync('openssl', ['req', '-new', ...ec, '-subj', `/O=x/CN=${name}`, '-keyout', key], {
    stdio: ['ignore', 'pipe', 'ignore'],
  }).toString()
  return { csr, key: readFileSync(key) }
}

/** Answers the next request of the CSMS, and gives it. */
async function answerNext(station: RawStation, payload: object) {
  const [, id, action, request] = await station.message(station.received.length + 1)
  station.socket.send(JSON.stringify([3, id, payload]))
  return { action: String(action), request: request as Record<string, unknown> }
}

const withPassword = (t: ExecutionContext) => {
  const file = join(makeTempFolder(t.teardown), 'password')
  execFileSync('sh', ['-c', `printf '%s' "$1" > "$0"`, file, password])
  return [{ id: 'CP1', securityProfile: 2, passwordFile: file }]
}

for (const version of ['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1'] as const) {
  test(`${version}: a station with a password gets a certificate for its own key, and is let in with it`, async (t) => {
    const rig = await startRig(t, { stations: withPassword(t) })
    const { csr, key } = makeRequest(t, 'CP1')
    const station = await rig.connect(basic, version)
    const type = version === 'ocpp1.6' ? {} : { certificateType: 'ChargingStationCertificate' }
    const number = version === 'ocpp2.1' ? { requestId: 7 } : {}
    t.deepEqual((await station.call('SignCertificate', { csr, ...type, ...number }))[2], { status: 'Accepted' })
    const { action, request } = await answerNext(station, { status: 'Accepted' })
    t.is(action, 'CertificateSigned')
    const { certificateChain, ...rest } = request
    t.deepEqual(rest, { ...type, ...number })
    t.like(await rig.log.line('ocpp.certificate.delivered'), { station: 'CP1', status: 'Accepted' })

    const demanding = { stations: [{ id: 'CP1', securityProfile: 3 }] }
    const same = await startRig(t, demanding, rig.dataDir)
    const letIn = await same.connect({ cert: String(certificateChain), key }, version)
    t.is((await letIn.call('Heartbeat', {}))[0], 3)
    const other = await startRig(t, demanding)
    await t.throwsAsync(other.connect({ cert: String(certificateChain), key, rejectUnauthorized: false }), {
      message: /^401: no client cert/,
    })
    t.is(other.csms.stations()[0]?.refused?.code, 'certificate-foreign')
  })
}

test('security profile 3: let in with the certificate, which is renewed before it ends', async (t) => {
  const rig = await startRig(t, { securityProfile: 3, stations: [{ id: 'CP1' }] })
  const { csr, key } = makeRequest(t, 'CP1')
  const { csms, clock, log } = rig
  await t.throwsAsync(rig.connect({}), { message: /^401: no client certificate/ })
  t.is(csms.stations()[0]?.refused?.code, 'certificate-missing')
  const station = await rig.connect({ cert: certify(rig, csr, 90), key })
  await station.call('Heartbeat', {})
  await csms.certificates?.renewDue()
  t.is(station.received.length, 1, 'it is good for long')

  clock.nowMs += 61 * dayMs
  const renewing = csms.certificates?.renewDue()
  const trigger = await answerNext(station, { status: 'Accepted' })
  t.deepEqual(trigger, {
    action: 'ExtendedTriggerMessage',
    request: { requestedMessage: 'SignChargePointCertificate' },
  })
  const next = makeRequest(t, 'CP1')
  t.deepEqual((await station.call('SignCertificate', { csr: next.csr }))[2], { status: 'Accepted' })
  await answerNext(station, { status: 'Accepted' })
  await renewing
  t.like(await log.line('ocpp.certificate.delivered'), { station: 'CP1' })
  const count = station.received.length
  await csms.certificates?.renewDue()
  await station.call('Heartbeat', {})
  t.is(station.received.length, count + 1, 'it is not asked again')
})

test('a station that cannot renew is asked once a day, and the log says why it did not', async (t) => {
  const rig = await startRig(t, { securityProfile: 3, stations: [{ id: 'CP1' }] })
  const { csr, key } = makeRequest(t, 'CP1')
  const station = await rig.connect({ cert: certify(rig, csr, 10), key }, 'ocpp2.0.1')
  const ask = async () => {
    const renewing = rig.csms.certificates?.renewDue()
    const asked = await answerNext(station, { status: 'NotImplemented' })
    await renewing
    return asked
  }
  t.deepEqual(await ask(), {
    action: 'TriggerMessage',
    request: { requestedMessage: 'SignChargingStationCertificate' },
  })
  t.like(await rig.log.line('ocpp.certificate.unrenewed'), { station: 'CP1', reason: 'it answered NotImplemented' })
  await rig.csms.certificates?.renewDue()
  t.is(station.received.length, 1)
  rig.clock.nowMs += dayMs
  await ask()
})

test('a certificate is made for the right station only, by who has shown who it is, and for nothing else', async (t) => {
  const rig = await startRig(t, { unknownStations: 'accept', stations: withPassword(t) })
  const station = await rig.connect(basic, 'ocpp2.0.1')
  const ask = async (payload: object, from = station) => (await from.call('SignCertificate', payload))[2]
  const refusedWith = (reason: RegExp, answer: unknown) => {
    t.like(answer, { status: 'Rejected', statusInfo: { reasonCode: 'InvalidCSR' } })
    t.regex(JSON.stringify(answer), reason)
  }
  refusedWith(/for 'CP2', and this station is 'CP1'; .* certificateName/, await ask({ csr: makeRequest(t, 'CP2').csr }))
  refusedWith(/cannot be read/, await ask({ csr: 'nonsense' }))
  const v2g = { csr: makeRequest(t, 'CP1').csr, certificateType: 'V2GCertificate' }
  refusedWith(/V2GCertificate are not made here/, await ask(v2g))
  // Anybody in the network may say that it is CP2.
  const stranger = await connectStation(`ws://127.0.0.1:${rig.port}/CP2`, ['ocpp2.0.1'])
  refusedWith(/may be anybody: adopt it first/, await ask({ csr: makeRequest(t, 'CP2').csr }, stranger))
  t.is(rig.log.lines.filter(({ event }) => event === 'ocpp.certificate.refused').length, 4)
  t.false(rig.log.lines.some(({ event }) => event === 'ocpp.certificate.delivered'))
})

test('a renewed certificate of the TLS port is shown from the next connection on, and nobody is cut off', async (t) => {
  const rig = await startRig(t, { unknownStations: 'accept' })
  const before = await connectStation(`ws://127.0.0.1:${rig.port}/CP0`)
  const shown = async () => {
    const station = await rig.connect({})
    const socket: unknown = Reflect.get(station.socket, '_socket')
    return socket instanceof TLSSocket ? socket.getPeerCertificate().serialNumber : 'no TLS'
  }
  const first = await shown()
  t.is(await shown(), first)
  new Authority(rig.dataDir).issueForServer(['127.0.0.1'], rig.clock.now())
  rig.csms.renewTls()
  t.not(await shown(), first)
  t.is((await before.call('Heartbeat', {}))[0], 3)
})

test('a gateway without authority promises no certificate', async (t) => {
  const { port } = await startCsms(t.teardown)
  const station = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  t.deepEqual((await station.call('SignCertificate', { csr: makeRequest(t, 'CP1').csr }))[2], { status: 'Rejected' })
})
