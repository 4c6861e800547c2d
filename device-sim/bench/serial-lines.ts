import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as v from 'valibot'
import { stringify } from 'yaml'
import { Program } from '../src/demo/programs.ts'

/** Simulated meters on serial lines that keep the pace of real ones. */
export async function startLines(folder: string, content: object): Promise<Program> {
  const config = join(folder, 'sim.yaml')
  writeFileSync(config, stringify({ version: 1, ...content }))
  const sim = new Program('sim', ['--config', config])
  await sim.event('sim.started')
  return sim
}

export type ClientName = 'bus' | 'modbus-serial' | 'jsmodbus'

export interface ReadOrders {
  readonly client: ClientName
  readonly path: string
  readonly baudRate: number
  readonly unitId: number
  readonly functionCode: 3 | 4
  readonly blocks: readonly (readonly [address: number, count: number])[]
  readonly rounds: number
}

const reply = v.object({ roundMs: v.array(v.number()), failures: v.number(), cpuUs: v.number() })

/** Lets a client read as fast as it can, in a process of its own: milliseconds and processor time of the rounds. */
export async function timeReads(orders: ReadOrders): Promise<v.InferOutput<typeof reply>> {
  const script = fileURLToPath(new URL('../../gateway/bench/read-rate.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(orders)])
  const result = v.parse(reply, JSON.parse(stdout))
  if (result.failures > orders.rounds / 10) throw new Error(`${orders.client}: ${result.failures} rounds failed`)
  return result
}
