import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { parse, stringify } from 'yaml'
import { writeHouse } from '../src/demo/house.ts'
import { readLedger } from '../src/demo/ledger-books.ts'
import { freePorts, Program } from '../src/demo/programs.ts'
import { makeTestFolder } from './line.ts'

/** A certificate authority with certificates for a broker and its two clients, made by openssl. */
function makeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=test-ca')
  writeFileSync(join(folder, 'san.ext'), 'subjectAltName=IP:127.0.0.1\n')
  for (const name of ['broker', 'wattline-ledger', 'gw-1', 'gw-2']) {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'san.ext']
    openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.pem`)
  }
}

/** Mosquitto that takes only certified clients; a gateway may publish under its own topics alone. */
async function startBroker(t: ExecutionContext, folder: string, port: number): Promise<void> {
  const acl = ['user wattline-ledger', 'topic readwrite wattline/#', '', 'pattern readwrite wattline/v1/%u/#', '']
  writeFileSync(join(folder, 'acl'), acl.join('\n'))
  const config = [
    `listener ${port} 127.0.0.1`,
    `cafile ${join(folder, 'ca.pem')}`,
    `certfile ${join(folder, 'broker.pem')}`,
    `keyfile ${join(folder, 'broker.key')}`,
    'require_certificate true',
    'use_identity_as_username true',
    `acl_file ${join(folder, 'acl')}`,
    'user root',
  ]
  writeFileSync(join(folder, 'mosquitto.conf'), `${config.join('\n')}\n`)
  const broker = spawn('/usr/sbin/mosquitto', ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore' })
  t.teardown(async () => {
    broker.kill('SIGKILL')
    await once(broker, 'exit')
  })
}

function tlsOf(folder: string, name: string) {
  return { caFile: join(folder, 'ca.pem'), certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) }
}

/** Gives one of a house's configs another broker. */
function setBroker(path: string, mqtt: object): void {
  writeFileSync(path, stringify({ ...parse(readFileSync(path, 'utf8')), mqtt }))
}

test('over TLS with client certificates a reading is minted; without, or as another gateway, nothing gets in', async (t) => {
  const folder = makeTestFolder(t)
  const [modbus = 0, mqtt = 0, web = 0] = await freePorts(3)
  makeCertificates(folder)
  await startBroker(t, folder, mqtt)
  const url = `mqtts://127.0.0.1:${mqtt}`
  const house = writeHouse(join(folder, 'house'), { modbus, mqtt, web }, { intervalSeconds: 0.25 })
  setBroker(house.ledgerConfig, { url, clientId: 'wattline-ledger', tls: tlsOf(folder, 'wattline-ledger') })
  const sim = new Program('sim', ['--config', house.simConfig])
  const ledger = new Program('ledger', ['--config', house.ledgerConfig])
  t.teardown(() => Promise.all([sim.stop(), ledger.stop()]))
  await ledger.event('mqtt.connected')

  const runGateway = async (tls: object | undefined, run: (gateway: Program) => Promise<void>) => {
    setBroker(house.gatewayConfig, { url, ...(tls === undefined ? {} : { tls }) })
    const gateway = new Program('gateway', ['--config', house.gatewayConfig])
    await run(gateway)
    t.is(await gateway.stop(), 0)
  }
  const noCertificate = { caFile: join(folder, 'ca.pem') }
  const unknownAuthority = { certFile: join(folder, 'gw-1.pem'), keyFile: join(folder, 'gw-1.key') }
  for (const tls of [noCertificate, unknownAuthority]) {
    await runGateway(tls, async (gateway) => {
      const { reason } = (await gateway.event('mqtt.disconnected')) as { reason?: string }
      t.truthy(reason)
    })
  }
  // Another gateway's certificate opens the connection and no topic.
  await runGateway(tlsOf(folder, 'gw-2'), async (gateway) => {
    await gateway.event('mqtt.connected')
    await sleep(1_500)
  })
  t.is((await readLedger(house.ledgerConfig)).balances.points.length, 0)

  await runGateway(tlsOf(folder, 'gw-1'), async (gateway) => {
    await gateway.event('ledger.met')
    while ((await readLedger(house.ledgerConfig)).balances.points.length < 3) await sleep(200)
  })
  const { balances, audit } = await readLedger(house.ledgerConfig)
  t.true(balances.balanced && audit.ok)
})
