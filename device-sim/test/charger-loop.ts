import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from '../src/demo/programs.ts'
import { makeReport, type Report } from '../src/demo/report.ts'
import { fetchStatus } from '../src/demo/status.ts'
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
const worstMomentMs = 2_000
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
  const [ocpp = 0, mqtt = 0, web = 0] = await freePorts(3)
  const csms = await new OperatorCsms().start()
  const links = { ledger: await CuttableLink.open(mqtt), upstream: await CuttableLink.open(csms.port) }
  const ports = { ocpp, mqtt, web, ledgerLink: links.ledger.port, upstreamLink: links.upstream.port }
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
      const what = pick<Victim>(['gateway', 'charger', 'ledger link', 'upstream link'], random)
      counts[what] = (counts[what] ?? 0) + 1
      await disturb(what, { line, links, csms, groups, random })
    }
    say(`seed ${seed}: ${JSON.stringify(counts)}`)
    await everyoneCame(line)
    // Whoever charges still loses the power, and tells it at the next start.
    for (const group of groups) {
      await line.killChargers(group)
      line.startChargers(group, () => [])
    }
    const late = await settle(line)
    await line.stop('gateway')
    const report = await makeReport(line.house)
    const problems = [...late, ...report.problems, ...csms.faults, ...examine(line, report, csms.received)]
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

type Victim = 'gateway' | 'charger' | 'ledger link' | 'upstream link'

interface Scene {
  readonly line: ChargerLine
  readonly links: { readonly ledger: CuttableLink; readonly upstream: CuttableLink }
  readonly csms: OperatorCsms
  readonly groups: ChargerLoopOptions['groups']
  readonly random: () => number
}

// Kills or cuts, waits a moment, and lets it go on.
async function disturb(what: Victim, { line, links, csms, groups, random }: Scene): Promise<void> {
  const awayMs = random() * 1500
  // Half of the time at the worst moment: upstream has a message, and its answer is lost.
  const now = async (run: () => void) => {
    if (random() < 0.5) run()
    else await csms.atNextMessage(run, worstMomentMs)
  }
  if (what === 'charger') {
    const group = pick(groups, random)
    await line.killChargers(group)
    await sleep(awayMs)
    line.startChargers(group, (id) => planVisits(id, random))
  } else if (what === 'gateway') {
    let ended = Promise.resolve()
    await now(() => {
      ended = line.kill('gateway')
    })
    await ended
    await sleep(awayMs)
    line.startGateway()
  } else {
    const link = what === 'ledger link' ? links.ledger : links.upstream
    const manner = random() < 0.5 ? 'reset' : 'silent'
    await now(() => link.cut(manner))
    await sleep(awayMs * 2)
    link.heal()
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

// Until each station has told everything, upstream has answered it, and the ledger has given its receipts.
async function settle(line: ChargerLine): Promise<readonly string[]> {
  const untilMs = performance.now() + patienceMs
  for (;;) {
    const atStations = stations.flatMap(({ id }) => {
      const { queue, open } = line.keptBy(id)
      return queue.length + open.length === 0 ? [] : [`${id}: ${queue.length} messages wait at the station`]
    })
    const left = atStations.length > 0 ? atStations : await leftAtGateway(line.house.webUrl)
    if (left.length === 0 || performance.now() > untilMs) return left
    await sleep(200)
  }
}

async function leftAtGateway(webUrl: string): Promise<readonly string[]> {
  const status = await fetchStatus(webUrl)
  if (status === undefined) return ['the gateway does not answer']
  const figures = await (await fetch(`${webUrl}/metrics`)).text()
  const upstream = stations.flatMap(({ id }) =>
    ['waiting', 'aside'].flatMap((state) => {
      const figure = new RegExp(`wattline_upstream_messages\\{station="${id}",state="${state}"\\} (\\d+)`).exec(figures)
      return figure?.[1] === '0' ? [] : [`${id}: ${figure?.[1] ?? 'unknown how many'} messages ${state} upstream`]
    }),
  )
  const records = status.points.flatMap(({ id, waiting }) =>
    waiting === 0 ? [] : [`${id}: ${waiting} records wait for the ledger`],
  )
  return [...upstream, ...records]
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
