import { WattError } from '@wattline/protocol'
import test from 'ava'
import { parse } from 'yaml'
import { decodeSimConfig } from './decode-config.ts'
import { loadProfile } from './profiles.ts'

const decode = (text: string) => decodeSimConfig(parse(text), 'sim.yaml', loadProfile)

function problemsOf(text: string): string[] {
  try {
    decode(text)
  } catch (error) {
    if (error instanceof WattError && error.code === 'config/invalid') return error.message.split('\n')
    throw error
  }
  return []
}

const minimum = `
version: 1
lines: [ { id: rs485-1, path: ./ttySIM, baudRate: 9600, parity: none } ]     # a pty, linked at path
meters:
  - { id: roof, profile: eastron-sdm630, unitId: 1, line: rs485-1, curve: solar, seed: 7 }
  - { id: house, profile: eastron-sdm120, unitId: 2, tcp: { host: 127.0.0.1, port: 1502 }, curve: household, seed: 8 }
stations:
  - { id: CP1, ocpp: "1.6", url: "ws://127.0.0.1:9220" }
`

test('the published minimum is accepted, and filled up with defaults', (t) => {
  const { config, profiles } = decode(minimum)
  t.like(config.lines[0], { stopBits: 1, turnaroundMs: 5 })
  t.deepEqual(config.time, { speedUp: 1, startsAt: '2026-06-21T09:00:00Z' })
  t.deepEqual([...profiles.keys()], ['eastron-sdm630', 'eastron-sdm120'])
})

test('every problem is told at once, with its path', (t) => {
  const problems = problemsOf(`
version: 2
colour: red
lines:
  - { id: rs485-1, path: ./a, baudRate: 9 }
  - { id: l2, path: ./b }
  - { id: l2, path: ./b }
meters:
  - { id: roof, profile: eastron-sdm630, unitId: 300, line: rs485-1, curve: solar }
  - { id: house, profile: no-such-meter, unitId: 2, line: l9, curve: household, sees: [attic] }
  - { id: a, profile: eastron-sdm120, unitId: 3, line: l2, curve: household, serial: abc, sees: [b] }
  - { id: b, profile: eastron-sdm120, unitId: 3, line: l2, curve: household, sees: [a] }
  - { id: c, profile: eastron-sdm120, unitId: 4, line: l2, tcp: { host: h, port: 1 }, curve: grid, sees: [b] }
  - { id: d, profile: eastron-sdm120, unitId: 5, tcp: { host: h, port: 2 }, curve: grid }
  - { id: e, profile: eastron-sdm120, unitId: 6, rtuOverTcp: { host: h, port: 2 }, curve: grid }
faults:
  - { at: 1, kind: stuck, meter: nobody }
  - { at: 1, kind: late-answer, line: l2 }
  - { at: 1, kind: no-answer }
  - { at: 1, kind: no-answer, line: l7 }
  - { at: 1, kind: bad-crc, meter: d }
  - { at: 1, kind: meter-swapped, meter: d, toSerial: abc }
`)
  const expected = [
    /^sim.yaml: version: /,
    /^sim.yaml: colour: /,
    /^sim.yaml: lines\[0\].baudRate: /,
    /^sim.yaml: lines\[2\].id: l2 is taken/,
    /^sim.yaml: lines\[2\].path: .\/b is taken/,
    /^sim.yaml: meters\[0\].unitId: /,
    /^sim.yaml: meters\[1\].profile: no meter profile 'no-such-meter'/,
    /^sim.yaml: meters\[1\].line: no line 'l9'/,
    /^sim.yaml: meters\[1\].sees: no meter 'attic'/,
    /^sim.yaml: meters\[2\].serial: profile eastron-sdm120 has a serial number of 32 bits, got 'abc'/,
    /^sim.yaml: meters\[3\].unitId: unit 3 on line l2 is taken/,
    /^sim.yaml: meters\[3\].sees: sees itself/,
    /^sim.yaml: meters\[4\]: exactly one of line, tcp, rtuOverTcp expected/,
    /^sim.yaml: meters\[4\].sees: 'b' is already seen by 'a'/,
    /^sim.yaml: meters\[6\].port: h:2 is taken/,
    /^sim.yaml: faults\[0\].meter: no meter 'nobody'/,
    /^sim.yaml: faults\[1\].delayMs: /,
    /^sim.yaml: faults\[2\]: exactly one of meter, line expected/,
    /^sim.yaml: faults\[3\].line: no line 'l7'/,
    /^sim.yaml: faults\[4\].kind: Modbus TCP has no bad-crc, 'd' is not on a line/,
    /^sim.yaml: faults\[5\].toSerial: /,
  ]
  for (const pattern of expected)
    t.true(
      problems.some((line) => pattern.test(line)),
      `${pattern}\n${problems.join('\n')}`,
    )
})

test('problems of lines, settings and wiring faults are told with their path', (t) => {
  const problems = problemsOf(`
version: 1
lines:
  - { id: a, path: ./a, rtuOverTcp: { host: h, port: 1 } }
  - { id: b }
  - { id: c, path: ./c, parity: even }
  - { id: d, rtuOverTcp: { host: h, port: 2 } }
meters:
  - { id: m, profile: eastron-sdm120, unitId: 1, line: c, parity: odd, curve: solar }
  - { id: n, profile: eastron-sdm120, unitId: 2, line: c, curve: solar }
  - { id: o, profile: eastron-sdm120, unitId: 3, tcp: { host: h, port: 2 }, baudRate: 9600, curve: solar }
faults:
  - { at: 0, kind: ab-swapped, meter: o }
  - { at: 0, kind: duplicate-address, meter: m, of: o }
  - { at: 0, kind: duplicate-address, meter: m, of: m }
  - { at: 0, kind: ct-wrong-phase, meter: m }
  - { at: 0, kind: missing-termination, line: x }
  - { at: 0, kind: second-master, line: c }
`)
  const expected = [
    /^sim.yaml: lines\[0\]: exactly one of path, rtuOverTcp expected/,
    /^sim.yaml: lines\[1\]: exactly one of path, rtuOverTcp expected/,
    /^sim.yaml: lines\[2\]: even and odd parity on one pseudo-terminal/,
    /^sim.yaml: meters\[2\].port: h:2 is taken/,
    /^sim.yaml: meters\[2\]: baudRate, parity and stopBits belong to a meter on a line/,
    /^sim.yaml: faults\[0\].kind: ab-swapped needs a line, 'o' is not on one/,
    /^sim.yaml: faults\[1\].of: no other meter 'o' on the same line/,
    /^sim.yaml: faults\[2\].of: no other meter 'm' on the same line/,
    /^sim.yaml: faults\[3\].kind: ct-wrong-phase needs three phases, profile eastron-sdm120 has 1/,
    /^sim.yaml: faults\[4\].line: no line 'x'/,
    /^sim.yaml: faults\[5\].unitId: /,
  ]
  for (const pattern of expected) {
    t.true(
      problems.some((line) => pattern.test(line)),
      `${pattern}\n${problems.join('\n')}`,
    )
  }
  t.is(problems.length, expected.length, problems.join('\n'))
})

test('a meter set to odd and one that a fault sets to even do not fit on one pseudo-terminal, on a socket they do', (t) => {
  const config = (place: string) => `
version: 1
lines: [ { id: l, ${place} } ]
meters:
  - { id: m, profile: eastron-sdm120, unitId: 1, line: l, parity: odd, curve: solar }
  - { id: n, profile: eastron-sdm120, unitId: 2, line: l, curve: solar }
faults: [ { at: 0, kind: wrong-parity, meter: n, parity: even } ]
`
  t.is(problemsOf(config('path: ./a')).length, 1)
  t.deepEqual(problemsOf(config('rtuOverTcp: { host: h, port: 1 }')), [])
})

test('several meters may share a line, and a port', (t) => {
  t.deepEqual(
    problemsOf(`
version: 1
lines: [ { id: l, path: ./a } ]
meters:
  - { id: a, profile: eastron-sdm120, unitId: 1, line: l, curve: solar }
  - { id: b, profile: eastron-sdm120, unitId: 2, line: l, curve: battery }
  - { id: c, profile: eastron-sdm120, unitId: 1, tcp: { host: h, port: 2 }, curve: { constant: { powerW: -5 } } }
  - { id: d, profile: eastron-sdm120, unitId: 2, tcp: { host: h, port: 2 }, curve: grid, sees: [a, b] }
`),
    [],
  )
})

test('stations are checked as strictly as meters, and may be seen by one', (t) => {
  const station = '{ id: CP1, ocpp: "1.6", url: "ws://127.0.0.1:9220" }'
  const meter = 'profile: eastron-sdm120, unitId: 1, tcp: { host: h, port: 2 }, curve: grid'
  t.deepEqual(
    problemsOf(`{ version: 1, stations: [ ${station} ], meters: [ { id: feeder, ${meter}, sees: [CP1] } ] }`),
    [],
  )
  const problems = problemsOf(`
version: 1
meters: [ { id: CP1, ${meter} } ]
stations:
  - ${station}
  - { id: CP2, ocpp: "1.5", url: "http://h", colour: red, quirks: [polite] }
  - { id: CP3, ocpp: "2.1", url: "ws://h/", steps: [ { at: 1, do: dance } ] }
  - { id: CP4, ocpp: "2.1", url: "ws://h", steps: [ { at: 1, do: unplug, evse: 2 } ], drivers: [ { idToken: A, evse: 3 } ] }
`)
  for (const pattern of [
    /stations\[0\].id: CP1 is taken/,
    /stations\[1\].ocpp: /,
    /stations\[1\].url: /,
    /stations\[1\].colour: /,
    /stations\[1\].quirks\[0\]: /,
    /stations\[2\].url: /,
    /stations\[2\].steps\[0\].do: /,
    /stations\[3\].steps\[0\].evse: no EVSE 2/,
    /stations\[3\].drivers\[0\].evse: no EVSE 3/,
  ]) {
    t.true(
      problems.some((line) => pattern.test(line)),
      `${pattern}\n${problems.join('\n')}`,
    )
  }
})

test('what is no mapping at all is refused too', (t) => {
  t.is(problemsOf('just text').length, 1)
  t.is(problemsOf('').length, 1)
})
