import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  decodeEnergySnapshot,
  type EnergyDirection,
  energyMeasurands,
  findSunSpecModel,
  isEnergyTotal,
  type MeterProfile,
  planEnergySnapshot,
  type WattError,
} from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import ModbusRtu from 'modbus-serial'
import { decodeSimConfig } from './decode-config.ts'
import { Ports } from './ports.ts'
import { loadProfile } from './profiles.ts'
import { encodeRtuFrame, hasValidCrc } from './rtu-frame.ts'
import { Simulation } from './simulation.ts'
import { realTimers } from './timers.ts'

const ids = readdirSync(new URL('../../hardware/meters/', import.meta.url))
  .filter((name) => name.endsWith('.yaml'))
  .map((name) => name.replace('.yaml', ''))
const host = '127.0.0.1'
const readEnergies = Uint8Array.of(4, 0, 0x48, 0, 4)

// Below 8192 kWh a float32 in kWh shows every Wh; the coarsest counters have steps of 100 Wh.
const still = { curve: { constant: { powerW: 0 } }, startWh: { import: 1_234_500, export: 7_654_300 } }
const stillWh = { import: 1_234_500n, export: 7_654_300n }

interface Rig {
  readonly simulation: Simulation
  readonly ports: Ports
  readonly folder: string
  portOf(meterId: string): number
}

async function start(t: ExecutionContext, config: object): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'))
  const text = JSON.stringify({ version: 1, ...config }).replaceAll('FOLDER', folder)
  const checked = decodeSimConfig(JSON.parse(text), 'test', loadProfile)
  const simulation = new Simulation(checked, realTimers)
  const onLost = (error: WattError) => t.fail(error.message)
  const ports = new Ports({ config: checked.config, simulation, timers: realTimers, onLost })
  await ports.open()
  simulation.start()
  t.teardown(async () => {
    await ports.close()
    rmSync(folder, { recursive: true })
  })
  const portOf = (meterId: string) => {
    const found = ports.describe().find(({ meters }) => Array.isArray(meters) && meters.includes(meterId))
    return Number(found?.['port'])
  }
  return { simulation, ports, folder, portOf }
}

type Read = (functionCode: 3 | 4, address: number, count: number) => Promise<readonly number[]>

const directionsOf = (profile: MeterProfile): readonly EnergyDirection[] =>
  (['import', 'export'] as const).filter((direction) =>
    profile.quantities.some((q) => isEnergyTotal(q) && q.measurand === energyMeasurands[direction]),
  )

async function readRegisters(read: Read, profile: MeterProfile): Promise<Record<string, bigint | undefined>> {
  const base = profile.sunspec === undefined ? 0 : (await findSunSpecModel(read, profile.sunspec.model)).address
  const registers: Record<string, bigint | undefined> = {}
  for (const direction of directionsOf(profile)) {
    const plan = planEnergySnapshot(profile, [direction], base)
    const words = await read(plan.functionCode, plan.address, plan.count)
    registers[direction] = decodeEnergySnapshot(plan, words)[direction]?.registerWh
  }
  return registers
}

const expected = (profile: MeterProfile) =>
  Object.fromEntries(directionsOf(profile).map((direction) => [direction, stillWh[direction]]))

/** Another party's Modbus TCP client. */
async function openTcpClient(t: ExecutionContext, port: number, unitId = 5): Promise<Read> {
  const client = new ModbusRtu.default()
  await client.connectTCP(host, { port })
  t.teardown(() => client.close(() => {}))
  client.setID(unitId)
  client.setTimeout(10_000)
  return async (functionCode, address, count) => {
    const answer =
      functionCode === 3 ? client.readHoldingRegisters(address, count) : client.readInputRegisters(address, count)
    return (await answer).data
  }
}

const signing = ids.map((id) => loadProfile(id)).filter(({ cannotSign }) => cannotSign === undefined)
const everyProfile = (place: object) =>
  signing.map((profile, i) => ({ id: profile.id, profile: profile.id, unitId: i + 1, ...place, ...still }))

test("every profile: another party's client reads it exactly over Modbus TCP", async (t) => {
  const { portOf } = await start(t, { meters: everyProfile({ tcp: { host, port: 0 } }) })
  for (const [i, profile] of signing.entries()) {
    const read = await openTcpClient(t, portOf(profile.id), i + 1)
    t.deepEqual(await readRegisters(read, profile), expected(profile), profile.id)
  }
})

test('every profile: it is read exactly over RTU on a pseudo-terminal', async (t) => {
  const line = { id: 'l', path: 'FOLDER/tty', baudRate: 115_200, parity: 'even' }
  const { folder } = await start(t, { lines: [line], meters: everyProfile({ line: 'l' }) })
  const { write, receive } = await openSerial(t, join(folder, 'tty'), 115_200, 'even')
  for (const [i, profile] of signing.entries()) {
    const read: Read = async (functionCode, address, count) => {
      write(encodeRtuFrame(i + 1, Uint8Array.of(functionCode, address >> 8, address & 255, 0, count)))
      const frame = await receive(5 + 2 * count)
      t.true(hasValidCrc(frame))
      t.deepEqual([...frame.subarray(0, 3)], [i + 1, functionCode, 2 * count])
      return Array.from({ length: count }, (_, at) => frame.readUInt16BE(3 + 2 * at))
    }
    t.deepEqual(await readRegisters(read, profile), expected(profile), profile.id)
  }
})

test('RTU over TCP carries RTU frames', async (t) => {
  const { portOf } = await start(t, {
    meters: [{ id: 'm', profile: 'eastron-sdm120', unitId: 5, rtuOverTcp: { host, port: 0 }, ...still }],
  })
  const peer = await dial(t, portOf('m'))
  peer.socket.write(encodeRtuFrame(5, readEnergies))
  t.true(hasValidCrc(await peer.receive(13)))
})

/** A TCP peer that sees every byte. */
async function dial(t: ExecutionContext, port: number) {
  const socket: Socket = connect({ host, port })
  await once(socket, 'connect')
  socket.on('error', () => {})
  t.teardown(() => socket.destroy())
  return { socket, ...collect((onBytes) => socket.on('data', onBytes)) }
}

function collect(subscribe: (onBytes: (bytes: Buffer) => void) => void) {
  let received: Buffer = Buffer.alloc(0)
  let wake = () => {}
  subscribe((bytes) => {
    received = Buffer.concat([received, bytes])
    wake()
  })
  return {
    received: () => received,
    /** Waits for that many bytes and takes them. */
    async receive(count: number): Promise<Buffer> {
      while (received.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      const taken = received.subarray(0, count)
      received = received.subarray(count)
      return taken
    },
  }
}

const mbap = (transactionId: number, unitId: number, pdu: Uint8Array) =>
  Uint8Array.of(transactionId >> 8, transactionId & 255, 0, 0, 0, pdu.length + 1, unitId, ...pdu)

const onTcp = (faults: readonly object[] = []) => ({
  meters: [
    { id: 'm', profile: 'eastron-sdm120', unitId: 5, tcp: { host, port: 0 }, ...still },
    { id: 'n', profile: 'eastron-sdm120', unitId: 6, tcp: { host, port: 0 }, ...still },
  ],
  faults,
})

test('requests sent in one go, cut anywhere, are answered in order, to each client its own', async (t) => {
  const { portOf } = await start(t, onTcp())
  const [a, b] = [await dial(t, portOf('m')), await dial(t, portOf('m'))]
  const all = Buffer.concat([1, 2, 300].map((id) => mbap(id, id === 2 ? 6 : 5, readEnergies)))
  a.socket.write(all.subarray(0, 17))
  await new Promise((resolve) => setImmediate(resolve))
  a.socket.write(all.subarray(17))
  b.socket.write(mbap(9, 5, readEnergies))
  for (const id of [1, 2, 300]) t.is((await a.receive(17)).readUInt16BE(0), id)
  t.is((await b.receive(17)).readUInt16BE(0), 9)
  t.is(a.received().length, 0)
})

test('a unit that nobody has is exception 11, a broken header ends the connection', async (t) => {
  const { portOf } = await start(t, onTcp())
  const { socket, receive } = await dial(t, portOf('m'))
  socket.write(mbap(1, 77, readEnergies))
  t.is((await receive(9)).toString('hex'), '0001000000034d840b')
  const closed = once(socket, 'close')
  socket.write(Uint8Array.of(0, 1, 0, 0, 0xff, 0xff, 5, 4))
  await closed
  t.pass()
})

test('fault exception: the code that was asked for', async (t) => {
  const { portOf } = await start(t, onTcp([{ at: 0, kind: 'exception', meter: 'm', exceptionCode: 6 }]))
  const { socket, receive } = await dial(t, portOf('m'))
  socket.write(mbap(1, 5, readEnergies))
  t.is((await receive(9)).toString('hex'), '000100000003058406')
})

for (const kind of ['no-answer', 'power-cut']) {
  test(`fault ${kind}: silence, while the neighbour answers`, async (t) => {
    const { portOf } = await start(t, onTcp([{ at: 0, kind, meter: 'm' }]))
    const { socket, receive, received } = await dial(t, portOf('m'))
    socket.write(Buffer.concat([mbap(1, 5, readEnergies), mbap(2, 6, readEnergies)]))
    t.is((await receive(17)).readUInt16BE(0), 2)
    t.is(received().length, 0)
  })
}

test('fault late-answer: not before its time', async (t) => {
  const { portOf } = await start(t, onTcp([{ at: 0, kind: 'late-answer', meter: 'm', delayMs: 150 }]))
  const { socket, receive } = await dial(t, portOf('m'))
  const sentAtMs = performance.now()
  socket.write(mbap(1, 5, readEnergies))
  await receive(17)
  t.true(performance.now() - sentAtMs >= 149)
})

test('fault slow-device: each answer takes half to one and a half times as long', async (t) => {
  const { portOf } = await start(t, onTcp([{ at: 0, kind: 'slow-device', meter: 'm', delayMs: 100 }]))
  const { socket, receive } = await dial(t, portOf('m'))
  for (let i = 0; i < 5; i += 1) {
    const sentAtMs = performance.now()
    socket.write(mbap(i, 5, readEnergies))
    await receive(17)
    t.true(performance.now() - sentAtMs >= 49)
  }
})

test('fault answer-twice: the same answer comes once more', async (t) => {
  const { portOf } = await start(t, onTcp([{ at: 0, kind: 'answer-twice', meter: 'm' }]))
  const { socket, receive } = await dial(t, portOf('m'))
  socket.write(mbap(1, 5, readEnergies))
  const first = await receive(17)
  t.deepEqual(await receive(17), first)
})

test('fault truncated-answer: half of it', async (t) => {
  const { portOf } = await start(t, onTcp([{ at: 0, kind: 'truncated-answer', meter: 'm' }]))
  const { socket, receive, received } = await dial(t, portOf('m'))
  socket.write(mbap(1, 5, readEnergies))
  await receive(9)
  socket.write(mbap(2, 6, readEnergies))
  t.is((await receive(17)).readUInt16BE(0), 2)
  t.is(received().length, 0)
})

test('fault no-value: NaN in every register', async (t) => {
  const { portOf, simulation } = await start(t, onTcp([{ at: 0, kind: 'no-value', meter: 'm' }]))
  simulation.advance()
  const { socket, receive } = await dial(t, portOf('m'))
  socket.write(mbap(1, 5, readEnergies))
  t.is((await receive(17)).subarray(9).toString('hex'), '7fc000007fc00000')
})

for (const [kind, more, expected] of [
  ['roll-over', {}, { import: 0n, export: 0n }],
  ['roll-over', { widthWh: 1_000_000 }, { import: 234_500n, export: 654_300n }],
  ['meter-swapped', { toSerial: '77', startWh: 5 }, { import: 5n, export: 5n }],
  ['register-jump', { byWh: -67 }, { import: 1_234_433n, export: 7_654_233n }],
] as const) {
  test(`fault ${kind} ${JSON.stringify(more)}: seen by another party's client`, async (t) => {
    const { portOf } = await start(t, onTcp([{ at: 0, kind, meter: 'm', ...more }]))
    const read = await openTcpClient(t, portOf('m'))
    t.deepEqual(await readRegisters(read, loadProfile('eastron-sdm120')), expected)
    if (kind === 'meter-swapped') t.deepEqual(await read(3, 0xfc00, 2), [0, 77])
  })
}

const threePhases = {
  meters: [
    {
      id: 'm',
      profile: 'eastron-sdm630',
      unitId: 5,
      tcp: { host, port: 0 },
      curve: { constant: { powerW: 3000 } },
      startWh: 1000,
    },
  ],
  time: { speedUp: 3600 },
}

/** A meter with a fault, read by another party's client once some time has passed. */
async function readFaulty(t: ExecutionContext, fault: object) {
  const { portOf, simulation } = await start(t, { ...threePhases, faults: [{ at: 0, meter: 'm', ...fault }] })
  while (Number(simulation.report()[0]?.importedWh) < 100) await new Promise((resolve) => setTimeout(resolve, 5))
  simulation.hold()
  const read = await openTcpClient(t, portOf('m'))
  const float = async (address: number) => {
    const words = await read(4, address, 2)
    return Buffer.from(Uint16Array.from(words).buffer).swap16().readFloatBE()
  }
  return { read, float, report: () => simulation.report()[0]! }
}

test('fault shifted-map: what belongs at an address stands one further', async (t) => {
  const { float } = await readFaulty(t, { kind: 'shifted-map' })
  t.true(Math.abs((await float(0x34 + 1)) - 3000) < 1)
  t.false(Math.abs((await float(0x34)) - 3000) < 1)
})

test('fault swapped-words: each value is its two words the other way round', async (t) => {
  const { read } = await readFaulty(t, { kind: 'swapped-words' })
  const [low = 0, high = 0] = await read(4, 0x34, 2)
  t.is(Buffer.from(Uint16Array.of(high, low).buffer).swap16().readFloatBE(), 3000)
})

test('fault reversed-feed: import counts as export, power and power factor are negative', async (t) => {
  const { float, report } = await readFaulty(t, { kind: 'reversed-feed' })
  t.is(await float(0x34), -3000)
  t.true((await float(0x3e)) < -0.9)
  t.is(await float(0x48), 1)
  t.true(Math.abs((await float(0x4a)) * 1000 - 1000 - Number(report().importedWh)) < 0.001)
})

test('fault ct-wrong-phase: two phases show half the power backwards, a power factor of -0.5, and the sum is 0', async (t) => {
  const { float } = await readFaulty(t, { kind: 'ct-wrong-phase', phases: ['L1', 'L3'] })
  const phases = [0, 2, 4]
  t.deepEqual(await Promise.all(phases.map((i) => float(0x0c + i))), [-500, 1000, -500])
  t.is(await float(0x34), 0)
  t.deepEqual([await float(0x48), await float(0x4a)], [1, 1])
})

test('fault ct-wrong-phase of one phase: half of the energy is counted', async (t) => {
  const { float, report } = await readFaulty(t, { kind: 'ct-wrong-phase', phases: ['L2'] })
  t.is(await float(0x34), 1500)
  t.true(Math.abs((await float(0x48)) * 1000 - 1000 - Number(report().importedWh) / 2) < 0.001)
  t.is(await float(0x4a), 1)
})

test('fault stuck: the register stays while the neighbour counts on', async (t) => {
  const running = { ...still, curve: { constant: { powerW: 100_000 } } }
  const config = onTcp([{ at: 0, kind: 'stuck', meter: 'm' }])
  const meters = config.meters.map((meter) => ({ ...meter, ...running }))
  const { portOf } = await start(t, { ...config, meters, time: { speedUp: 3600 } })
  const { socket, receive } = await dial(t, portOf('m'))
  const read = async (unitId: number) => {
    socket.write(mbap(1, unitId, readEnergies))
    return (await receive(17)).readFloatBE(9)
  }
  const first = await read(5)
  while ((await read(6)) <= first) await new Promise((resolve) => setTimeout(resolve, 5))
  t.is(await read(5), first)
})

test('fault unplugged: the port refuses, and comes back where it was', async (t) => {
  const { ports, portOf } = await start(t, onTcp())
  const port = portOf('m')
  const { socket } = await dial(t, port)
  const closed = once(socket, 'close')
  await ports.setPlugged({ meter: 'm' }, false)
  await closed
  const refused = connect({ host, port })
  await t.throwsAsync(once(refused, 'connect'), { code: 'ECONNREFUSED' })
  await ports.setPlugged({ meter: 'm' }, true)
  const again = await dial(t, port)
  again.socket.write(mbap(1, 5, readEnergies))
  t.is((await again.receive(17)).length, 17)
})

test('a TCP port that is taken is told as such', async (t) => {
  const { portOf } = await start(t, onTcp())
  const config = {
    meters: [{ id: 'm', profile: 'eastron-sdm120', unitId: 5, tcp: { host, port: portOf('m') }, ...still }],
  }
  await t.throwsAsync(start(t, config), { code: 'port/occupied' })
})

/** A serial port opened by another party's package in its own process; it sees every byte. */
async function openSerial(t: ExecutionContext, path: string, baudRate: number, parity = 'none') {
  const program = fileURLToPath(new URL('./serial-peer.ts', import.meta.url))
  const child = spawn(process.execPath, [program, path, String(baudRate), parity], {
    stdio: ['pipe', 'pipe', 'inherit', 'ipc'],
  })
  const closed = once(child, 'exit')
  const close = async () => {
    child.kill()
    await closed
  }
  t.teardown(close)
  t.deepEqual((await once(child, 'message'))[0], 'open')
  const write = (bytes: Uint8Array) => void child.stdin!.write(bytes)
  return { write, close, ...collect((onBytes) => child.stdout!.on('data', onBytes)) }
}

const onLine = (faults: readonly object[] = [], baudRate = 19_200) => ({
  lines: [{ id: 'l', path: 'FOLDER/tty', baudRate }],
  meters: [
    { id: 'm', profile: 'eastron-sdm120', unitId: 5, line: 'l', ...still },
    { id: 'n', profile: 'eastron-sdm120', unitId: 6, line: 'l', ...still },
  ],
  faults,
})

test('on a pseudo-terminal a bad CRC is never answered, and the next request is', async (t) => {
  const { folder } = await start(t, onLine())
  const { write, receive, received } = await openSerial(t, join(folder, 'tty'), 19_200)
  const good = encodeRtuFrame(5, readEnergies)
  write(good.map((byte, i) => (i === 7 ? byte ^ 1 : byte)))
  // On a busy machine both requests may arrive as one, which is none; then it is asked again, as a client would.
  while (received().length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 60))
    if (received().length === 0) write(encodeRtuFrame(6, Uint8Array.of(4, 0, 0, 0, 1)))
  }
  t.is((await receive(7))[0], 6)
})

test('on a pseudo-terminal an answer takes at least the time of its characters', async (t) => {
  const { folder } = await start(t, onLine([], 2400))
  const { write, receive } = await openSerial(t, join(folder, 'tty'), 2400)
  const sentAtMs = performance.now()
  write(encodeRtuFrame(5, Uint8Array.of(4, 0, 0, 0, 10)))
  await receive(25)
  // Request, silence and answer; timers may fire a millisecond early.
  t.true(performance.now() - sentAtMs >= ((8 + 3.5 + 25) * 10_000) / 2400 - 2)
})

for (const [kind, length] of [
  ['bad-crc', 13],
  ['truncated-answer', 7],
  ['noise', 16],
] as const) {
  test(`fault ${kind} on a line: ${length} bytes, and no valid frame among them`, async (t) => {
    const { folder } = await start(t, onLine([{ at: 0, kind, meter: 'm' }]))
    const { write, receive, received } = await openSerial(t, join(folder, 'tty'), 19_200)
    write(encodeRtuFrame(5, readEnergies))
    t.false(hasValidCrc(await receive(length)))
    write(encodeRtuFrame(6, readEnergies))
    t.true(hasValidCrc(await receive(13)))
    t.is(received().length, 0)
  })
}

test('fault answer-twice on a line: two valid frames for one request', async (t) => {
  const { folder } = await start(t, onLine([{ at: 0, kind: 'answer-twice', meter: 'm', gapMs: 5 }]))
  const { write, receive } = await openSerial(t, join(folder, 'tty'), 19_200)
  write(encodeRtuFrame(5, readEnergies))
  const first = await receive(13)
  t.true(hasValidCrc(first))
  t.deepEqual(await receive(13), first)
})

test('fault trickle on a line: a valid frame, byte by byte', async (t) => {
  const { folder } = await start(t, onLine([{ at: 0, kind: 'trickle', line: 'l', gapMs: 10 }]))
  const { write, receive } = await openSerial(t, join(folder, 'tty'), 19_200)
  const sentAtMs = performance.now()
  write(encodeRtuFrame(5, readEnergies))
  t.true(hasValidCrc(await receive(13)))
  // Twelve pauses; a busy machine only adds to them.
  t.true(performance.now() - sentAtMs >= 119)
})

test('fault second-master on a line: a client that only listens hears its requests and their answers', async (t) => {
  const second = { at: 0, kind: 'second-master', line: 'l', everyMs: 50, unitId: 5, address: 0x48, count: 4 }
  const { folder } = await start(t, onLine([second]))
  const { receive } = await openSerial(t, join(folder, 'tty'), 19_200)
  let heard = ''
  const exchange = `${Buffer.from(encodeRtuFrame(5, readEnergies)).toString('hex')}050408`
  while (!heard.includes(exchange)) {
    heard += (await receive(1)).toString('hex')
  }
  t.pass()
})

test('fault no-answer of a line silences all its meters', async (t) => {
  const { folder, simulation } = await start(t, onLine([{ at: 0, kind: 'no-answer', line: 'l' }]))
  t.is(simulation.answer('m', readEnergies), undefined)
  t.is(simulation.answer('n', readEnergies), undefined)
  t.true(existsSync(join(folder, 'tty')))
})

test('an unplugged line is gone from its path, and comes back', async (t) => {
  const { ports, folder } = await start(t, onLine())
  const path = join(folder, 'tty')
  const first = await openSerial(t, path, 19_200)
  await ports.setPlugged({ line: 'l' }, false)
  // Whether the package notices depends on the moment: after a hang-up it may read 0 bytes for ever.
  await first.close()
  t.false(existsSync(path))
  await ports.setPlugged({ line: 'l' }, true)
  const second = await openSerial(t, path, 19_200)
  second.write(encodeRtuFrame(5, readEnergies))
  t.true(hasValidCrc(await second.receive(13)))
})

test('plugged out and in again in one go, it is there', async (t) => {
  const { ports, folder } = await start(t, onLine())
  const path = join(folder, 'tty')
  await Promise.all([ports.setPlugged({ line: 'l' }, false), ports.setPlugged({ line: 'l' }, true)])
  const peer = await openSerial(t, path, 19_200)
  peer.write(encodeRtuFrame(5, readEnergies))
  t.true(hasValidCrc(await peer.receive(13)))
})

const mixed = {
  lines: [{ id: 'l', path: 'FOLDER/tty' }],
  meters: [
    { id: 'm', profile: 'eastron-sdm120', unitId: 5, line: 'l', ...still },
    { id: 'n', profile: 'eastron-sdm120', unitId: 6, line: 'l', baudRate: 19_200, parity: 'even', ...still },
    { id: 'o', profile: 'eastron-sdm120', unitId: 7, line: 'l', parity: 'even', ...still },
  ],
}

test('on a line of mixed settings a client is understood by the meters that are set as it is, and by no other', async (t) => {
  const { folder } = await start(t, mixed)
  // Back to parity none behind even: it must not stick to the port.
  for (const [unitId, baudRate, parity] of [
    [5, 9600, 'none'],
    [6, 19_200, 'even'],
    [7, 9600, 'even'],
    [5, 9600, 'none'],
  ] as const) {
    const peer = await openSerial(t, join(folder, 'tty'), baudRate, parity)
    for (const other of [5, 6, 7].filter((id) => id !== unitId)) {
      peer.write(encodeRtuFrame(other, readEnergies))
      await new Promise((resolve) => setTimeout(resolve, 60))
    }
    t.is(peer.received().length, 0, `${unitId}`)
    peer.write(encodeRtuFrame(unitId, readEnergies))
    t.is((await peer.receive(13))[0], unitId)
    await peer.close()
  }
})

test('a client with odd parity is told from one without, where a meter is set to odd', async (t) => {
  const meters = mixed.meters.map((meter, i) => ({ ...meter, baudRate: 9600, parity: i === 0 ? 'none' : 'odd' }))
  const { folder } = await start(t, { ...mixed, meters })
  for (const [unitId, parity] of [
    [5, 'none'],
    [6, 'odd'],
    [5, 'none'],
  ] as const) {
    const peer = await openSerial(t, join(folder, 'tty'), 9600, parity)
    peer.write(encodeRtuFrame(11 - unitId, readEnergies))
    await new Promise((resolve) => setTimeout(resolve, 60))
    peer.write(encodeRtuFrame(unitId, readEnergies))
    t.is((await peer.receive(13))[0], unitId)
    t.is(peer.received().length, 0)
    await peer.close()
  }
})

test('a line whose wires are swapped from the start shows its client a zero after each request', async (t) => {
  const { folder } = await start(t, onLine([{ at: 0, kind: 'ab-swapped', line: 'l' }]))
  const { write, receive, received } = await openSerial(t, join(folder, 'tty'), 19_200)
  for (const unitId of [5, 6]) {
    write(encodeRtuFrame(unitId, readEnergies))
    t.deepEqual([...(await receive(1))], [0])
  }
  t.is(received().length, 0)
})

test('a line behind a serial device server is paced, and every client hears all of it', async (t) => {
  const { portOf } = await start(t, {
    lines: [{ id: 'l', rtuOverTcp: { host, port: 0 }, baudRate: 2400 }],
    meters: [{ id: 'm', profile: 'eastron-sdm120', unitId: 5, line: 'l', ...still }],
  })
  const [peer, listener] = [await dial(t, portOf('m')), await dial(t, portOf('m'))]
  const sentAtMs = performance.now()
  peer.socket.write(encodeRtuFrame(5, Uint8Array.of(4, 0, 0, 0, 10)))
  const frame = await peer.receive(25)
  t.true(performance.now() - sentAtMs >= ((8 + 3.5 + 25) * 10_000) / 2400 - 2)
  t.true(hasValidCrc(frame))
  t.deepEqual(await listener.receive(25), frame)
})

test('a pseudo-terminal never replaces a file', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'tty'), 'precious')
  await t.throwsAsync(start(t, { lines: [{ id: 'l', path: join(folder, 'tty') }] }), { code: 'port/occupied' })
})
