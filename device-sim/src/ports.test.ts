import { once } from 'node:events'
import { connect } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import {
  dial,
  everyProfile,
  expected,
  host,
  openTcpClient,
  readEnergies,
  readRegisters,
  signing,
  start,
  still,
} from '../test/ports-rig.ts'
import { loadProfile } from './profiles.ts'
import { encodeRtuFrame, hasValidCrc } from './rtu-frame.ts'

test("every profile: another party's client reads it exactly over Modbus TCP", async (t) => {
  const { portOf } = await start(t, { meters: everyProfile({ tcp: { host, port: 0 } }) })
  for (const [i, profile] of signing.entries()) {
    const read = await openTcpClient(t, portOf(profile.id), i + 1)
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
