import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { decodeEnergy, decodeMeterProfile, decodeQuantity, type Quantity } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { parse as parseYaml, stringify } from 'yaml'
import { freePorts, type LogLine, Program } from '../src/demo/programs.ts'
import { makeTestFolder } from './line.ts'

const run = promisify(execFile)
const unitId = 5
const path = fileURLToPath(new URL('../../hardware/meters/eastron-sdm630.yaml', import.meta.url))
const profile = decodeMeterProfile(parseYaml(readFileSync(path, 'utf8')), path)
const quantities = profile.quantities.filter((q) => q.measurand.startsWith('Energy.') || q.measurand === 'Voltage')

/** The words that Debian's mbpoll shows for a register, by name and number. */
async function poll(quantity: Quantity, where: readonly string[]): Promise<number[]> {
  const table = quantity.functionCode === 3 ? '4:hex' : '3:hex'
  const what = ['-a', `${unitId}`, '-t', table, '-0', '-r', `${quantity.address}`, '-c', '2', '-1', '-o', '10']
  const { stdout } = await run('mbpoll', [...what, ...where])
  const words = [...stdout.matchAll(/^\[(\d+)\]:\s+0x([0-9A-F]{4})$/gm)]
  return words.flatMap(([, address, word], i) =>
    Number(address) === quantity.address + i ? [Number(`0x${word}`)] : [],
  )
}

// Both registers are below 8192 kWh, where a float32 in kWh shows every Wh, and are shared by three phases.
const meter = {
  id: 'm',
  profile: profile.id,
  unitId,
  curve: 'solar',
  startWh: { import: 1_234_569, export: 7_654_320 },
}

/** Starts a simulator with one meter, lets it count for a moment, holds it, and gives what it says of its meter. */
async function startHeld(t: ExecutionContext, place: object, lines: readonly object[]): Promise<LogLine> {
  const config = join(makeTestFolder(t), 'sim.yaml')
  writeFileSync(config, stringify({ version: 1, lines, meters: [{ ...meter, ...place }], time: { speedUp: 60 } }))
  const sim = new Program('sim', ['--config', config])
  t.teardown(() => sim.stop())
  await sim.event('sim.started')
  for (let seen = 0; ; seen = sim.log.length) {
    sim.signal('SIGUSR2')
    const { exportedWh } = await sim.event('sim.meter.registers', seen)
    if (Number(exportedWh) > 1) break
  }
  sim.signal('SIGHUP')
  await sim.event('sim.held')
  const seen = sim.log.length
  sim.signal('SIGUSR2')
  return sim.event('sim.meter.registers', seen)
}

/** What a register must show: the true energy rounded to the register's step, or the true voltage as a float32. */
function compare(t: ExecutionContext, quantity: Quantity, words: readonly number[], truth: LogLine): void {
  const { measurand, phase } = quantity
  const name = `${measurand} ${phase ?? ''}`
  t.is(words.length, 2, name)
  if (measurand === 'Voltage') {
    const values = Object(truth['values']) as Record<string, number>
    t.is(decodeQuantity(words, quantity), Math.fround(Number(values[name])), name)
    return
  }
  const trueWh = Number(measurand.includes('Import') ? truth['importWh'] : truth['exportWh'])
  const kiloWattHours = Math.fround(trueWh / 1000 / (phase === undefined ? 1 : 3))
  t.is(Number(decodeEnergy(words, quantity).registerWh), Math.round(kiloWattHours * 1000), name)
}

async function compareAll(t: ExecutionContext, where: readonly string[], truth: LogLine): Promise<void> {
  t.true(quantities.length >= 11)
  for (const quantity of quantities) compare(t, quantity, await poll(quantity, where), truth)
}

test("Debian's mbpoll reads every energy and voltage of an SDM630 over TCP, exactly", async (t) => {
  const [port = 0] = await freePorts(1)
  const truth = await startHeld(t, { tcp: { host: '127.0.0.1', port } }, [])
  await compareAll(t, ['-m', 'tcp', '-p', `${port}`, '127.0.0.1'], truth)
})

for (const [baudRate, parity] of [
  [9600, 'none'],
  [19_200, 'even'],
] as const) {
  test(`Debian's mbpoll reads every energy and voltage of an SDM630 over RTU at ${baudRate} ${parity}, exactly`, async (t) => {
    const path = join(makeTestFolder(t), 'tty')
    const truth = await startHeld(t, { line: 'l' }, [{ id: 'l', path, baudRate, parity }])
    await compareAll(t, ['-m', 'rtu', '-b', `${baudRate}`, '-P', parity, path], truth)
  })
}
