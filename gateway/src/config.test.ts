import { WattError } from '@wattline/protocol'
import test from 'ava'
import { stringify } from 'yaml'
import { decodeConfig, loadConfig } from './config.ts'

const example = `
version: 1
gateway: { id: gw-1, dataDir: ./data/gateway }
buses:
  - { id: rs485-1, serial: { path: /dev/ttyUSB0, baudRate: 9600, parity: none, stopBits: 1 } }
  - { id: lan-1, tcp: { host: 127.0.0.1, port: 1502 } }         # Modbus TCP; rtuOverTcp: likewise
meters:
  - { id: roof, bus: rs485-1, unitId: 1, profile: eastron-sdm630, role: producer, intervalSeconds: 60 }
mqtt: { url: "mqtt://127.0.0.1:1883" }
ocpp: { host: 127.0.0.1, port: 9220 }                            # ws://host:port/<chargingStationId>
web: { host: 127.0.0.1, port: 8080 }
`

const problemsOf = (text: string): string[] => {
  try {
    decodeConfig(text, '/etc/gateway.yaml')
    return []
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    return error.message.split('\n').map((line) => line.replace('/etc/gateway.yaml: ', ''))
  }
}

/** The smallest configuration, with a change. */
const variant = (change: (config: Record<string, unknown>) => void) => {
  const config: Record<string, unknown> = {
    version: 1,
    gateway: { id: 'gw-1', dataDir: 'data' },
    buses: [{ id: 'lan', tcp: { host: 'h' } }],
    meters: [{ id: 'roof', bus: 'lan', unitId: 1, profile: 'eastron-sdm630', role: 'producer' }],
  }
  change(config)
  return stringify(config)
}

test('the example of the design works word for word, and is completed with the defaults', (t) => {
  const config = decodeConfig(example, '/etc/wattline/gateway.yaml')
  t.is(config.gateway.dataDir, '/etc/wattline/data/gateway')
  t.is(config.gateway.retentionDays, 400)
  t.is(config.gateway.maxOutboxMb, 2048)
  t.is(config.mqtt?.window, 300)
  t.like(config.ocpp, { host: '127.0.0.1', port: 9220, securityProfile: 0 })
  t.is(config.meters[0]?.maxPowerW, 54_338) // 63 A, three phases of 230 V, and a quarter more
})

test('the effective configuration is a configuration again', (t) => {
  const config = decodeConfig(example, '/etc/gateway.yaml')
  t.deepEqual(decodeConfig(stringify(config), '/elsewhere/gateway.yaml'), config)
})

test('unknown keys are refused at every level', (t) => {
  const problems = problemsOf(
    variant((config) => {
      config['surprise'] = 1
      config['gateway'] = { id: 'gw-1', dataDir: 'data', retentiondays: 3 }
      config['mqtt'] = { url: 'mqtt://h:1', qos: 2 }
    }),
  )
  t.deepEqual(
    problems.map((problem) => problem.split(':')[0]),
    ['gateway.retentiondays', 'mqtt.qos', 'surprise'],
  )
})

test('all problems are told at once, those of shape and those between the parts', (t) => {
  const problems = problemsOf(
    variant((config) => {
      config['version'] = 2
      config['buses'] = [
        { id: 'lan', tcp: { host: 'h' }, serial: { path: 'p' } },
        { id: 'lan', rtuOverTcp: { host: 'h' } },
        { id: 'none' },
      ]
      config['meters'] = [
        { id: 'a', bus: 'gone', unitId: 300, profile: 'p', role: 'producer', behind: 'b' },
        { id: 'b', bus: 'lan', unitId: 1, profile: 'p', role: 'turbine', behind: 'a' },
        { id: 'b', bus: 'lan', unitId: 1, profile: 'p', role: 'consumer', behind: 'nobody', intervalSeconds: 0.1 },
      ]
    }),
  )
  const paths = problems.map((problem) => problem.split(': ')[0])
  for (const path of [
    'version',
    'buses[0]',
    'buses[1].id',
    'buses[2]',
    'meters[0].unitId',
    'meters[0].bus',
    'meters[0].behind',
    'meters[1].role',
    'meters[1].behind',
    'meters[2].id',
    'meters[2].unitId',
    'meters[2].behind',
    'meters[2].intervalSeconds',
  ]) {
    t.true(paths.includes(path), `${path} in ${paths}`)
  }
})

test('a ring of parents is refused, also one of three and one of itself', (t) => {
  const meters = (pairs: [string, string | undefined][]) =>
    variant((config) => {
      config['meters'] = pairs.map(([id, behind], at) => ({
        ...{ id, bus: 'lan', unitId: at + 1, profile: 'p', role: 'consumer' },
        ...(behind === undefined ? {} : { behind }),
      }))
    })
  t.deepEqual(
    problemsOf(
      meters([
        ['a', 'b'],
        ['b', 'c'],
        ['c', undefined],
      ]),
    ),
    [],
  )
  t.is(
    problemsOf(
      meters([
        ['a', 'b'],
        ['b', 'c'],
        ['c', 'a'],
      ]),
    ).length,
    3,
  )
  t.deepEqual(problemsOf(meters([['a', 'a']])), ["meters[0].behind: 'a' stands behind itself"])
  // Whoever merely hangs on a ring is not the fault.
  t.is(
    problemsOf(
      meters([
        ['a', 'b'],
        ['b', 'b'],
      ]),
    ).length,
    1,
  )
})

test('a password never stands in the configuration', (t) => {
  const [problem] = problemsOf(variant((config) => (config['mqtt'] = { url: 'mqtt://me:secret@host' })))
  t.regex(problem ?? '', /^mqtt\.url: .*passwordFile/)
  t.notRegex(problem ?? '', /secret/)
})

test('what is limited by power takes it straight or from the fuse, not both', (t) => {
  const meter = (extra: object) =>
    variant((config) => {
      config['meters'] = [{ id: 'roof', bus: 'lan', unitId: 1, profile: 'p', role: 'producer', ...extra }]
    })
  const powerOf = (text: string) => decodeConfig(text, '/g.yaml').meters[0]?.maxPowerW
  t.is(powerOf(meter({ maxPowerW: 9000 })), 9000)
  t.is(powerOf(meter({ fuse: { amps: 16, phases: 1 } })), 4600)
  t.is(problemsOf(meter({ maxPowerW: 9000, fuse: { amps: 16, phases: 1 } })).length, 1)
})

test('a file that is missing, or is no YAML, is told with its name', (t) => {
  t.like(
    t.throws(() => loadConfig('/nowhere/gateway.yaml')),
    { code: 'config/unreadable' },
  )
  t.like(
    t.throws(() => decodeConfig('a: [', '/g.yaml')),
    { code: 'config/unreadable' },
  )
  t.like(
    t.throws(() => decodeConfig('a: 1\na: 2', '/g.yaml')),
    { code: 'config/unreadable' },
  )
})

test('files are found from the folder of the configuration', (t) => {
  const text = variant((config) => {
    config['buses'] = [{ id: 'lan', serial: { path: './ttySIM' } }]
    config['mqtt'] = { url: 'mqtts://h:8883', passwordFile: 'pw', tls: { caFile: 'ca.pem', keyFile: '/abs/key.pem' } }
  })
  const { buses, mqtt } = decodeConfig(text, '/etc/wattline/g.yaml')
  t.is(buses[0]?.serial?.path, '/etc/wattline/ttySIM')
  t.is(mqtt?.passwordFile, '/etc/wattline/pw')
  t.deepEqual(mqtt?.tls, { caFile: '/etc/wattline/ca.pem', keyFile: '/abs/key.pem' })
})

test('a grid of another kind is told as ranges, the lower end first', (t) => {
  const withGrid = (grid: object) =>
    variant((config) => {
      const [meter] = config['meters'] as object[]
      config['meters'] = [{ ...meter, grid }]
    })
  const { meters } = decodeConfig(withGrid({ voltageV: [250, 305] }), '/etc/gateway.yaml')
  t.deepEqual(meters[0]?.grid, { voltageV: [250, 305] })
  t.deepEqual(problemsOf(withGrid({ voltageV: [300, 250], frequencyHz: [50] })), [
    'meters[0].grid.voltageV: expected [from, to], the lower one first',
    'meters[0].grid.frequencyHz[1]: Invalid type: Expected number but received undefined',
  ])
})

test('meters of one SunSpec device share a unit id where each says which it is', (t) => {
  const meter = { bus: 'lan', unitId: 1, profile: 'sunspec-meter-203', role: 'consumer' }
  const problems = (...more: readonly object[]) =>
    problemsOf(
      variant((config) => {
        config['meters'] = more.map((one, i) => ({ id: `m${i}`, ...meter, ...one }))
      }),
    )
  const inverter = { profile: 'sunspec-inverter-103', role: 'producer', sunspecInstance: 1 }
  t.deepEqual(problems({ sunspecInstance: 1 }, { sunspecInstance: 2 }, inverter), [])
  t.deepEqual(problems({ sunspecInstance: 2 }, { sunspecInstance: 2 }), [
    "meters[1].unitId: sunspec-meter-203 2 of unit 1 on bus 'lan' is given twice",
  ])
  t.deepEqual(problems({}, {}), ["meters[1].unitId: unit 1 on bus 'lan' is given twice"])
})

test('what stations stand behind, and are compared with, are meters of this gateway', (t) => {
  const stations = (list: object[]) =>
    problemsOf(
      variant((config) => {
        config['ocpp'] = { host: '127.0.0.1', port: 0, stations: list }
      }),
    )
  const [meter] = variantMeters()
  t.deepEqual(
    stations([{ id: 'CP1', behind: meter, feederMeter: meter, connectors: [{ id: 1, maxPowerW: 11_000 }] }]),
    [],
  )
  const connectors = [
    { id: 1, behind: 'nobody' },
    { id: 1, owner: '' },
  ]
  t.deepEqual(
    stations([{ id: 'CP1', feederMeter: 'gone', connectors }])
      .map((problem) => problem.split(': ')[0])
      .toSorted(),
    [
      'ocpp.stations[0].connectors',
      'ocpp.stations[0].connectors[0].behind',
      'ocpp.stations[0].connectors[1].owner',
      'ocpp.stations[0].feederMeter',
    ],
  )
})

function variantMeters(): string[] {
  return decodeConfig(
    variant(() => {}),
    '/gateway.yaml',
  ).meters.map(({ id }) => id)
}
