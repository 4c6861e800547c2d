import { setTimeout as sleep } from 'node:timers/promises'
import { parseOcmfText, readingStateNames } from '@wattline/protocol'
import test from 'ava'
import { readLedger } from '../src/demo/ledger-books.ts'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'
import { fetchStatus, type PointStatus } from '../src/demo/status.ts'
import { judges } from './judges.ts'
import { makeTestFolder } from './line.ts'
import { MeterRow, type RowMeter } from './meter-row.ts'

const acc32Wh = 2n ** 32n
/** A float32 in kWh has steps of 2 kWh here. */
const coarseWh = 17_000_000_000n

/** What becomes of each meter on the second day, and the state that must come of it. */
const stories: readonly {
  readonly id: string
  readonly state: string
  readonly firstWh?: bigint
  readonly always?: Partial<RowMeter>
  readonly second?: (lastWh: bigint) => Partial<RowMeter>
}[] = [
  { id: 'steady', state: 'ok' },
  { id: 'silent', state: 'no-answer', second: () => ({ faults: [{ at: 0, kind: 'no-answer' }] }) },
  { id: 'valueless', state: 'read-error', second: () => ({ faults: [{ at: 0, kind: 'no-value' }] }) },
  { id: 'fallen', state: 'register-decreased', second: (lastWh) => ({ startWh: lastWh - 900_000n }) },
  { id: 'leapt', state: 'implausible-jump', second: (lastWh) => ({ startWh: lastWh + 50_000_000n }) },
  { id: 'swapped', state: 'meter-swapped', second: () => ({ startWh: 12n, serial: '20250001' }) },
  { id: 'stuck', state: 'frozen', second: () => ({ faults: [{ at: 1, kind: 'stuck' }] }) },
  { id: 'garbled', state: 'implausible-grid', second: () => ({ faults: [{ at: 0, kind: 'swapped-words' }] }) },
  // The grid is well; the second day's configuration says that it is another one.
  { id: 'foreign', state: 'implausible-grid', second: () => ({ grid: { voltageV: [250, 305] } }) },
  // At 111 Wh a second, the fuse allows one of its steps in seventeen.
  { id: 'coarse', state: 'too-coarse', firstWh: coarseWh, always: { maxPowerW: 400_000 } },
  {
    id: 'round',
    state: 'roll-over',
    firstWh: acc32Wh - 100_000n,
    always: { profile: 'sunspec-meter-203', maxPowerW: 100_000_000 },
    second: () => ({ startWh: 500n }),
  },
]
const accepted = ['leapt', 'swapped']

/** OCMF's own letters are enough to work out what counts; nothing of Wattline's code is asked. */
function countWh(texts: readonly string[]): bigint {
  let [total, last]: [bigint, bigint | undefined] = [0n, undefined]
  for (const text of texts) {
    const [reading] = JSON.parse(text.split('|')[1] ?? '').RD
    const { ST, EF, RV } = reading
    if (EF !== '' || RV === undefined) continue
    const register = BigInt(/"RV":(\d+)\.(\d{3})/.exec(text)?.slice(1).join('') ?? '')
    if (ST === 'G') total += register - (last ?? register)
    if (ST === 'O') total += register + acc32Wh - (last ?? register)
    last = register
  }
  return total
}

test('every state of a reading is signed, told and counted as it should be, through the real programs', async (t) => {
  t.timeout(240_000)
  const [mqtt = 0, web = 0, ...modbus] = await freePorts(2 + stories.length)
  const row = new MeterRow(makeTestFolder(t), { modbus, mqtt, web })
  const running: Program[] = []
  t.teardown(() => Promise.all(running.map((program) => program.stop())))
  const start = async (name: 'sim' | 'gateway' | 'ledger', config: string) => {
    const program = new Program(name, ['--config', config])
    running.push(program)
    await program.event(`${name}.started`)
    return program
  }
  const until = async (wanted: (points: readonly PointStatus[]) => boolean) => {
    for (;;) {
      const points = (await fetchStatus(row.webUrl))?.points ?? []
      if (points.length > 0 && wanted(points)) return points
      await sleep(100)
    }
  }
  const confirmed = (points: readonly PointStatus[]) =>
    points.every(({ state, receipt }) => ['ok', 'too-coarse'].includes(state ?? '') && (receipt?.sequence ?? 0) >= 4)
  const lastOf = (points: readonly PointStatus[], id: string) =>
    BigInt(points.find((point) => point.id === id)?.registers.importWh ?? 0)

  // The first day: all is well.
  const ledger = await start('ledger', row.ledgerConfig)
  row.write(stories.map(({ id, firstWh = 1_000_000n, always }) => ({ id, startWh: firstWh, ...always })))
  let sim = await start('sim', row.simConfig)
  let gateway = await start('gateway', row.gatewayConfig)
  let points = await until(confirmed)
  await gateway.stop()
  await sim.stop()

  // The second: each meter has its trouble. The gateway is there first, so that all are gone for a while.
  row.write(
    stories.map(({ id, always, second }) => {
      const startWh = lastOf(points, id)
      return { id, startWh, ...always, ...second?.(startWh) }
    }),
  )
  gateway = await start('gateway', row.gatewayConfig)
  const told = (id: string, state: string) =>
    gateway.event(({ event, point, to }) => event === 'point.state.changed' && point === `gw-1/${id}` && to === state)
  await Promise.all(stories.map(({ id }) => told(id, 'disconnected')))
  sim = await start('sim', row.simConfig)
  const lines = await Promise.all(stories.map(({ id, state }) => told(id, state)))
  for (const [at, { id, state }] of stories.entries()) {
    const isWell = ['ok', 'roll-over'].includes(state)
    t.is(typeof lines[at]?.['message'], isWell ? 'undefined' : 'string', `${id}: what a person can do`)
  }
  for (const id of accepted) {
    const { code } = await runCommand('gateway', ['accept-swap', '--config', row.gatewayConfig, '--meter', id])
    t.is(code, 0)
    await told(id, 're-based')
  }
  // Once the fuse can have carried a step, it counts.
  await gateway.event(({ point, from, to }) => point === 'gw-1/coarse' && from === 'too-coarse' && to === 'ok')
  const metrics = await (await fetch(`${row.webUrl}/metrics`)).text()
  for (const { id, state } of stories) {
    t.regex(metrics, new RegExp(`^wattline_readings_total\\{point="gw-1/${id}",state="${state}"\\} [1-9]`, 'm'))
    for (const other of readingStateNames) t.true(metrics.includes(`point="gw-1/${id}",state="${other}"`), other)
  }
  points = await until((all) => all.every(({ waiting, receipt }) => waiting < 8 && receipt !== undefined))
  await gateway.stop()
  await sim.stop()

  // The third: what was wrong is put right.
  const healed = ['silent', 'valueless', 'fallen', 'garbled', 'foreign', 'stuck']
  const goodWh = new Map<string, bigint>()
  for (const { id } of stories) {
    const texts = await exportTexts(id)
    const base = texts
      .map(parseOcmfText)
      .findLast(({ record }) => ['ok', 're-based', 'roll-over'].includes(record.state))
    goodWh.set(id, base?.record.registers.import ?? 0n)
  }
  row.write(
    stories.map(({ id, always }) => ({
      id,
      startWh: (goodWh.get(id) ?? 0n) + (healed.includes(id) ? 200n : 0n),
      ...always,
      ...(id === 'swapped' ? { serial: '20250001' } : {}),
    })),
  )
  sim = await start('sim', row.simConfig)
  gateway = await start('gateway', row.gatewayConfig)
  const before = new Map(points.map(({ id, receipt }) => [id, receipt?.sequence ?? 0]))
  await until(
    (all) => confirmed(all) && all.every(({ id, receipt }) => (receipt?.sequence ?? 0) > (before.get(id) ?? 0) + 20),
  )
  await gateway.stop()
  const drained = await runCommand('gateway', ['drain', '--config', row.gatewayConfig, '--timeout', '60'])
  t.is(drained.code, 0, drained.stderr)

  const books = await readLedger(row.ledgerConfig)
  t.deepEqual(books.audit.faults, [])
  t.true(books.balances.balanced)
  t.is(books.quarantine.total, 0)
  const key = new Map(points.map(({ id, publicKeySpki }) => [id, publicKeySpki]))
  const exhibits = new Map<string, { text: string; key: string }>()
  for (const { id, state } of stories) {
    const texts = await exportTexts(id)
    const states = texts.map((text) => parseOcmfText(text).record.state)
    t.true(states.includes('disconnected') && states.includes(state as never), id)
    t.is(states.includes('re-based'), accepted.includes(id), `${id}: an acceptance is a record, and nothing else is`)
    const booked = books.balances.points.find(({ point }) => point === `gw-1/${id}`)
    t.is(booked?.burnedWh, countWh(texts), `${id}: what the ledger burned`)
    if (!accepted.includes(id) && id !== 'round') {
      const registers = texts.map((text) => parseOcmfText(text).record).filter((record) => record.state === 'ok')
      const [first, last] = [registers[0]?.registers.import ?? 0n, registers.at(-1)?.registers.import ?? 0n]
      t.is(booked?.burnedWh, last - first, `${id}: last less first sound register`)
    }
    t.true((booked?.burnedWh ?? 0n) > 0n && (booked?.burnedWh ?? 0n) < 1_000_000n, `${id}: nothing invented`)
    for (const [at, text] of texts.entries()) exhibits.set(states[at] ?? '', { text, key: key.get(id) ?? '' })
  }
  t.deepEqual([...exhibits.keys()].toSorted(), [...readingStateNames].toSorted(), 'a signed record in every state')
  for (const judge of judges) {
    t.deepEqual([...new Set(await judge.judge([...exhibits.values()]))], [true], `${judge.name} accepts them all`)
  }
  await ledger.stop()

  async function exportTexts(id: string): Promise<string[]> {
    const args = ['export', '--config', row.gatewayConfig, '--meter', id]
    return (await runCommand('gateway', args)).stdout.split('\n').filter((text) => text !== '')
  }
})
