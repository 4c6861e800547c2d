import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { formatPublicKey } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { connectStation } from '../../../test/csms-rig.ts'
import { driverFile, listSigner } from '../../../test/drivers-rig.ts'
import { RpcUpstream } from '../../../test/rpc-upstream.ts'
import { makeTempFolder } from '../../../test/signing-rig.ts'
import { signList } from '../../drivers/list-maker.ts'

const launcher = fileURLToPath(new URL('../../../bin/wattline-gateway', import.meta.url))

/** A gateway as a process of its own; resolves once stations are served. */
async function startGateway(t: ExecutionContext, config: string) {
  const child = spawn(launcher, ['--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, url } = JSON.parse(line) as { event: string; url?: string }
    if (event !== 'ocpp.started' || url === undefined) continue
    child.stdout.resume()
    const end = async (signal: NodeJS.Signals) => {
      child.kill(signal)
      await exited
      return child.exitCode
    }
    return { url, end }
  }
  throw new Error('ended before it served stations')
}

async function until(isDone: () => boolean): Promise<void> {
  while (!isDone()) await nextTurn()
}

test('a whole gateway between a station and upstream: killed with a session under way, it goes on where it was', async (t) => {
  const csms = await RpcUpstream.start(t.teardown)
  const folder = makeTempFolder(t.teardown)
  const config = join(folder, 'gateway.yaml')
  signList(driverFile, listSigner, { path: join(folder, 'drivers.list'), nowMs: 1, cost: 10 })
  writeFileSync(
    config,
    `version: 1
gateway: { id: gw-1, dataDir: ./data }
buses: [{ id: lan, tcp: { host: 127.0.0.1, port: 9 } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }]
ocpp: { host: 127.0.0.1, port: 0, upstream: { url: "${csms.url}", identityPrefix: DE* } }
drivers: { listFile: ./drivers.list, listKey: ${formatPublicKey(listSigner.publicKey)} }
`,
  )
  const time = '2027-01-15T08:00:00Z'
  const gateway = await startGateway(t, config)
  const station = await connectStation(`${gateway.url}/CP1`)
  await station.call('BootNotification', { chargePointVendor: 'Acme', chargePointModel: 'Wall' })
  const [, , started] = await station.call('StartTransaction', {
    connectorId: 1,
    idTag: 'CARD',
    meterStart: 100,
    timestamp: time,
  })
  await until(() => csms.of('StartTransaction', 'DE*CP1').length === 1)

  station.socket.on('message', (data: Buffer) => {
    const [type, id, action] = JSON.parse(data.toString())
    const accepts = action === 'Reset' || action === 'ReserveNow'
    if (type === 2) station.socket.send(JSON.stringify([3, id, accepts ? { status: 'Accepted' } : {}]))
  })
  const client = csms.clients.get('DE*CP1')
  t.deepEqual(await client?.call('Reset', { type: 'Soft' }), { status: 'Accepted' })
  t.deepEqual(await client?.call('ChangeConfiguration', { key: 'AuthorizationKey', value: '0123456789abcdef' }), {
    status: 'Rejected',
  })
  t.deepEqual(await client?.call('RemoteStartTransaction', { idTag: 'STRANGER' }), { status: 'Rejected' })
  const expiryDate = new Date(Date.now() + 3_600_000).toISOString()
  const reserve = (idTag: string) => ({ connectorId: 2, expiryDate, idTag, reservationId: 5 })
  t.deepEqual(await client?.call('ReserveNow', reserve('STRANGER')), { status: 'Rejected' })
  t.deepEqual(await client?.call('ReserveNow', reserve('BOB12345')), { status: 'Accepted' })

  const list = spawn(launcher, ['ocpp', 'stations', '--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  list.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await once(list, 'close')
  t.regex(text, /^CP1: connected .*; upstream as DE\*CP1: connected\n$/)

  const { transactionId } = started as { transactionId: number }
  const stop = { transactionId, meterStop: 900, timestamp: time }
  // Stored and answered; whether it went up before the end is a matter of luck.
  await station.call('StopTransaction', stop)
  await gateway.end('SIGKILL')
  const again = await startGateway(t, config)
  await until(() => csms.of('StopTransaction').length >= 1)
  t.is(new Set(csms.of('StopTransaction').map((one) => JSON.stringify(one))).size, 1)
  t.deepEqual(csms.of('StopTransaction')[0]?.payload, { ...stop, transactionId: 9_000_000 })
  t.is(csms.of('StartTransaction').length, 1)
  const back = await connectStation(`${again.url}/CP1`)
  const begin = { connectorId: 2, idTag: '04AA11BB', meterStart: 0, timestamp: time }
  const [, , refused] = await back.call('StartTransaction', begin)
  t.like(refused, { idTagInfo: { status: 'Blocked' } }, 'SPEC-143: what upstream has reserved is kept over kill -9')
  t.deepEqual(csms.faults, [])
  t.is(await again.end('SIGTERM'), 0)
})
