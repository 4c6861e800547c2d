import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { runCommand } from '../src/demo/programs.ts'
import type { Report } from '../src/demo/report.ts'
import { type Exhibit, flipEveryByte, judges } from './judges.ts'

const main = fileURLToPath(new URL('../src/demo/main.ts', import.meta.url))

interface DemoRun {
  readonly report: Report
  readonly stdout: string
  readonly exhibits: readonly Exhibit[]
}

function runDemo(args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

let demo: DemoRun | undefined
test.before('the demo runs once', async (t) => {
  t.timeout(120_000)
  const path = join(mkdtempSync(join(tmpdir(), 'wattline-')), 'r.json')
  const { code, stdout, stderr } = await runDemo(['--duration', '8', '--report', path])
  t.is(code, 0, stdout + stderr)
  const report: Report = JSON.parse(readFileSync(path, 'utf8'))
  demo = { stdout, report, exhibits: await readExhibits(report) }
  rmSync(dirname(path), { recursive: true })
})
test.after.always(() => {
  if (demo !== undefined) rmSync(dirname(demo.report.gatewayConfig), { recursive: true })
})

async function readExhibits({ gatewayConfig, points }: Report): Promise<Exhibit[]> {
  const keys = new Map(points.map(({ id, publicKeySpki }) => [`gw-1 ${id}`, publicKeySpki]))
  const { stdout } = await runCommand('gateway', ['export', '--config', gatewayConfig])
  return linesOf(stdout).map((text) => ({ text, key: keys.get(/"CI":"([^"]+)"/.exec(text)?.[1] ?? '') ?? '' }))
}

const linesOf = (text: string) => text.split('\n').filter((line) => line !== '')

test('the demo balances, and its report says from what', (t) => {
  const { report, stdout } = demo!
  t.true(report.balanced)
  t.deepEqual(report.problems, [])
  t.is(report.quarantined, 0)
  t.is(report.supplyWh, report.mintedWh - report.burnedWh)
  const [house, roof, battery] = ['house', 'roof', 'battery'].map(
    (id) => report.points.find((point) => point.id === id)!,
  )
  t.is(roof!.mintedWh, roof!.lastRegisterWh - roof!.firstRegisterWh)
  t.true(roof!.mintedWh > 100)
  t.is(house!.mintedWh, 0)
  t.deepEqual([battery!.mintedWh, battery!.burnedWh], [0, 0])
  t.is(battery!.dischargedWh - battery!.chargedWh, battery!.lastRegisterWh - battery!.firstRegisterWh)
  t.true(battery!.dischargedWh + battery!.chargedWh > 0)
  const openWh = report.points.reduce((sum, point) => sum + point.openWh, 0)
  t.is(house!.lastRegisterWh - house!.firstRegisterWh, report.supplyWh + report.carriedWh - openWh)
  t.true(report.points.every(({ records, receiptsUpTo }) => records >= 5 && records === receiptsUpTo))
  t.regex(stdout, /point +role +state +register kWh +signed +waiting +receipt +minted kWh +burned kWh/)
})

test('sessions at chargers of both versions are booked once each, to their drivers; who charges still is told', (t) => {
  const { report, stdout } = demo!
  const chargers = report.points.filter(({ role }) => role === 'charger')
  t.deepEqual(
    chargers.map(({ id, profile }) => [id, profile]),
    [
      ['garage.1', 'ocpp1.6'],
      ['carport.1', 'ocpp2.0.1'],
    ],
  )
  for (const [station, driver] of [
    ['garage', 'ben'],
    ['carport', 'cleo'],
  ]) {
    const sessions = report.sessions.filter((session) => session.station === station)
    const booked = sessions.filter(({ state }) => state === 'booked')
    t.true(sessions.every((session) => session.driver === driver && ['booked', 'open'].includes(session.state)))
    t.true(booked.some(({ wh, completeness }) => wh > 0 && completeness === 'complete'))
    t.true(booked.every(({ wh, entry }) => (entry === undefined) === (wh === 0)))
    const point = chargers.find(({ id }) => id === `${station}.1`)!
    t.is(
      point.burnedWh,
      booked.reduce((sum, { wh }) => sum + wh, 0),
    )
    t.is(point.lastRegisterWh - point.firstRegisterWh, point.burnedWh + point.openWh)
  }
  t.regex(stdout, /session at +state +from +to +kWh/)
  t.regex(stdout, /session at garage\/1 by ben: [\d.]+ kWh, complete, booked as entry \d+/)
})

test('both marks of a session stand among the records that others verify', (t) => {
  const { report, exhibits } = demo!
  for (const { place, station, beginRecord, endRecord, state } of report.sessions) {
    const marks = exhibits
      .filter(({ text }) => text.includes(`"CI":"gw-1 ${station}.${place}"`) && /"PG":"T/.test(text))
      .map(({ text }) => [/"TX":"(.)"/.exec(text)?.[1], /"XE":(\d+),"XN":(\d+)/.exec(text)?.slice(1).join('/')])
    t.true(marks.some(([mark, at]) => mark === 'B' && beginRecord === `gw-1/${station}.${place}@${at}`))
    t.is(
      state === 'booked',
      marks.some(([mark, at]) => mark === 'E' && endRecord === `gw-1/${station}.${place}@${at}`),
    )
  }
})

test('its configs and data stay, and the commands work on them', async (t) => {
  const { gatewayConfig, ledgerConfig } = demo!.report
  t.is((await runCommand('ledger', ['verify', '--config', ledgerConfig, '--json'])).code, 0)
  t.is((await runCommand('gateway', ['--config', gatewayConfig, '--check-config'])).code, 0)
  const file = join(dirname(gatewayConfig), 'records.ocmf')
  const keys = join(dirname(gatewayConfig), 'keys.txt')
  writeFileSync(file, (await runCommand('gateway', ['export', '--config', gatewayConfig])).stdout)
  writeFileSync(keys, (await runCommand('gateway', ['keys', '--config', gatewayConfig])).stdout)
  const whole = await runCommand('verify', [file, '--keys', keys])
  t.is(whole.code, 0, whole.stdout + whole.stderr)
  const lines = readFileSync(file, 'utf8').split('\n')
  writeFileSync(file, lines.toSpliced(2, 1).join('\n'))
  const gap = await runCommand('verify', [file, '--keys', keys])
  t.is(gap.code, 1)
  t.regex(gap.stdout + gap.stderr, /missing/)
})

for (const judge of judges) {
  test(`promise 5: ${judge.name} accepts every record, and none with a flipped byte`, async (t) => {
    t.timeout(120_000)
    const { exhibits } = demo!
    t.true(exhibits.length >= 15)
    const verdicts = await judge.judge(exhibits)
    t.is(verdicts.filter(Boolean).length, exhibits.length)
    const flipped = flipEveryByte(exhibits[exhibits.length - 1]!)
    t.true(flipped.length > 400)
    t.deepEqual(
      (await judge.judge(flipped)).flatMap((accepted, i) => (accepted ? [flipped[i]] : [])),
      [],
    )
  })
}
