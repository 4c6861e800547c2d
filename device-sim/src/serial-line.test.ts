import test from 'ava'
import fc from 'fast-check'
import * as v from 'valibot'
import { lineSchema, type MeterConfig, meterSchema } from './config.ts'
import { faultSchema } from './faults.ts'
import { type LineSettings, toLineTiming } from './line-timing.ts'
import { type Answer, answerPdu } from './pdu.ts'
import { makeRandom } from './random.ts'
import { encodeRtuFrame, hasValidCrc } from './rtu-frame.ts'
import { SerialLine, superpose } from './serial-line.ts'
import { VirtualTimers } from './virtual-timers.ts'
import { Wiring } from './wiring.ts'

const request = encodeRtuFrame(1, Uint8Array.of(4, 0, 72, 0, 4))
const answer = (unitId: number) => encodeRtuFrame(unitId, Uint8Array.of(4, 8, 0, 72, 0, 73, 0, 74, 0, 75))
const characterMs = 10_000 / 9600
const silenceMs = 3.5 * characterMs

interface RigOptions {
  readonly line?: object
  readonly meters?: readonly object[]
  readonly faults?: readonly object[]
  readonly client?: Partial<LineSettings>
  readonly change?: Partial<Answer>
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** A line of meters that answer each register with its address, and a client that hears every byte. */
function rig({ line = {}, meters = [{}], faults = [], client = {}, change = {} }: RigOptions = {}) {
  const timers = new VirtualTimers()
  const asked: string[] = []
  const written: { atMs: number; bytes: Uint8Array }[] = []
  const lineConfig = v.parse(lineSchema, { id: 'l', path: 'x', ...line })
  const meterConfigs = meters.map((meter, i): MeterConfig => {
    const given = { id: `m${i + 1}`, profile: 'p', unitId: i + 1, line: 'l', curve: 'grid', ...meter }
    return v.parse(meterSchema, given)
  })
  const wiring = new Wiring(
    lineConfig,
    meterConfigs,
    faults.map((fault) => v.parse(faultSchema, { at: 0, ...fault })),
    () => timers.now() / 1000,
  )
  const serialLine = new SerialLine({
    wiring,
    timers,
    write: (bytes) => written.push({ atMs: timers.now(), bytes }),
    answer: (id, pdu) => {
      asked.push(id)
      const offset = id === 'm1' ? 0 : 0x5500
      const read = (_: 3 | 4, address: number, count: number) =>
        Array.from({ length: count }, (__, i) => address + i + offset)
      return { pdu: answerPdu(pdu, { read }), delayMs: 0, ...change }
    },
  })
  serialLine.open()
  serialLine.setClient({ settings: { ...lineConfig, ...client }, iflag: 0o4 })
  const all = () => Buffer.concat(written.splice(0).map(({ bytes }) => bytes))
  /** Sends a request and gives all that is heard until the line has long been silent. */
  const exchange = (bytes: Uint8Array = request) => {
    all()
    serialLine.receive(bytes)
    timers.advance(3000)
    return all()
  }
  return { serialLine, timers, asked, written, all, exchange }
}

test('a frame with a bad CRC is never answered, and the next good one is', (t) => {
  const { exchange, asked } = rig()
  for (let at = 0; at < request.length; at += 1) {
    exchange(request.map((byte, i) => (i === at ? byte ^ 0x10 : byte)))
  }
  t.deepEqual(asked, [])
  t.is(hex(exchange()), hex(answer(1)))
})

test('a broadcast and a foreign unit id get no answer', (t) => {
  const { exchange, asked } = rig()
  t.is(exchange(encodeRtuFrame(0, Uint8Array.of(4, 0, 72, 0, 4))).length, 0)
  t.is(exchange(encodeRtuFrame(9, Uint8Array.of(4, 0, 72, 0, 4))).length, 0)
  t.deepEqual(asked, [])
})

test('an answer comes no sooner and no faster than the line carries it', (t) => {
  const { serialLine, timers, written } = rig()
  serialLine.receive(request)
  timers.advance(1000)
  const readyMs = request.length * characterMs + Math.max(silenceMs, 5)
  let sent = 0
  for (const { atMs, bytes } of written) {
    sent += bytes.length
    t.true(atMs >= readyMs + sent * characterMs - 1e-5, `byte ${sent} at ${atMs}`)
  }
  t.is(sent, answer(1).length)
  t.true(written.at(-1)!.atMs <= readyMs + sent * characterMs + 1e-5)
})

test('two answers never share the line', (t) => {
  const { serialLine, timers, written } = rig()
  serialLine.receive(request)
  serialLine.receive(request)
  timers.advance(1000)
  const times = written.flatMap(({ atMs, bytes }) => Array.from(bytes, () => atMs))
  const { length } = answer(1)
  t.is(times.length, 2 * length)
  t.true(times[length]! - times[length - 1]! >= silenceMs)
})

test('a request that arrives byte by byte is one request', (t) => {
  const { serialLine, timers, asked } = rig()
  for (const byte of request) {
    serialLine.receive(Uint8Array.of(byte))
    timers.advance(1.1)
  }
  timers.advance(1000)
  t.deepEqual(asked, ['m1'])
})

test('a request that is cut by a silence is none', (t) => {
  const { serialLine, timers, asked } = rig()
  serialLine.receive(request.subarray(0, 5))
  timers.advance(30)
  serialLine.receive(request.subarray(5))
  timers.advance(1000)
  t.deepEqual(asked, [])
})

test('a late answer comes late, also when nobody waits any more', (t) => {
  const { serialLine, timers, written, all } = rig({ change: { delayMs: 500 } })
  serialLine.receive(request)
  timers.advance(499)
  t.deepEqual(written, [])
  timers.advance(1000)
  t.is(hex(all()), hex(answer(1)))
})

test('damage shows on the line', (t) => {
  const damaged = (damage: NonNullable<Answer['damage']>) => rig({ change: { damage } }).exchange()
  t.is(damaged('crc').length, answer(1).length)
  t.false(hasValidCrc(damaged('crc')))
  t.is(hex(damaged('truncated')), hex(answer(1).subarray(0, 7)))
  t.is(hex(damaged('noise').subarray(3)), hex(answer(1)))
})

test('an answer that is sent twice comes twice, with a silence between', (t) => {
  const { serialLine, timers, written } = rig({ change: { repeatAfterMs: 20 } })
  serialLine.receive(request)
  timers.advance(1000)
  const { length } = answer(1)
  const times = written.flatMap(({ atMs, bytes }) => Array.from(bytes, () => atMs))
  t.is(hex(Buffer.concat(written.map(({ bytes }) => bytes))), hex(answer(1)).repeat(2))
  t.true(times[length]! - times[length - 1]! >= 20 + silenceMs)
})

test('an answer that trickles is whole, and has a pause after each byte', (t) => {
  const { serialLine, timers, written } = rig({ change: { byteGapMs: 10 } })
  serialLine.receive(request)
  timers.advance(1000)
  t.is(hex(Buffer.concat(written.map(({ bytes }) => bytes))), hex(answer(1)))
  t.is(written.length, answer(1).length)
  for (const [i, { atMs }] of written.entries()) t.true(i === 0 || atMs - written[i - 1]!.atMs >= 10)
})

test('without pace all is the same, at once', (t) => {
  const { serialLine, all, written } = rig({ line: { pace: 0, baudRate: 300 } })
  serialLine.receive(request)
  t.deepEqual(
    written.map(({ atMs }) => atMs),
    [0],
  )
  t.is(hex(all()), hex(answer(1)))
})

test('pace shortens characters, silence and turnaround alike, and no fault', (t) => {
  const endMs = (pace: number, delayMs = 0) => {
    const { serialLine, timers, written } = rig({ line: { pace }, change: { delayMs } })
    serialLine.receive(request)
    timers.advance(1000)
    return written.at(-1)!.atMs
  }
  t.true(Math.abs(endMs(1) * 0.1 - endMs(0.1)) < 1e-5)
  t.true(Math.abs(endMs(0.1, 300) - endMs(0.1) - 300) < 1e-5)
})

test('a closed line writes nothing more', (t) => {
  const { serialLine, timers, written } = rig()
  serialLine.receive(request)
  serialLine.close()
  timers.advance(1000)
  t.deepEqual(written, [])
})

const settings: readonly LineSettings[] = [2400, 9600, 19_200, 38_400].flatMap((baudRate) =>
  (['none', 'even', 'odd'] as const).map((parity) => ({ baudRate, parity, stopBits: 1 })),
)

for (const meter of settings) {
  test(`a meter at ${meter.baudRate} ${meter.parity} answers a client of the same settings, and no other`, (t) => {
    for (const client of settings) {
      const { exchange } = rig({ meters: [meter], client })
      const heard = exchange()
      const same = client.baudRate === meter.baudRate && client.parity === meter.parity
      if (same) t.is(hex(heard), hex(answer(1)))
      else t.false(hasValidCrc(heard), `${client.baudRate} ${client.parity}`)
    }
  })
}

test('each meter of a line may have its own settings, and answers the client that has them', (t) => {
  const meters = [{ baudRate: 9600 }, { baudRate: 19_200, parity: 'even' }, { stopBits: 2 }]
  const { exchange, serialLine } = rig({ meters })
  const ask = (unitId: number) => hex(exchange(encodeRtuFrame(unitId, Uint8Array.of(4, 0, 72, 0, 4))))
  t.is(ask(1), hex(answer(1)))
  t.false(hasValidCrc(Buffer.from(ask(2), 'hex')))
  t.not(ask(3), '')
  serialLine.setClient({ settings: { baudRate: 19_200, parity: 'even', stopBits: 1 }, iflag: 4 })
  t.false(hasValidCrc(Buffer.from(ask(1), 'hex')))
  t.is(ask(2).slice(0, 14), '02040855485549')
})

for (const [kind, settings] of [
  ['wrong-baud', { baudRate: 4800 }],
  ['wrong-parity', { parity: 'even' }],
] as const) {
  for (const target of [{ meter: 'm1' }, { line: 'l' }]) {
    test(`fault ${kind} of a ${Object.keys(target)}: no valid frame until the client follows`, (t) => {
      const { exchange, serialLine } = rig({ faults: [{ kind, ...settings, ...target }] })
      t.false(hasValidCrc(exchange()))
      serialLine.setClient({ settings: { baudRate: 9600, parity: 'none', stopBits: 1, ...settings }, iflag: 4 })
      t.is(hex(exchange()), hex(answer(1)))
    })
  }
}

test('fault ab-swapped of the line: after each request a break and nothing else, while the fault lasts', (t) => {
  const { exchange } = rig({ faults: [{ kind: 'ab-swapped', line: 'l', for: 10 }] })
  for (let i = 0; i < 3; i += 1) t.is(hex(exchange()), '00')
  exchange()
  t.is(hex(exchange()), hex(answer(1)))
})

test('fault ab-swapped of a meter: it is silent, its neighbours are not; a swapped line puts it right', (t) => {
  const swapped = { kind: 'ab-swapped', meter: 'm1' }
  const one = rig({ meters: [{}, {}], faults: [swapped] })
  t.is(one.exchange().length, 0)
  t.true(hasValidCrc(one.exchange(encodeRtuFrame(2, Uint8Array.of(4, 0, 72, 0, 4)))))
  const both = rig({ faults: [swapped, { kind: 'ab-swapped', line: 'l' }] })
  t.is(hex(both.exchange()), `00${hex(answer(1))}`)
})

test('fault duplicate-address: two answers at once, often spoilt, sometimes one wins, and the own address is empty', (t) => {
  const { exchange, asked } = rig({ meters: [{}, {}], faults: [{ kind: 'duplicate-address', meter: 'm2', of: 'm1' }] })
  const heard = Array.from({ length: 200 }, () => exchange())
  t.true(heard.every(({ length }) => length === answer(1).length))
  const valid = heard.filter(hasValidCrc)
  t.true(valid.length > 20 && valid.length < 180, String(valid.length))
  t.is(new Set(valid.map(hex)).size, 2)
  t.is(asked.filter((id) => id === 'm2').length, 200)
  t.is(exchange(encodeRtuFrame(2, Uint8Array.of(4, 0, 72, 0, 4))).length, 0)
})

test('where two drivers disagree a bit is anything, where they agree it is theirs', (t) => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(bytes, bytes, fc.integer(), (a, b, seed) => {
      const both = superpose(a, b, makeRandom(seed))
      t.is(both.length, Math.max(a.length, b.length))
      for (const [i, byte] of both.entries()) t.is((byte ^ (a[i] ?? byte)) & (byte ^ (b[i] ?? byte)), 0)
    }),
  )
})

test('fault missing-termination: more errors on a longer line and at a higher speed', (t) => {
  const lost = (lengthM: number, baudRate: number) => {
    const { exchange } = rig({ line: { baudRate }, faults: [{ kind: 'missing-termination', line: 'l', lengthM }] })
    return Array.from({ length: 200 }, () => exchange()).filter((heard) => hex(heard) !== hex(answer(1))).length
  }
  const [short, long, fast] = [lost(30, 9600), lost(150, 9600), lost(150, 57_600)]
  t.true(short < 40 && short < long && long < 200 && long < fast, `${short} ${long} ${fast}`)
})

test('fault second-master: its requests and their answers are heard unasked', (t) => {
  const second = { kind: 'second-master', line: 'l', everyMs: 500, unitId: 1, address: 72, count: 4 }
  const { timers, all, asked } = rig({ faults: [{ ...second, for: 10 }] })
  timers.advance(10_000)
  const heard = hex(all())
  t.true(heard.startsWith(hex(request) + hex(answer(1))))
  t.true(asked.length >= 15 && asked.length <= 26)
  timers.advance(10_000)
  t.is(all().length, 0)
})

test('fault second-master: it spoils some exchanges of the first, and leaves the others', (t) => {
  const second = { kind: 'second-master', line: 'l', everyMs: 100, unitId: 2 }
  const { serialLine, timers, all } = rig({ meters: [{}, {}], faults: [second] })
  const sound = Array.from({ length: 200 }, () => {
    serialLine.receive(request)
    timers.advance(170)
    return hex(all()).includes(hex(answer(1)))
  }).filter(Boolean).length
  t.true(sound > 20 && sound < 180, String(sound))
})

test('t3.5 is 3.5 characters, and fixed above 19,200 baud', (t) => {
  t.is(toLineTiming({ baudRate: 9600, parity: 'even', stopBits: 1 }).silenceMs, 3.5 * (11_000 / 9600))
  t.is(toLineTiming({ baudRate: 9600, parity: 'none', stopBits: 2 }).characterMs, 11_000 / 9600)
  t.is(toLineTiming({ baudRate: 115_200, parity: 'none', stopBits: 1 }).silenceMs, 1.75)
})
