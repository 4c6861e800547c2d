// Reads a meter over a serial line as fast as a client can, one read after the other, and prints how long that took, and the
// processor time it cost. Arguments: one JSON object. The client's own waiting is part of what is measured.
import { createRequire } from 'node:module'
import ModbusSerial from 'modbus-serial'
import { SerialPort } from 'serialport'
import { openBus } from '../src/modbus/bus.ts'
import { systemScheduler } from '../src/modbus/scheduler.ts'

interface Orders {
  readonly client: 'bus' | 'modbus-serial' | 'jsmodbus'
  readonly path: string
  readonly baudRate: number
  readonly unitId: number
  readonly functionCode: 3 | 4
  /** What is read in each round: address and count. */
  readonly blocks: readonly (readonly [address: number, count: number])[]
  readonly rounds: number
}

interface Client {
  read(address: number, count: number): Promise<readonly number[]>
  close(): Promise<void>
}

const timeoutMs = 2000

async function openOurs({ path, baudRate, unitId, functionCode }: Orders): Promise<Client> {
  const serial = { path, baudRate, parity: 'none', stopBits: 1 } as const
  const bus = openBus({ id: 'line', serial }, { scheduler: systemScheduler })
  return {
    read: (address, count) => bus.read({ unitId, functionCode, address, count }),
    close: () => bus.close(),
  }
}

async function openModbusSerial({ path, baudRate, unitId, functionCode }: Orders): Promise<Client> {
  const client = new ModbusSerial.default()
  await client.connectRTUBuffered(path, { baudRate })
  client.setID(unitId)
  client.setTimeout(timeoutMs)
  return {
    read: async (address, count) =>
      functionCode === 3
        ? (await client.readHoldingRegisters(address, count)).data
        : (await client.readInputRegisters(address, count)).data,
    close: () => new Promise((resolve) => client.close(() => resolve())),
  }
}

async function openJsmodbus({ path, baudRate, unitId, functionCode }: Orders): Promise<Client> {
  // CommonJS, with types of Node's that are not ours.
  const { ModbusRTUClient } = createRequire(import.meta.url)('jsmodbus')
  const port = new SerialPort({ path, baudRate, autoOpen: false })
  const client = new ModbusRTUClient(port, unitId, timeoutMs)
  await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())))
  return {
    read: async (address, count) => {
      const asked =
        functionCode === 3 ? client.readHoldingRegisters(address, count) : client.readInputRegisters(address, count)
      return (await asked).response.body.valuesAsArray
    },
    close: () => new Promise((resolve) => port.close(() => resolve())),
  }
}

const openers = { bus: openOurs, 'modbus-serial': openModbusSerial, jsmodbus: openJsmodbus }

const orders = JSON.parse(process.argv[2] ?? '{}') as Orders
const client = await openers[orders.client](orders)
const readRound = async () => {
  for (const [address, count] of orders.blocks) {
    const words = await client.read(address, count)
    if (words.length !== count) throw new Error(`${count} words expected, got ${words.length}`)
  }
}
await readRound()
const roundMs: number[] = []
let failures = 0
const cpuBefore = process.cpuUsage()
for (let round = 0; round < orders.rounds; round++) {
  const startMs = performance.now()
  await readRound().then(
    () => roundMs.push(performance.now() - startMs),
    () => failures++,
  )
}
const cpu = process.cpuUsage(cpuBefore)
await client.close()
process.stdout.write(`${JSON.stringify({ roundMs, failures, cpuUs: cpu.user + cpu.system })}\n`)
