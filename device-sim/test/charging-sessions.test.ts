import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { freePorts, Program, runJson } from '../src/demo/programs.ts'
import { makeTestFolder } from './line.ts'

interface Session {
  readonly station: string
  readonly wh: string
  readonly completeness: string
  readonly begin: { readonly registerWh: string }
  readonly end?: { readonly how: string; readonly registerWh: string }
}

const settings = {
  '1.6': '{ AllowOfflineTxForUnknownId: "true", StopTransactionOnInvalidId: "false", MeterValueSampleInterval: "20" }',
  '2.0.1':
    '{ AuthCtrlr.OfflineTxForUnknownIdEnabled: "true", TxCtrlr.StopTxOnInvalidId: "false", SampledDataCtrlr.TxUpdatedInterval: "20" }',
}

const station = (id: string, version: keyof typeof settings, startWh: number, url: string, endAt: number) => `
  - id: ${id}
    ocpp: "${version}"
    url: "${url}"
    evses: [ { startWh: ${startWh} } ]
    settings: ${settings[version]}
    steps:
      - { at: 0.2, do: plug-in }
      - { at: 0.3, do: present-card, idToken: CARD }
      - { at: ${endAt}, do: present-card, idToken: CARD }`

test('sessions begun without a gateway, and told to one that is killed meanwhile, are each there once with their energy', async (t) => {
  const folder = makeTestFolder(t)
  const [port = 0] = await freePorts(1)
  const [simFile, gatewayFile] = [join(folder, 'sim.yaml'), join(folder, 'gateway.yaml')]
  const url = `ws://127.0.0.1:${port}`
  writeFileSync(
    simFile,
    `version: 1
stations:${station('CP1', '1.6', 5000, url, 2.5)}${station('CP2', '2.0.1', 7000, url, 3)}
time: { speedUp: 60 }
`,
  )
  writeFileSync(
    gatewayFile,
    `version: 1
gateway: { id: gw-1, dataDir: ./data }
buses: [{ id: lan, tcp: { host: 127.0.0.1, port: 9 } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }]
ocpp: { host: 127.0.0.1, port: ${port} }
`,
  )
  const programs: Program[] = []
  t.teardown(() => Promise.all(programs.map((program) => program.stop('SIGKILL'))))
  const startProgram = (name: 'sim' | 'gateway', file: string) => {
    const program = new Program(name, ['--config', file])
    programs.push(program)
    return program
  }
  const sessions = async () =>
    (await runJson('gateway', ['ocpp', 'sessions', '--json', '--config', gatewayFile])) as Session[]

  const sim = startProgram('sim', simFile)
  for (const id of ['CP1', 'CP2']) {
    await sim.event((line) => line['station'] === id && line['do'] === 'present-card')
  }
  const first = startProgram('gateway', gatewayFile)
  await first.event('ocpp.station.connected')
  while ((await sessions()).length === 0);
  await first.stop('SIGKILL')
  startProgram('gateway', gatewayFile)
  let told = await sessions()
  while (told.length < 2 || told.some(({ end }) => end === undefined)) told = await sessions()
  await sim.stop()

  t.deepEqual(told.map((one) => one.station).toSorted(), ['CP1', 'CP2'])
  for (const { station: id, wh, completeness, begin, end } of told) {
    const register = sim.log.findLast((line) => line.event === 'sim.station.register' && line['station'] === id)
    const registerWh = Math.floor(Number(register?.['registerWh']))
    t.is(completeness, 'complete')
    t.is(begin.registerWh, id === 'CP1' ? '5000' : '7000')
    t.is(end?.how, 'stop')
    t.is(Number(end?.registerWh), registerWh)
    t.is(Number(wh), registerWh - Number(begin.registerWh))
    t.true(Number(wh) > 0)
  }
})
