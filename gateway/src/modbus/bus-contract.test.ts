import { WattError } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { openBus, type ReadRequest, type RegisterBus } from './bus.ts'
import type { BusConfig } from './bus-config.ts'
import { exceptionBody, ScriptedServer, type SeenRequest, servePty, serveTcp } from './bus-rig.ts'
import { FakeBus } from './fake-bus.ts'
import { encodeMbap } from './mbap-framing.ts'
import { withCrc } from './rtu-framing.ts'
import { systemScheduler } from './scheduler.ts'

// What every bus promises, the one that tests use included.

const firstMissing = 1000
const wordAt = (unitId: number, functionCode: number, address: number) =>
  address < firstMissing ? (unitId * 251 + functionCode * 17 + address) & 0xffff : undefined

function bodyFor(seen: SeenRequest): Buffer {
  if (seen.address + seen.count > firstMissing) return exceptionBody(seen, 2)
  const body = Buffer.alloc(3 + 2 * seen.count)
  body.set([seen.unitId, seen.functionCode, 2 * seen.count])
  for (let i = 0; i < seen.count; i++) {
    body.writeUInt16BE(wordAt(seen.unitId, seen.functionCode, seen.address + i) ?? 0, 3 + 2 * i)
  }
  return body
}

const rtuServer = () => new ScriptedServer('rtu', (seen, send) => send(withCrc(bodyFor(seen)), 2))
const tcpServer = () =>
  new ScriptedServer('mbap', (seen, send) => send(encodeMbap(seen.transactionId, bodyFor(seen)), 2))

const real = (config: BusConfig) => openBus(config, { scheduler: systemScheduler, tuning: { initialTimeoutMs: 3000 } })

const makers: Readonly<Record<string, (t: ExecutionContext) => Promise<RegisterBus>>> = {
  fake: async () => new FakeBus((request, address) => wordAt(request.unitId, request.functionCode, address)),
  serial: async (t) => {
    const { path } = await servePty(t, rtuServer())
    return real({ id: 'line', serial: { path, baudRate: 115_200, parity: 'even', stopBits: 1 } })
  },
  tcp: async (t) => real({ id: 'lan', tcp: await serveTcp(t, tcpServer()) }),
  rtuOverTcp: async (t) => real({ id: 'converter', rtuOverTcp: await serveTcp(t, rtuServer()) }),
}

const wanted = ({ unitId, functionCode, address, count }: ReadRequest) =>
  Array.from({ length: count }, (_, i) => wordAt(unitId, functionCode, address + i))

for (const [kind, make] of Object.entries(makers)) {
  test(`${kind}: returns exactly the registers asked for, also when asked at once`, async (t) => {
    const bus = await make(t)
    t.teardown(() => bus.close())
    const requests: ReadRequest[] = [
      { unitId: 1, functionCode: 3, address: 0, count: 1 },
      { unitId: 1, functionCode: 4, address: 0, count: 125 },
      { unitId: 247, functionCode: 4, address: 72, count: 4, maxCount: 80 },
      { unitId: 247, functionCode: 4, address: firstMissing - 4, count: 4, maxCount: 80 },
      { unitId: 9, functionCode: 3, address: 40, count: 2, minGapMs: 5 },
    ]
    const answers = await Promise.all([...requests, ...requests].map((request) => bus.read(request)))
    t.deepEqual(
      answers.map((words) => [...words]),
      [...requests, ...requests].map(wanted),
    )
    t.is(bus.connections, 1)
  })

  test(`${kind}: a register that is not there is bus/exception, and not worth asking again`, async (t) => {
    const bus = await make(t)
    t.teardown(() => bus.close())
    const read = bus.read({ unitId: 1, functionCode: 4, address: firstMissing, count: 2 })
    const error = await t.throwsAsync(read, { instanceOf: WattError })
    t.is(error.code, 'bus/exception')
    t.false(error.retryable)
    t.regex(error.message, /exception 2 \(illegal data address\)/)
  })

  test(`${kind}: a closed bus rejects with bus/closed, and closing twice is harmless`, async (t) => {
    const bus = await make(t)
    await bus.close()
    await bus.close()
    const read = bus.read({ unitId: 1, functionCode: 4, address: 0, count: 1 })
    t.is((await t.throwsAsync(read, { instanceOf: WattError })).code, 'bus/closed')
  })
}
