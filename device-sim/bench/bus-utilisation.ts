// How much of a serial line's time is used: the time that a read takes at least (request, t3.5, answer, t3.5), over the
// time that it took. The clients take turns on the same line. modbus-serial and jsmodbus leave no silence behind an
// answer, which the standard asks for and some meters need: that is how they get beyond 1.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { toLineTiming } from '../src/line-timing.ts'
import { loadProfile } from '../src/profiles.ts'
import { type ClientName, startLines, timeReads } from './serial-lines.ts'

const baudRates = [9600, 19_200, 38_400, 115_200]
const counts = [2, 30, 80, 125]
const clients: readonly ClientName[] = ['bus', 'modbus-serial', 'jsmodbus']
// So many seconds of reading for each figure.
const secondsEach = 1.5
const turns = 2
// A SunSpec map is long enough for the longest read.
const [unitId, base] = [1, 40_000]

const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
const pathOf = (baudRate: number) => join(folder, `tty${baudRate}`)

function idealMs(baudRate: number, count: number): number {
  const { characterMs, silenceMs } = toLineTiming({ baudRate, parity: 'none', stopBits: 1 })
  return (8 + 5 + 2 * count) * characterMs + 2 * silenceMs
}

async function measure(baudRate: number, count: number): Promise<void> {
  const ideal = idealMs(baudRate, count)
  const rounds = Math.max(10, Math.round((1000 * secondsEach) / turns / ideal))
  const times = new Map<ClientName, number[]>(clients.map((client) => [client, []]))
  for (let turn = 0; turn < turns; turn++) {
    for (const client of clients) {
      const blocks = [[base, count]] as const
      const orders = { client, path: pathOf(baudRate), baudRate, unitId, functionCode: 3, blocks, rounds } as const
      times.get(client)?.push(...(await timeReads(orders)).roundMs)
    }
  }
  for (const [client, ms] of times) {
    printFigure({
      name: `bus-utilisation-${baudRate}-baud-${count}-registers-${client}`,
      value: ideal / percentile(ms, 0.5),
      unit: 'of the line',
      comparedWith: 'the least that the line allows, over the median read',
      reference: 1,
      ...(client === 'bus' && count > 2 ? { promise: 'at least 0.95' } : {}),
    })
  }
}

const even = (from: number, to: number) => Array.from({ length: (to - from) / 2 + 1 }, (_, i) => from + 2 * i)
/** Where an SDM630 keeps 48 values: per phase, over all phases, its counters, and its counters per phase. */
const sdm630Addresses = [
  ...even(0x00, 0x2a),
  ...[0x2e, 0x30, 0x34, 0x38, 0x3c, 0x3e, 0x42],
  ...even(0x46, 0x56),
  ...even(0x156, 0x168),
]

/** All that an SDM630 tells, in as few reads as it allows, against one read for each value. */
async function measureWholeMeter(): Promise<void> {
  const { maxRegisters } = loadProfile('eastron-sdm630')
  const addresses = sdm630Addresses
  const single = addresses.map((address) => [address, 2] as const)
  const blocks: [number, number][] = []
  for (const address of addresses) {
    const last = blocks.at(-1)
    if (last !== undefined && address + 2 - last[0] <= maxRegisters) last[1] = address + 2 - last[0]
    else blocks.push([address, 2])
  }
  const common = { client: 'bus', path: pathOf(9600), baudRate: 9600, unitId: 2, functionCode: 4, rounds: 4 } as const
  const inBlocks = percentile((await timeReads({ ...common, blocks })).roundMs, 0.5)
  printFigure({
    name: `whole-sdm630-${single.length}-values-in-${blocks.length}-reads`,
    value: inBlocks,
    unit: 'ms',
    comparedWith: 'one read for each value',
    reference: percentile((await timeReads({ ...common, blocks: single })).roundMs, 0.5),
  })
}

const sim = await startLines(folder, {
  lines: baudRates.map((baudRate) => ({ id: `l${baudRate}`, path: pathOf(baudRate), baudRate, turnaroundMs: 0 })),
  meters: [
    ...baudRates.map((baudRate) => ({
      id: `m${baudRate}`,
      line: `l${baudRate}`,
      profile: 'sunspec-meter-203',
      unitId,
      curve: 'grid',
    })),
    { id: 'whole', line: 'l9600', profile: 'eastron-sdm630', unitId: 2, curve: 'grid' },
  ],
})
try {
  for (const baudRate of baudRates) for (const count of counts) await measure(baudRate, count)
  await measureWholeMeter()
} finally {
  await sim.stop()
  rmSync(folder, { recursive: true })
}
