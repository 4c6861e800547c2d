import test, { type ExecutionContext } from 'ava'
import ModbusSerial from 'modbus-serial'
import { openBus } from './bus.ts'
import type { BusConfig } from './bus-config.ts'
import {
  rtuAnswer,
  type Script,
  ScriptedServer,
  type SeenRequest,
  seeded,
  servePty,
  serveTcp,
  tcpAnswer,
  trickle,
} from './bus-rig.ts'
import { systemScheduler } from './scheduler.ts'

// Every answer holds the address that was asked for, and the address changes from read to read. A value is wrong
// if it is another address: then it is the answer to an earlier read.

const timeoutMs = 40
// Keeps the timeout where it is, so that late answers stay late.
const tuning = {
  initialTimeoutMs: timeoutMs,
  shortestTimeoutMs: timeoutMs,
  longestTimeoutMs: timeoutMs,
  lateHorizonMs: 320,
  repeatHorizonMs: 320,
  reconnectMs: 5,
  longestReconnectMs: 5,
  creditMs: 1e9,
}
const request = { unitId: 1, functionCode: 4, count: 4 } as const
// More reads than a late answer can be behind.
const addressOf = (i: number) => 1000 + (i % addresses)
const addresses = 32

const byAddress = (seen: SeenRequest): SeenRequest => ({ ...seen, tag: seen.address })
const rtuFrame = (seen: SeenRequest) => rtuAnswer(byAddress(seen))
const tcpFrame = (seen: SeenRequest) => tcpAnswer(byAddress(seen))

interface Misbehaviour {
  /** 6 for all, 5 for all but answering twice. */
  readonly manners?: number
  readonly longestRepeatMs?: number
}

/** Answers in time, late, twice, spoiled, byte by byte or never. */
function misbehave(seed: number, frame: (seen: SeenRequest) => Buffer, options: Misbehaviour = {}): Script {
  const { manners = 6, longestRepeatMs = 150 } = options
  const random = seeded(seed)
  return (seen, send) => {
    const answer = frame(seen)
    const lateMs = timeoutMs + 1 + random() * 200
    const manner = Math.floor(random() * manners)
    if (manner === 0) send(answer)
    if (manner === 1) send(answer, lateMs)
    if (manner === 2) send(answer.map((byte, i) => (i === 6 ? byte ^ 0x40 : byte)))
    if (manner === 3) trickle(answer, send, random() * 4)
    if (manner >= 4) send(answer)
    if (manner === 5) send(answer, random() * longestRepeatMs)
  }
}

async function countWrong(
  { server, frame }: { server: ScriptedServer; frame: (seen: SeenRequest) => Buffer },
  reads: number,
  read: (i: number) => Promise<readonly number[]>,
): Promise<{ right: number; wrong: number }> {
  const counts = { right: 0, wrong: 0 }
  const { script } = server
  // Whether a device answers longer reads at all is learnt in peace: it decides whether lengths can vary.
  server.script = (seen, send) => send(frame(seen))
  for (let i = 0; i <= addresses; ) {
    i += await read(i).then(
      () => 1,
      () => 0,
    )
  }
  server.script = script
  for (let i = 0; i < reads; i++) {
    const words = await read(i).catch(() => undefined)
    if (words === undefined) continue
    counts[words[0] === addressOf(i) && words.length === request.count ? 'right' : 'wrong']++
  }
  return counts
}

function open(t: ExecutionContext, config: BusConfig) {
  const bus = openBus(config, { scheduler: systemScheduler, tuning })
  t.teardown(() => bus.close())
  return bus
}

const serialConfig = (path: string): BusConfig => ({
  id: 'line',
  serial: { path, baudRate: 115_200, parity: 'none', stopBits: 1 },
})

for (const seed of [1, 2, 3]) {
  test.serial(
    `RTU: no late, doubled, spoiled or trickled answer becomes another read's value (seed ${seed})`,
    async (t) => {
      const server = new ScriptedServer('rtu', misbehave(seed, rtuFrame))
      const bus = open(t, serialConfig((await servePty(t, server)).path))
      const { right, wrong } = await countWrong({ server, frame: rtuFrame }, 100, (i) =>
        bus.read({ ...request, address: addressOf(i), maxCount: 80 }),
      )
      t.is(wrong, 0)
      t.true(right > 0)
    },
  )
}

test.serial('RTU with fixed lengths: no late, spoiled or trickled answer becomes another value', async (t) => {
  const server = new ScriptedServer('rtu', misbehave(4, rtuFrame, { manners: 5 }))
  const bus = open(t, serialConfig((await servePty(t, server)).path))
  const { right, wrong } = await countWrong({ server, frame: rtuFrame }, 30, (i) =>
    bus.read({ ...request, address: addressOf(i), unitId: 1 + (i % 3) }),
  )
  t.is(wrong, 0)
  t.true(right > 0)
})

test.serial('RTU over TCP: no late, doubled, spoiled or trickled answer becomes another value', async (t) => {
  const server = new ScriptedServer('rtu', misbehave(5, rtuFrame))
  const bus = open(t, { id: 'converter', rtuOverTcp: await serveTcp(t, server) })
  const { right, wrong } = await countWrong({ server, frame: rtuFrame }, 100, (i) =>
    bus.read({ ...request, address: addressOf(i), maxCount: 80 }),
  )
  t.is(wrong, 0)
  t.true(right > 0)
})

test.serial('TCP: no late, doubled, spoiled or trickled answer becomes another value', async (t) => {
  // A stream has no CRC: one frame put into the middle of another would be taken for its content. So none is.
  const server = new ScriptedServer('mbap', misbehave(6, tcpFrame, { longestRepeatMs: 0 }))
  const bus = open(t, { id: 'lan', tcp: await serveTcp(t, server) })
  const { right, wrong } = await countWrong({ server, frame: tcpFrame }, 100, (i) =>
    bus.read({ ...request, address: addressOf(i) }),
  )
  t.is(wrong, 0)
  t.true(right > 0)
})

test.serial('the same script makes plain modbus-serial return wrong values, so these tests can fail', async (t) => {
  const server = new ScriptedServer('rtu', misbehave(1, rtuFrame))
  const line = await servePty(t, server)
  const client = new ModbusSerial.default()
  await client.connectRTUBuffered(line.path, { baudRate: 115_200 })
  t.teardown(() => new Promise<void>((resolve) => client.close(() => resolve())))
  client.setID(request.unitId)
  client.setTimeout(timeoutMs)
  const read = async (i: number) => (await client.readInputRegisters(addressOf(i), request.count)).data
  const { wrong } = await countWrong({ server, frame: rtuFrame }, 60, read)
  t.true(wrong > 0)
})
