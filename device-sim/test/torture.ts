import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as v from 'valibot'
import { makeRandom } from '../src/random.ts'
import { type TortureDevice, TortureLine, tortureBaudRate } from './torture-line.ts'

export interface TortureOptions {
  readonly folder: string
  readonly client: 'bus' | 'modbus-serial'
  readonly lines: number
  /** How many requests must have reached the devices, over all lines. */
  readonly requests: number
  readonly seed: number
  /** As shipped, or five times as fast. */
  readonly pace: 'shipped' | 'fast'
}

/** What came of a run. */
export interface TortureReport {
  readonly seed: number
  readonly requests: number
  readonly seconds: number
  /** How the devices answered. */
  readonly manners: Readonly<Record<string, number>>
  /** What the client made of it: values that were right or wrong, and failures by code. */
  readonly outcomes: Readonly<Record<string, number>>
  readonly right: number
  readonly wrong: number
  /** The first wrong values, in words. */
  readonly examples: readonly string[]
}

const reply = v.object({ outcomes: v.record(v.string(), v.number()), wrong: v.array(v.string()) })

// Quick and slow ones, both functions, one that wants to be left alone, and one whose firmware takes fewer registers
// than its manual says.
const devices: readonly TortureDevice[] = [
  { unitId: 1, functionCode: 4, counts: [2, 8], maxCount: 80, mostRegisters: 80, latencyMs: [0, 3] },
  { unitId: 2, functionCode: 4, counts: [4, 30], maxCount: 80, mostRegisters: 80, latencyMs: [2, 12] },
  { unitId: 3, functionCode: 3, counts: [4, 60], maxCount: 125, mostRegisters: 125, latencyMs: [1, 6] },
  { unitId: 17, functionCode: 4, counts: [4, 4], maxCount: 80, mostRegisters: 80, latencyMs: [10, 40], minGapMs: 25 },
  { unitId: 128, functionCode: 3, counts: [2, 12], maxCount: 125, mostRegisters: 125, latencyMs: [20, 80] },
  { unitId: 247, functionCode: 4, counts: [10, 10], maxCount: 80, mostRegisters: 10, latencyMs: [1, 8] },
]

// A shorter timeout makes more answers late in the same time; how long lengths rest stays as it is shipped.
const paces = {
  shipped: { tuning: {}, lateMs: [220, 3000], repeatMs: 400, plainTimeoutMs: 200 },
  fast: {
    tuning: { initialTimeoutMs: 100, shortestTimeoutMs: 60, longestTimeoutMs: 400, longestDrainMs: 60, creditMs: 250 },
    lateMs: [70, 1500],
    repeatMs: 300,
    plainTimeoutMs: 100,
  },
} as const

/** Lets a client read devices that misbehave, until they have seen enough requests. */
export async function runTorture(options: TortureOptions): Promise<TortureReport> {
  const { folder, client, requests, seed } = options
  const { tuning, lateMs, repeatMs, plainTimeoutMs } = paces[options.pace]
  mkdirSync(folder, { recursive: true })
  const lines = Array.from({ length: options.lines }, (_, at) => {
    const path = join(folder, `tty${client}${at}`)
    return { path, line: new TortureLine({ path, devices, random: makeRandom(seed + at), lateMs, repeatMs }) }
  })
  const startMs = performance.now()
  const seen = () => lines.reduce((sum, { line }) => sum + line.requests, 0)
  try {
    for (const { line } of lines) await line.open()
    const paths = lines.map(({ path }) => path)
    const orders = { client, paths, baudRate: tortureBaudRate, devices, seed, tuning, plainTimeoutMs }
    const { outcomes, wrong } = await runReader(orders, () => seen() >= requests)
    return {
      seed,
      requests: seen(),
      seconds: Math.round((performance.now() - startMs) / 1000),
      manners: sumCounts(lines.map(({ line }) => line.counts)),
      outcomes,
      right: outcomes['right'] ?? 0,
      wrong: outcomes['wrong'] ?? 0,
      examples: wrong,
    }
  } finally {
    await Promise.all(lines.map(({ line }) => line.close()))
  }
}

async function runReader(orders: object, isEnough: () => boolean): Promise<v.InferOutput<typeof reply>> {
  const child = fork(fileURLToPath(new URL('../../gateway/test/torture-reads.ts', import.meta.url)))
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the reader ended with ${code}`)
  })
  const answered = once(child, 'message')
  child.send(orders)
  const poll = setInterval(() => {
    if (!isEnough()) return
    clearInterval(poll)
    child.send('stop')
  }, 50)
  try {
    const [message] = await Promise.race([answered, ended])
    return v.parse(reply, message)
  } finally {
    clearInterval(poll)
    ended.catch(() => {})
    if (child.connected) child.kill()
  }
}

function sumCounts(all: readonly ReadonlyMap<string, number>[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const counts of all) {
    for (const [key, count] of counts) sums[key] = (sums[key] ?? 0) + count
  }
  return sums
}
