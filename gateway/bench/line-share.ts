// Reads all meters of a serial line as often as the bus serves them, for a while, and prints how many reads each unit
// answered. Arguments: one JSON object.
import { WattError } from '@wattline/protocol'
import { openBus } from '../src/modbus/bus.ts'
import { systemScheduler } from '../src/modbus/scheduler.ts'

interface Orders {
  readonly path: string
  readonly baudRate: number
  readonly unitIds: readonly number[]
  readonly seconds: number
}

const { path, baudRate, unitIds, seconds } = JSON.parse(process.argv[2] ?? '{}') as Orders
const serial = { path, baudRate, parity: 'none', stopBits: 1 } as const
const bus = openBus({ id: 'line', serial }, { scheduler: systemScheduler })
const untilMs = performance.now() + 1000 * seconds
const readMeter = async (unitId: number) => {
  let answered = 0
  while (performance.now() < untilMs) {
    try {
      // The energies of a poll, with the freedom that its profile leaves the bus.
      await bus.read({ unitId, functionCode: 4, address: 0x48, count: 4, maxCount: 80 })
      answered++
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      // As a poller that comes again at its next interval.
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
  return [unitId, answered] as const
}
const answered = await Promise.all(unitIds.map(readMeter))
await bus.close()
process.stdout.write(`${JSON.stringify(Object.fromEntries(answered))}\n`)
