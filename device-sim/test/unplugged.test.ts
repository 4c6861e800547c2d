import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseOcmfText } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { stringify } from 'yaml'
import { decodeSimConfig } from '../src/decode-config.ts'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'
import { Ports } from '../src/ports.ts'
import { loadProfile } from '../src/profiles.ts'
import { Simulation } from '../src/simulation.ts'
import { realTimers } from '../src/timers.ts'
import { makeTestFolder } from './line.ts'
import { readCpuMs } from './process-cpu.ts'

const baudRate = 19_200
// Long enough that a port which nobody writes to stands hung up for a while.
const intervalSeconds = 3
const units = { roof: 1, barn: 2 }
const ids = Object.keys(units)

/** Two meters on one line, through which energy flows whether anybody reads them or not. */
async function startLine(t: ExecutionContext, path: string) {
  const meters = Object.entries(units).map(([id, unitId]) => ({
    ...{ id, unitId, line: 'l', profile: 'eastron-sdm630', startWh: 1000 },
    curve: { constant: { powerW: -20_000 } },
  }))
  const config = { version: 1, lines: [{ id: 'l', path, baudRate }], meters, time: { speedUp: 60 } }
  const checked = decodeSimConfig(config, 'test', loadProfile)
  const simulation = new Simulation(checked, realTimers)
  const ports = new Ports({
    config: checked.config,
    simulation,
    timers: realTimers,
    onLost: (error) => t.fail(error.message),
  })
  await ports.open()
  t.teardown(() => ports.close())
  simulation.start()
  return {
    simulation,
    plug: () => ports.setPlugged({ line: 'l' }, true),
    unplug: () => ports.setPlugged({ line: 'l' }, false),
  }
}

async function startGateway(t: ExecutionContext, folder: string, path: string) {
  const [mqtt] = await freePorts(1)
  const config = join(folder, 'gateway.yaml')
  const content = {
    version: 1,
    gateway: { id: 'gw-1', dataDir: './gateway', logLevel: 'debug' },
    buses: [{ id: 'l', serial: { path, baudRate, parity: 'none', stopBits: 1 } }],
    meters: Object.entries(units).map(([id, unitId]) => ({
      ...{ id, unitId, bus: 'l', profile: 'eastron-sdm630', role: 'producer', intervalSeconds },
      maxPowerW: 10_000_000,
    })),
    mqtt: { url: `mqtt://127.0.0.1:${mqtt}` },
  }
  writeFileSync(config, stringify(content))
  const gateway = new Program('gateway', ['--config', config])
  t.teardown(() => gateway.stop())
  /** Waits until each meter has a new record in that state. */
  const signed = async (state: string) => {
    const after = gateway.log.length
    for (const id of ids) {
      await gateway.event(
        (line) => line.event === 'record.signed' && line['point'] === `gw-1/${id}` && line['state'] === state,
        after,
      )
    }
  }
  const exported = async (meter: string) =>
    (await runCommand('gateway', ['export', '--config', config, '--meter', meter])).stdout.trim().split('\n')
  return { gateway, signed, exported }
}

test('promise 3: an adapter is pulled out and plugged in again: the gap is told, nothing is invented, reading goes on', async (t) => {
  const folder = makeTestFolder(t)
  const path = join(folder, 'tty')
  const { simulation, plug, unplug } = await startLine(t, path)
  const { gateway, signed, exported } = await startGateway(t, folder, path)
  await signed('ok')

  const [cpuMs, wallMs] = [readCpuMs(gateway.pid), performance.now()]
  await unplug()
  await signed('disconnected')
  const share = (readCpuMs(gateway.pid) - cpuMs) / (performance.now() - wallMs)
  t.log(`${share.toFixed(3)} of a core while unplugged`)
  t.true(share < 0.3, `the gateway took ${share} of a core while its adapter was out`)
  t.true(gateway.log.some(({ event, bus }) => event === 'bus.down' && bus === 'l'))
  t.true(gateway.log.some(({ event, to }) => event === 'point.state.changed' && to === 'disconnected'))

  await plug()
  await signed('ok')
  t.true(gateway.running)
  await gateway.stop()
  const trueWh = new Map(simulation.report().map(({ meter, exportWh }) => [meter, Math.floor(Number(exportWh))]))
  for (const id of ids) {
    const records = (await exported(id)).map((text) => parseOcmfText(text).record)
    t.deepEqual(
      records.map(({ sequence }) => sequence),
      records.map((_, i) => i + 1),
    )
    const gapAt = records.findIndex(({ state }) => state === 'disconnected')
    const backAt = records.findLastIndex(({ state }) => state === 'disconnected') + 1
    t.true(gapAt > 0 && backAt < records.length)
    for (const { state, registers } of records.slice(gapAt, backAt))
      t.deepEqual({ state, registers }, { state: 'disconnected', registers: {} })
    // The first value after the gap holds what flowed meanwhile: it was read then, not repeated.
    const [before, after] = [records[gapAt - 1], records[backAt]].map((record) => Number(record?.registers.export))
    t.true(after! > before! && after! <= trueWh.get(id)!)
    t.true(records.every(({ takenAt }, i) => i === 0 || takenAt > (records[i - 1]?.takenAt ?? 0)))
  }
})
