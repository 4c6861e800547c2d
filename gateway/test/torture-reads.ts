// Reads self-describing registers of many devices on many lines at once until it is told to stop, and judges each
// value. Told what to do by one JSON message over IPC; tells what came of it by another.
import ModbusSerial from 'modbus-serial'
import { type AskedRead, findForeignWords, nowTicks } from '../../protocol/test/self-describing.ts'
import { openBus } from '../src/modbus/bus.ts'
import type { BusTuning } from '../src/modbus/bus-config.ts'
import { seeded } from '../src/modbus/bus-rig.ts'
import { systemScheduler } from '../src/modbus/scheduler.ts'

interface Device {
  readonly unitId: number
  readonly functionCode: 3 | 4
  readonly counts: readonly [number, number]
  readonly maxCount: number
  readonly minGapMs?: number
}

interface Orders {
  readonly client: 'bus' | 'modbus-serial'
  readonly paths: readonly string[]
  readonly baudRate: number
  readonly devices: readonly Device[]
  readonly seed: number
  readonly tuning: Partial<BusTuning>
  readonly plainTimeoutMs: number
}

interface Place {
  readonly address: number
  readonly count: number
}
type Read = (place: Place) => Promise<readonly number[]>

const outcomes = new Map<string, number>()
const wrong: string[] = []
let isStopped = false

function count(outcome: string): void {
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
}

async function judge({ unitId, functionCode }: Device, place: Place, read: Read): Promise<void> {
  const askedAt = nowTicks()
  try {
    const words = await read(place)
    const asked: AskedRead = { unitId, functionCode, ...place, askedAt, answeredAt: nowTicks() }
    const problem = findForeignWords(words, asked)
    count(problem === undefined ? 'right' : 'wrong')
    if (problem !== undefined) wrong.push(`unit ${unitId}, ${place.count} at ${place.address}: ${problem}`)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'error'
    count(code)
    // A device that rests is refused at once; so is all of a closed bus.
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function picker({ counts: [fewest, most] }: Device, random: () => number): () => Place {
  return () => ({
    address: 1000 + Math.floor(random() * 16),
    count: fewest + Math.floor(random() * (most - fewest + 1)),
  })
}

/** One reader for each device: the requests of a line queue up as those of its meters do. */
async function tortureBus(path: string, { baudRate, devices, seed, tuning }: Orders, at: number): Promise<void> {
  const serial = { path, baudRate, parity: 'none', stopBits: 1 } as const
  const bus = openBus({ id: `line-${at}`, serial }, { scheduler: systemScheduler, tuning })
  const readers = devices.map(async (device, i) => {
    const { unitId, functionCode, maxCount, minGapMs = 0 } = device
    const pick = picker(device, seeded(seed + 1000 * at + i))
    const read: Read = (place) => bus.read({ unitId, functionCode, maxCount, minGapMs, ...place })
    while (!isStopped) await judge(device, pick(), read)
  })
  await Promise.all(readers)
  await bus.close()
}

/** The same as anybody would write it: one request after the other, as a serial line needs it. */
async function torturePlainClient(path: string, orders: Orders, at: number): Promise<void> {
  const client = new ModbusSerial.default()
  await client.connectRTUBuffered(path, { baudRate: orders.baudRate })
  client.setTimeout(orders.plainTimeoutMs)
  const random = seeded(orders.seed + 1000 * at)
  const pickers = orders.devices.map((device) => ({ device, pick: picker(device, random) }))
  while (!isStopped) {
    const { device, pick } = pickers[Math.floor(random() * pickers.length)]!
    await judge(device, pick(), async ({ address, count }) => {
      client.setID(device.unitId)
      const asked =
        device.functionCode === 3
          ? client.readHoldingRegisters(address, count)
          : client.readInputRegisters(address, count)
      return (await asked).data
    })
  }
  await new Promise<void>((resolve) => client.close(() => resolve()))
}

// Whoever gave the orders is gone.
process.once('disconnect', () => process.exit())

process.once('message', async (message) => {
  const orders = message as Orders
  process.once('message', () => {
    isStopped = true
  })
  const torture = orders.client === 'bus' ? tortureBus : torturePlainClient
  await Promise.all(orders.paths.map((path, at) => torture(path, orders, at)))
  process.send?.({ outcomes: Object.fromEntries(outcomes), wrong: wrong.slice(0, 10) }, () => process.disconnect())
})
