import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import {
  collect,
  dial,
  everyProfile,
  expected,
  host,
  type Read,
  readEnergies,
  readRegisters,
  signing,
  start,
  still,
} from '../test/ports-rig.ts'
import { encodeRtuFrame, hasValidCrc } from './rtu-frame.ts'

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
