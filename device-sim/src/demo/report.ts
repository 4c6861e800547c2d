import { readFileSync } from 'node:fs'
import {
  formatOcmfText,
  type OcmfRecord,
  type ParsedOcmf,
  parseOcmfText,
  readingStates,
  verifyRange,
} from '@wattline/protocol'
import * as v from 'valibot'
import { parse } from 'yaml'
import { type GatewaySession, readCharging } from './charging-books.ts'
import type { House } from './house.ts'
import { keyAt, type PointKeys, readKeys } from './key-history.ts'
import { type LedgerPoint, type LedgerStorage, readLedger } from './ledger-books.ts'
import { runCommand } from './programs.ts'
import { type ChargerFacts, examineSessions, type SessionReport } from './session-report.ts'

/** One metering point's part of the report. A point with two registers counts net: export − import. */
export interface PointReport {
  readonly id: string
  readonly profile: string
  readonly role: string
  readonly firstRegisterWh: number
  readonly lastRegisterWh: number
  readonly records: number
  readonly receiptsUpTo: number
  readonly mintedWh: number
  readonly burnedWh: number
  /** Of a point with children: net that was neither burned nor may be minted, and readings not settled yet. */
  readonly carriedWh: number
  /** Of a charger: counted in a session that has not ended. */
  readonly openWh: number
  /** Of a storage: what went in and what came out, as the ledger booked it. No WATT. */
  readonly chargedWh: number
  readonly dischargedWh: number
  readonly publicKeySpki: string
}

/** What a run came to. */
export interface Report {
  readonly gatewayConfig: string
  readonly ledgerConfig: string
  readonly points: readonly PointReport[]
  /** Oldest first. */
  readonly sessions: readonly SessionReport[]
  readonly mintedWh: number
  readonly burnedWh: number
  /** Minted − burned: the sum of all owners' WATT and grid accounts. */
  readonly supplyWh: number
  /** Consumption that found no WATT. */
  readonly shortfallWh: number
  readonly carriedWh: number
  readonly quarantined: number
  readonly balanced: boolean
  /** Each thing that does not balance, in words. */
  readonly problems: readonly string[]
}

/** Sends what still waits, with the gateway stopped, for at most so many seconds. */
export async function drain(house: House, timeoutSeconds: number): Promise<void> {
  const args = ['drain', '--config', house.gatewayConfig, '--timeout', `${timeoutSeconds}`]
  const { code, stdout, stderr } = await runCommand('gateway', args)
  if (code !== 0) throw new Error(`the gateway did not drain: ${stderr}${stdout}`)
}

const meterSchema = v.object({
  id: v.string(),
  profile: v.string(),
  role: v.string(),
  behind: v.optional(v.string()),
})
const stationSchema = v.object({
  id: v.string(),
  behind: v.optional(v.string()),
  connectors: v.array(v.object({ id: v.number() })),
})
const configSchema = v.object({
  gateway: v.object({ id: v.string() }),
  meters: v.array(meterSchema),
  ocpp: v.optional(v.object({ stations: v.array(stationSchema) })),
})
type Config = v.InferOutput<typeof configSchema>
/** A metering point: a meter, or a connector of a charging station. */
interface Meter extends v.InferOutput<typeof meterSchema> {
  readonly place?: { readonly station: string; readonly connector: number }
}

interface PointFacts {
  readonly meter: Meter
  readonly report: PointReport
  /** Net Wh between the first sound register and the last. */
  readonly netWh: bigint
  readonly problems: readonly string[]
}

/** What the gateway's own commands print. */
interface Exhibits {
  readonly gatewayId: string
  readonly texts: readonly ParsedOcmf[]
  readonly keys: ReadonlyMap<string, string>
  /** By metering point: what keys it had, and when. */
  readonly histories: ReadonlyMap<string, PointKeys>
}

async function readExhibits({ gatewayConfig }: House, gatewayId: string): Promise<Exhibits> {
  const print = async (command: string) =>
    linesOf((await runCommand('gateway', [command, '--config', gatewayConfig])).stdout)
  const [texts, keys, certificates] = await Promise.all([print('export'), print('keys'), print('certificates')])
  return {
    gatewayId,
    texts: texts.map(parseOcmfText),
    keys: new Map(keys.map((line) => [line.split(' ')[0] ?? '', line.split(' ')[1] ?? ''])),
    histories: readKeys(certificates),
  }
}

/** Compares what the gateway signed with what the ledger booked, by the programs' own commands. */
export async function makeReport(house: House): Promise<Report> {
  const config = v.parse(configSchema, parse(readFileSync(house.gatewayConfig, 'utf8')))
  const [exhibits, { balances, quarantine, audit }, books] = await Promise.all([
    readExhibits(house, config.gateway.id),
    readLedger(house.ledgerConfig),
    config.ocpp === undefined ? { sessions: [], records: [] } : readCharging(house.gatewayConfig, house.ledgerConfig),
  ])
  const facts = [...config.meters, ...listChargers(config, books.sessions)].map((meter) => {
    const isOf = ({ point }: { readonly point: string }) => point === `${config.gateway.id}/${meter.id}`
    return examinePoint(exhibits, meter, { point: balances.points.find(isOf), storage: balances.storages.find(isOf) })
  })
  const charging = examineSessions(
    books,
    facts.flatMap((fact) => toChargerFacts(fact, config.gateway.id)),
  )
  const problems = [
    ...facts.flatMap((fact) => fact.problems),
    ...charging.problems,
    ...facts.flatMap((fact) => examineTree(fact, facts)),
    ...audit.faults.map(({ place, code, message }) => `${place}: ${code}: ${message}`),
    ...quarantine.messages.map(({ code, reason }) => `quarantine: ${code}: ${reason}`),
    ...(balances.balanced && balances.mintedWh - balances.burnedWh === balances.supplyWh ? [] : ['supply']),
    ...(audit.ok ? [] : ['the ledger does not verify']),
  ]
  return {
    gatewayConfig: house.gatewayConfig,
    ledgerConfig: house.ledgerConfig,
    points: facts.map(({ report }) => report),
    sessions: charging.sessions,
    mintedWh: Number(balances.mintedWh),
    burnedWh: Number(balances.burnedWh),
    supplyWh: Number(balances.supplyWh),
    shortfallWh: Number(balances.owners.reduce((sum, { gridWh }) => sum - gridWh, 0n)),
    carriedWh: facts.reduce((sum, { report }) => sum + report.carriedWh, 0),
    quarantined: quarantine.total,
    balanced: problems.length === 0,
    problems,
  }
}

// A charging point is named as the gateway does it (`<station>.<connector>`), and by the version that its station speaks.
function listChargers({ ocpp }: Config, sessions: readonly GatewaySession[]): readonly Meter[] {
  return (ocpp?.stations ?? []).flatMap(({ id, behind, connectors }) =>
    connectors.map((connector) => ({
      id: `${id}.${connector.id}`,
      profile: sessions.find(({ station }) => station === id)?.version ?? 'ocpp',
      role: 'charger',
      ...(behind === undefined ? {} : { behind }),
      place: { station: id, connector: connector.id },
    })),
  )
}

function toChargerFacts({ meter, netWh, report }: PointFacts, gatewayId: string): readonly ChargerFacts[] {
  const { id, place } = meter
  if (place === undefined) return []
  const { burnedWh, openWh } = report
  return [{ id, point: `${gatewayId}/${id}`, ...place, countedWh: Number(-netWh), burnedWh, openWh }]
}

/** What the ledger has of a metering point. */
interface Booked {
  readonly point: LedgerPoint | undefined
  readonly storage: LedgerStorage | undefined
}

function examinePoint(exhibits: Exhibits, meter: Meter, { point, storage }: Booked): PointFacts {
  const pointText = `${exhibits.gatewayId} ${meter.id}`
  const own = exhibits.texts.filter(({ record }) => record.template.pointText === pointText)
  const spki = exhibits.keys.get(meter.id) ?? ''
  const history = exhibits.histories.get(`${exhibits.gatewayId}/${meter.id}`)
  const range = verifyRange(
    own.map(({ payload, signature }) => formatOcmfText(payload, signature)),
    {
      pointText,
      keyOf: (epoch) => history && keyAt(history, epoch),
      firstSequence: 1,
      ...(history === undefined ? {} : { previousHash: history.first }),
    },
  )
  const sound = own.map(({ record }) => record).filter(isSound)
  const [first, last] = [sound[0], sound.at(-1)]
  const [firstWh, lastWh] = [first === undefined ? 0n : netOf(first), last === undefined ? 0n : netOf(last)]
  const records = own.length
  const expect = (fits: boolean, problem: string) => (fits ? [] : [`${meter.id}: ${problem}`])
  return {
    meter,
    netWh: lastWh - firstWh,
    report: {
      id: meter.id,
      profile: meter.profile,
      role: meter.role,
      firstRegisterWh: Number(takesOnly(meter) ? -firstWh : firstWh),
      lastRegisterWh: Number(takesOnly(meter) ? -lastWh : lastWh),
      records,
      receiptsUpTo: point?.sequence ?? 0,
      mintedWh: Number(point?.mintedWh ?? 0n),
      burnedWh: Number(point?.burnedWh ?? 0n),
      carriedWh: Number(point?.carriedWh ?? 0n),
      openWh: Number(point?.openWh ?? 0n),
      chargedWh: Number(storage?.chargedWh ?? 0n),
      dischargedWh: Number(storage?.dischargedWh ?? 0n),
      publicKeySpki: spki,
    },
    problems: [
      ...expect(range.ok, range.ok ? '' : `chain: ${range.message}`),
      ...expect(point?.records === records, `${records} records signed, ${point?.records ?? 0} accepted`),
      ...expect(point?.sequence === records, `receipts up to ${point?.sequence ?? 0} of ${records}`),
    ],
  }
}

function takesOnly({ role }: Meter): boolean {
  return role === 'consumer' || role === 'charger'
}

// A point without children books its own registers, a storage on accounts that are no WATT; what a session there has
// counted is booked with its end. One with children makes the whole tree come out at its own net.
function examineTree({ meter, netWh, report }: PointFacts, all: readonly PointFacts[]): string[] {
  const below = (id: string): PointFacts[] =>
    all.filter(({ meter: { behind } }) => behind === id).flatMap((child) => [child, ...below(child.meter.id)])
  const tree = below(meter.id)
  const bookedOf = (point: PointReport) => point.mintedWh - point.burnedWh - point.openWh
  const isRoot = meter.behind === undefined
  if (tree.length === 0) {
    const stored = report.dischargedWh - report.chargedWh
    const [booked, idle] = meter.role === 'storage' ? [stored, bookedOf(report)] : [bookedOf(report), stored]
    return booked === Number(netWh) && idle === 0
      ? []
      : [`${meter.id}: registers moved by ${netWh} Wh, ${booked} Wh were booked, and ${idle} Wh that must not be`]
  }
  if (!isRoot) return []
  const booked = tree.reduce((sum, fact) => sum + bookedOf(fact.report), bookedOf(report))
  const carried = [...tree, { report }].reduce((sum, fact) => sum + fact.report.carriedWh, 0)
  return booked + carried === Number(netWh)
    ? []
    : [`${meter.id}: net ${netWh} Wh, but ${booked} Wh were booked in its tree and ${carried} Wh are carried`]
}

function isSound({ state }: OcmfRecord): boolean {
  return readingStates[state].energy === 'sound'
}

function netOf({ registers }: OcmfRecord): bigint {
  return (registers.export ?? 0n) - (registers.import ?? 0n)
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}
