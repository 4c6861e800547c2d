// What dead meters cost the others on one line of 9600 baud: ten meters, of which none, one or two are dead, against the
// living ones alone. All are read as often as the bus serves them. The lines run side by side; each has its own bus.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { printFigure } from '../../protocol/bench/figure.ts'
import { startLines } from './serial-lines.ts'

// A dead meter is asked ever more rarely: in a short while its first probes would weigh too much or not at all.
const seconds = 100
const baudRate = 9600
const meters = 10
const cases = [1, 2].flatMap((dead) => [
  { dead, asked: meters },
  { dead, asked: meters - dead },
])

const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
const lines = cases.map((line, at) => ({ ...line, id: `line-${at}`, path: join(folder, `tty${at}`) }))
const unitsUpTo = (last: number) => Array.from({ length: last }, (_, at) => at + 1)

/** Reads a second of the living meters. */
async function measureRate({ path, dead, asked }: (typeof lines)[number]): Promise<number> {
  const script = fileURLToPath(new URL('../../gateway/bench/line-share.ts', import.meta.url))
  const orders = { path, baudRate, unitIds: unitsUpTo(asked), seconds }
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(orders)])
  const answered = v.parse(v.record(v.string(), v.number()), JSON.parse(stdout))
  return unitsUpTo(meters - dead).reduce((sum, unitId) => sum + (answered[unitId] ?? 0), 0) / seconds
}

const sim = await startLines(folder, {
  lines: lines.map(({ id, path }) => ({ id, path, baudRate })),
  meters: lines.flatMap(({ id, dead }) =>
    unitsUpTo(meters - dead).map((unitId) => ({
      ...{ id: `${id}-${unitId}`, line: id, unitId },
      ...{ profile: 'eastron-sdm630', curve: 'solar' },
    })),
  ),
})
try {
  const [one = 0, nine = 0, two = 0, eight = 0] = await Promise.all(lines.map(measureRate))
  for (const { name, rate, alone, limit } of [
    { name: 'one-dead-meter-of-ten', rate: one, alone: nine, limit: 5 },
    { name: 'two-dead-meters-of-ten', rate: two, alone: eight, limit: 8 },
  ]) {
    printFigure({
      name: `loss-by-${name}`,
      value: 100 * (1 - rate / alone),
      unit: '% of the reads of the others',
      comparedWith: `the limit; alone they are read ${alone.toFixed(1)} times a second`,
      reference: limit,
      promise: `under ${limit} %`,
    })
  }
} finally {
  await sim.stop()
  rmSync(folder, { recursive: true })
}
