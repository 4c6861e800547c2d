import { setTimeout as sleep } from 'node:timers/promises'
import { readSessions } from '../src/demo/charging-books.ts'
import { freePorts, runJson } from '../src/demo/programs.ts'
import { drain, makeReport, type Report } from '../src/demo/report.ts'
import { makeRandom } from '../src/random.ts'
import { type ChargerId, ChargerLine, planVisits, startWh, stations } from './charger-line.ts'
import { CuttableLink } from './cuttable-link.ts'
import { OperatorCsms, type Received } from './operator-csms.ts'

export interface ChargerLoopOptions {
  readonly folder: string
  /** How often something is killed or cut. */
  readonly cuts: number
  readonly seed: number
  /** Which stations share a program, and are killed together: each program takes its time to start. */
  readonly groups: readonly (readonly ChargerId[])[]
  readonly say: (line: string) => void
}

/** What a run came to. */
export interface ChargerLoopReport {
  readonly seed: number
  readonly counts: Readonly<Record<string, number>>
  readonly sessions: number
  readonly bookedWh: number
  /** Messages that upstream got, and how many of these it got more than once. */
  readonly upstream: { readonly messages: number; readonly repeats: number }
  /** Each violation, in words. */
  readonly problems: readonly string[]
}

/** Long enough for any machine; who waits longer waits for something that was lost. */
const patienceMs = 120_000
const millijoulesPerWh = 3_600_000n

/**
 * Sessions at four stations of three versions, while gateway and stations are killed with SIGKILL and the lines to the
 * ledger and to the operator's CSMS are cut, at random. Then everything is let run until it is quiet, and what the
 * stations have counted is held against the gateway's sessions, the ledger's journal and what the operator got.
 */
export async function runChargerLoop({
  folder,
  cuts,
  seed,
  groups,
  say,
}: ChargerLoopOptions): Promise<ChargerLoopReport> {
  const random = makeRandom(seed)
  const [ocpp = 0, mqtt = 0] = await freePorts(2)
  const csms = await new OperatorCsms().start()
  const links = { ledger: await CuttableLink.open(mqtt), upstream: await CuttableLink.open(csms.port) }
  const ports = { ocpp, mqtt, ledgerLink: links.ledger.port, upstreamLink: links.upstream.port }
  const line = await ChargerLine.write(folder, ports)
  const counts: Record<string, number> = {}
  const charge = (group: readonly ChargerId[]) => line.startChargers(group, (id) => planVisits(id, random))
  try {
    await line.startLedger().event('ledger.started')
    await line.startGateway().event('ocpp.started')
    await Promise.all(groups.map((group) => charge(group).event('sim.started')))
    await sleep(1000)
    for (let cut = 0; cut < cuts; cut++) {
      await sleep(200 + random() * 1300)
      const what = pick(['gateway', 'charger', 'ledger link', 'upstream link'], random)
      counts[what] = (counts[what] ?? 0) + 1
      const awayMs = random() * 1500
      if (what === 'gateway') {
        await line.kill('gateway')
        await sleep(awayMs)
        line.startGateway()
      } else if (what === 'charger') {
        const group = pick(groups, random)
        await line.killChargers(group)
        await sleep(awayMs)
        charge(group)
      } else {
        const link = what === 'ledger link' ? links.ledger : links.upstream
        link.cut(random() < 0.5 ? 'reset' : 'silent')
        await sleep(awayMs * 2)
        link.heal()
      }
    }
    say(`seed ${seed}: ${JSON.stringify(counts)}`)
    await everyoneCame(line)
    // Whoever charges still loses the power, and tells it at the next start.
    for (const group of groups) {
      await line.killChargers(group)
      line.startChargers(group, () => [])
    }
    const late = await settle(line, csms)
    const aside = await putAside(line)
    await line.stop('gateway')
    await drain(line.house, 60)
    const report = await makeReport(line.house)
    const problems = [...late, ...aside, ...report.problems, ...csms.faults, ...examine(line, report, csms.received)]
    return {
      seed,
      counts,
      sessions: report.sessions.length,
      bookedWh: report.burnedWh,
      upstream: { messages: csms.received.length, repeats: csms.received.length - firstOfEach(csms.received).length },
      problems,
    }
  } finally {
    await line.close()
    await Promise.all([csms.stop(), links.ledger.close(), links.upstream.close()])
  }
}

function pick<T>(choices: readonly T[], random: () => number): T {
  const choice = choices[Math.floor(random() * choices.length)]
  if (choice === undefined) throw new Error('nothing to pick from')
  return choice
}

// However slow the machine is: a run without sessions would show nothing.
async function everyoneCame(line: ChargerLine): Promise<void> {
  const untilMs = performance.now() + patienceMs
  while (stations.some(({ id }) => line.keptBy(id).transactionsMade === 0)) {
    if (performance.now() > untilMs) throw new Error('there is a station where nobody could charge')
    await sleep(200)
  }
}

// Until each station has told everything, and upstream has the end of every transaction.
async function settle(line: ChargerLine, csms: OperatorCsms): Promise<string[]> {
  const untilMs = performance.now() + patienceMs
  for (;;) {
    const waiting = stations.flatMap(({ id }) => {
      const { queue, open, transactionsMade } = line.keptBy(id)
      const atStation = queue.length + open.length
      const above = transactionsMade - transactionsOf(csms.received, id).filter(({ ends }) => ends > 0).length
      return atStation === 0 && above <= 0 ? [] : [`${id}: ${atStation} wait at the station, ${above} do upstream`]
    })
    if (waiting.length === 0) {
      const sessions = await readSessions(line.house.gatewayConfig)
      if (sessions.every(({ isSettled }) => isSettled)) return []
    }
    if (performance.now() > untilMs) return waiting.length > 0 ? waiting : ['sessions are not settled']
    await sleep(200)
  }
}

async function putAside({ house }: ChargerLine): Promise<string[]> {
  const listed = await runJson('gateway', ['ocpp', 'stations', '--json', '--config', house.gatewayConfig])
  const views = listed as { id: string; upstream?: { aside: number } }[]
  return views.flatMap(({ id, upstream }) =>
    upstream?.aside === 0 ? [] : [`${id}: ${upstream?.aside ?? 'unknown how many'} messages were put aside upstream`],
  )
}

interface UpstreamTransaction {
  begins: number
  ends: number
  beginWh: number
  endWh: number
}

/** What upstream knows of a station's transactions, by their ids; a message that is sent again counts once. */
function transactionsOf(received: readonly Received[], identity: string): UpstreamTransaction[] {
  const found = new Map<unknown, UpstreamTransaction>()
  const of = (id: unknown) => {
    const known = found.get(id) ?? { begins: 0, ends: 0, beginWh: Number.NaN, endWh: Number.NaN }
    found.set(id, known)
    return known
  }
  for (const { action, payload, answer } of firstOfEach(received).filter((one) => one.identity === identity)) {
    if (action === 'TransactionEvent') {
      const { transactionId } = payload['transactionInfo'] as { transactionId: string }
      if (payload['eventType'] === 'Started') begin(of(transactionId), registerOf(payload))
      if (payload['eventType'] === 'Ended') end(of(transactionId), registerOf(payload))
    }
    if (action === 'StartTransaction') begin(of(answer['transactionId']), Number(payload['meterStart']))
    if (action === 'StopTransaction') end(of(payload['transactionId']), Number(payload['meterStop']))
  }
  return [...found.values()]
}

function begin(transaction: UpstreamTransaction, wh: number): void {
  transaction.begins += 1
  transaction.beginWh = wh
}

function end(transaction: UpstreamTransaction, wh: number): void {
  transaction.ends += 1
  transaction.endWh = wh
}

// OCPP 2.x: the register in a message, cut to whole watt-hours as everybody here does.
function registerOf(payload: Received['payload']): number {
  const values = (payload['meterValue'] ?? []) as { sampledValue: { measurand?: string; value: number }[] }[]
  const register = values
    .flatMap(({ sampledValue }) => sampledValue)
    .find(({ measurand = 'Energy.Active.Import.Register' }) => measurand === 'Energy.Active.Import.Register')
  return Math.floor(register?.value ?? Number.NaN)
}

/** Each message once: the same id is the same message, sent again because nobody heard the answer. */
function firstOfEach(received: readonly Received[]): readonly Received[] {
  const seen = new Set<string>()
  return received.filter(({ identity, messageId }) => {
    const key = `${identity} ${messageId}`
    return !seen.has(key) && seen.add(key)
  })
}

// The stations' own disks are the truth: what their meters have counted, and how many transactions they made.
function examine(line: ChargerLine, report: Report, received: readonly Received[]): string[] {
  return stations.flatMap(({ id, driver }) => {
    const { registers, transactionsMade } = line.keptBy(id)
    const movedWh = Number((registers['1'] ?? 0n) / millijoulesPerWh) - startWh
    const sessions = report.sessions.filter(({ station }) => station === id)
    const point = report.points.find((one) => one.id === `${id}.1`)
    const bookedWh = sessions.filter(({ state }) => state === 'booked').reduce((sum, { wh }) => sum + wh, 0)
    const upstream = transactionsOf(received, id)
    const told = (pairs: readonly (readonly [unknown, unknown])[]) => JSON.stringify(pairs.map(String).toSorted())
    const expect = (fits: boolean, problem: string) => (fits ? [] : [`${id}: ${problem}`])
    return [
      ...expect(sessions.length === transactionsMade, `${transactionsMade} sessions, ${sessions.length} are known`),
      ...expect(
        sessions.every((session) => session.state === 'booked' && session.completeness === 'complete'),
        `not all are complete and booked: ${JSON.stringify(sessions.filter(({ state }) => state !== 'booked'))}`,
      ),
      ...expect(
        sessions.every((session) => session.driver === driver),
        `a session is not ${driver}'s`,
      ),
      ...expect(bookedWh === movedWh, `its register moved by ${movedWh} Wh, ${bookedWh} Wh were booked to sessions`),
      ...expect(point?.burnedWh === movedWh, `its register moved by ${movedWh} Wh, ${point?.burnedWh} Wh were burned`),
      ...expect(
        upstream.every(({ begins, ends }) => begins === 1 && ends === 1),
        `upstream got begins and ends other than once: ${JSON.stringify(upstream)}`,
      ),
      ...expect(
        told(upstream.map(({ beginWh, endWh }) => [beginWh, endWh])) ===
          told(sessions.map(({ beginRegisterWh, endRegisterWh }) => [beginRegisterWh, endRegisterWh])),
        'upstream and the gateway know different sessions',
      ),
      ...expect(sameWhenRepeated(received, id), 'a message that was sent again had become another one'),
    ]
  })
}

function sameWhenRepeated(received: readonly Received[], identity: string): boolean {
  const texts = new Map<string, string>()
  return received
    .filter((one) => one.identity === identity)
    .every(({ messageId, action, payload }) => {
      const text = JSON.stringify([action, payload])
      const before = texts.get(messageId) ?? text
      texts.set(messageId, before)
      return before === text
    })
}
