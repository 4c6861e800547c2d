import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { TestCsms } from '../src/charging-station/test-csms.ts'

const launcher = fileURLToPath(new URL('../bin/wattline-sim', import.meta.url))
const root = fileURLToPath(new URL('../../', import.meta.url))

type Line = Readonly<Record<string, unknown>>

/** The simulator as a process of its own, and everything that it says. */
function startSim(t: ExecutionContext, path: string) {
  const child: ChildProcess = spawn(launcher, ['--config', path], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: Line[] = []
  let wake = () => {}
  if (child.stdout === null) throw new Error('no stdout')
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(JSON.parse(line))
    wake()
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const until = async (find: (lines: readonly Line[]) => Line | undefined): Promise<Line> => {
    for (;;) {
      const line = find(lines)
      if (line !== undefined) return line
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { child, lines, until, exited }
}

function writeConfig(t: ExecutionContext, csms: TestCsms, station: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'station-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'sim.yaml')
  writeFileSync(join(folder, 'password'), 'let-the-station-in\n')
  writeFileSync(
    path,
    `version: 1
meters:
  - { id: feeder, profile: eastron-sdm630, unitId: 1, tcp: { host: 127.0.0.1, port: 0 }, curve: grid, sees: [CP1], startWh: 0 }
stations:
  - { id: CP1, url: "${csms.url}", passwordFile: ./password, evses: [ { startWh: 5000 } ], ${station} }
time: { speedUp: 60 }
`,
  )
  return path
}

async function startCsms(t: ExecutionContext): Promise<TestCsms> {
  const csms = await new TestCsms({ password: 'let-the-station-in' }).start()
  t.teardown(() => csms.stop())
  return csms
}

const registerLine = (lines: readonly Line[]) => lines.findLast(({ event }) => event === 'sim.station.register')

test('the simulator runs a station: a driver charges, the feeder meter sees the same energy, no card is logged', async (t) => {
  const csms = await startCsms(t)
  const drivers = 'drivers: [ { idToken: SECRETCARD, firstAt: 0.01, staySeconds: 2, vehicle: { maxCurrentA: 32 } } ]'
  const settings = 'settings: { AllowOfflineTxForUnknownId: "true" }' // the card is there before the line
  const { child, lines, until, exited } = startSim(t, writeConfig(t, csms, `ocpp: "1.6", ${settings}, ${drivers}`))
  await csms.until(() => csms.of('StopTransaction').length === 1)
  await until((all) => all.find(({ event, status }) => event === 'sim.station.status' && status === 'Finishing'))
  child.kill('SIGTERM')
  await exited
  const [start] = csms.of('StartTransaction')
  const [stop] = csms.of('StopTransaction')
  t.is(start?.params['meterStart'], 5000)
  const registerWh = Number(registerLine(lines)?.['registerWh'])
  t.is(stop?.params['meterStop'], Math.floor(registerWh))
  t.true(registerWh > 5000)
  const feeder = lines.findLast(({ event, meter }) => event === 'sim.meter.registers' && meter === 'feeder')
  t.is(Number(feeder?.['importedWh']).toFixed(3), (registerWh - 5000).toFixed(3))
  t.false(JSON.stringify(lines).includes('SECRETCARD'))
  t.false(JSON.stringify(lines).includes('let-the-station-in'))
})

test('killed in a session and started again, the station ends it with what its register has kept', async (t) => {
  const csms = await startCsms(t)
  const steps = 'steps: [ { at: 0.01, do: plug-in }, { at: 0.02, do: present-card, idToken: CARD } ]'
  const settings =
    'settings: { SampledDataCtrlr.TxUpdatedInterval: "1", AuthCtrlr.OfflineTxForUnknownIdEnabled: "true" }'
  const path = writeConfig(t, csms, `ocpp: "2.0.1", ${settings}, ${steps}`)
  const first = startSim(t, path)
  const events = (type: string) => csms.of('TransactionEvent').filter(({ params }) => params['eventType'] === type)
  const register = ({ params }: { params: object }) =>
    Number(/"Energy.Active.Import.Register","value":([\d.]+)/.exec(JSON.stringify(params))?.[1])
  await csms.until(() => events('Updated').filter((event) => register(event) > 5000).length >= 2)
  first.child.kill('SIGKILL')
  await first.exited
  const told = Math.max(...events('Updated').map(register).filter(Number.isFinite))
  const second = startSim(t, path)
  await csms.until(() => events('Ended').length === 1)
  second.child.kill('SIGTERM')
  await second.exited
  const [ended] = events('Ended')
  t.regex(JSON.stringify(ended?.params), /"stoppedReason":"PowerLoss"/)
  t.true(register(ended ?? { params: {} }) >= told)
  t.true(told > 5000)
})
