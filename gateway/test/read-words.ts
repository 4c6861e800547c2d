// Reads as many registers as it is told from a bus, and prints a JSON line for each read. Arguments: the bus as the
// gateway's config names it, and the reads, both as JSON.
import { openBus, type ReadRequest } from '../src/modbus/bus.ts'
import type { BusConfig } from '../src/modbus/bus-config.ts'
import { systemScheduler } from '../src/modbus/scheduler.ts'

const [config = '', reads = ''] = process.argv.slice(2)
const bus = openBus(JSON.parse(config) as BusConfig, { scheduler: systemScheduler })
for (const request of JSON.parse(reads) as ReadRequest[]) {
  const words = await bus.read(request)
  process.stdout.write(`${JSON.stringify({ request, words })}\n`)
}
await bus.close()
