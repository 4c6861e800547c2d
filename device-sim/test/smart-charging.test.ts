import { writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { freePorts, Program } from '../src/demo/programs.ts'
import { writeDriverList } from './driver-list.ts'
import { makeTestFolder } from './line.ts'

/** A way from a port to another that can be laid late, and cut. */
async function startWire(t: ExecutionContext, { from, to }: { from: number; to: number }) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const other = connect(to, '127.0.0.1')
    for (const one of [socket, other]) {
      sockets.add(one)
      one
        .on('error', () => {})
        .on('close', () => {
          socket.destroy()
          other.destroy()
        })
    }
    socket.pipe(other)
    other.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(from, '127.0.0.1', resolve))
  const cut = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(cut)
  return { cut }
}

function startSim(t: ExecutionContext, folder: string, { meter, ocpp }: { meter: number; ocpp: number }) {
  const path = join(folder, 'sim.yaml')
  const content = {
    version: 1,
    meters: [
      {
        ...{ id: 'house', profile: 'eastron-sdm630', unitId: 1, curve: 'grid', sees: ['CP1', 'CP2'] },
        tcp: { host: '127.0.0.1', port: meter },
      },
    ],
    stations: (['1.6', '2.0.1'] as const).map((version, at) => ({
      ...{ id: `CP${at + 1}`, ocpp: version, url: `ws://127.0.0.1:${ocpp}` },
      // It has begun without asking anybody, and goes on whatever it is told: what counts here is how much it takes.
      settings:
        version === '1.6'
          ? { AllowOfflineTxForUnknownId: 'true', MeterValueSampleInterval: '2' }
          : { 'AuthCtrlr.OfflineTxForUnknownIdEnabled': 'true', 'SampledDataCtrlr.TxUpdatedInterval': '2' },
      quirks: ['session-after-refusal'],
      steps: [
        { at: 0.1, do: 'plug-in', vehicle: { maxCurrentA: 16 } },
        { at: 0.2, do: 'present-card', idToken: 'CARD' },
      ],
    })),
  }
  writeFileSync(path, stringify(content))
  const sim = new Program('sim', ['--config', path])
  t.teardown(() => sim.stop())
  return sim
}

function startGateway(t: ExecutionContext, folder: string, ports: { meter: number; ocpp: number; web: number }) {
  const path = join(folder, 'gateway.yaml')
  const host = '127.0.0.1'
  const content = {
    version: 1,
    gateway: { id: 'gw-1', dataDir: './gateway', logLevel: 'debug' },
    buses: [{ id: 'lan', tcp: { host, port: ports.meter } }],
    meters: [
      {
        ...{ id: 'house', bus: 'lan', unitId: 1, profile: 'eastron-sdm630', role: 'bidirectional' },
        intervalSeconds: 1,
        valuesIntervalSeconds: 1,
      },
    ],
    ocpp: { host, port: ports.ocpp },
    drivers: writeDriverList(folder, [{ token: 'CARD', driver: 'anna' }]),
    web: { host, port: ports.web },
    site: {
      mainFuseA: 13,
      meter: 'house',
      safeCurrentA: 6,
      maxAgeSeconds: 3,
      stations: [{ id: 'CP1' }, { id: 'CP2' }],
    },
  }
  writeFileSync(path, stringify(content))
  const gateway = new Program('gateway', ['--config', path])
  t.teardown(() => gateway.stop())
  const get = async (name: string) => await (await fetch(`http://${host}:${ports.web}/${name}`)).text()
  return { gateway, get }
}

test('two cars that take 16 A each behind a fuse of 13 A are held, and a silent meter is noticed', async (t) => {
  const folder = makeTestFolder(t)
  const [meter = 0, seen = 0, ocpp = 0, called = 0, web = 0] = await freePorts(5)
  const { gateway, get } = startGateway(t, folder, { meter: seen, ocpp, web })
  await gateway.event('gateway.started')
  const wire = await startWire(t, { from: seen, to: meter })
  const sim = startSim(t, folder, { meter, ocpp: called })
  // It finds the gateway only when it charges already.
  for (const station of ['CP1', 'CP2']) {
    await sim.event((line) => line.event === 'sim.station.connection.closed' && line['station'] === station)
    await sim.event((line) => line['do'] === 'present-card' && line['station'] === station)
  }
  await startWire(t, { from: called, to: ocpp })
  const told = (charger: string, purpose: string) =>
    gateway.event(
      (line) =>
        line.event === 'site.limit.told' &&
        line['charger'] === charger &&
        line['purpose'] === purpose &&
        line['outcome'] === 'accepted',
    )
  for (const charger of ['CP1/1', 'CP2/1']) {
    t.is((await told(charger, 'default'))['limitA'], 6)
    t.like(await told(charger, 'active'), { as: 'TxProfile', kind: 'Absolute', unit: 'A' })
  }
  const currentOf = (text: string) =>
    Number(
      /wattline_meter_value\{point="gw-1\/house",measurand="Current.Import",phase="L1",tariff=""\} ([\d.]+)/.exec(
        text,
      )?.[1],
    )
  // Both go on with the least that a car takes; on the way there they may pause, and the meter tells of the time before.
  const isCharging = (text: string) =>
    ['CP1', 'CP2'].every((station) => text.includes(`charger_state{charger="${station}/1",state="charging"} 1`))
  const isHeld = (text: string) => currentOf(text) > 10 && currentOf(text) < 13 && isCharging(text)
  while (!isHeld(await get('metrics'))) await new Promise((resolve) => setTimeout(resolve, 200))
  const before = gateway.log.length
  wire.cut()
  await gateway.event('site.measurement.lost', before)
  t.regex(await get('healthz'), /site\/unmeasured/)
  t.is(await gateway.stop(), 0)
})
