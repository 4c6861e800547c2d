import type { ChargingBooks, GatewaySession, LedgerRecord } from './charging-books.ts'

/** One charging session's part of the report. */
export interface SessionReport {
  readonly id: number
  readonly station: string
  /** The connector, in OCPP 2.x the EVSE. */
  readonly place: number
  readonly version: string
  /** Whose account pays; the site owner's where it is absent. */
  readonly driver?: string
  readonly beginRegisterWh?: number
  readonly endRegisterWh?: number
  readonly wh: number
  /** The entry of the ledger's journal that burned it. */
  readonly entry?: number
  /**
   * booked: it ended, and was burned once, by one entry or, where nothing was charged, by none. open: somebody charges
   * still. waiting: it ended, and messages of it are missing. uncounted: nothing may be billed, with the reason in
   * `ocpp sessions`.
   */
  readonly state: 'booked' | 'open' | 'waiting' | 'uncounted'
  readonly completeness: string
  /** What begin and end were signed as, as the ledger's `trace` takes it. */
  readonly beginRecord?: string
  readonly endRecord?: string
}

/** A charging point, as the gateway's records and the ledger's balances have it. */
export interface ChargerFacts {
  readonly id: string
  /** `<gateway>/<charging point>`. */
  readonly point: string
  readonly station: string
  readonly connector: number
  /** Between the first sound register that was signed and the last. */
  readonly countedWh: number
  readonly burnedWh: number
  /** Counted in a session that has not ended. */
  readonly openWh: number
}

export interface SessionExamination {
  readonly sessions: readonly SessionReport[]
  /** Each thing that is wrong, in words. */
  readonly problems: readonly string[]
}

/**
 * Holds what the gateway knows of its sessions against what the ledger booked: each that has ended exactly once, to its
 * driver; and each charger's register difference against sessions, owner and what is still open.
 */
export function examineSessions(
  { sessions, records }: ChargingBooks,
  chargers: readonly ChargerFacts[],
): SessionExamination {
  const booked = new Map(records.filter(({ kind }) => kind === 'session').map((record) => [record.place, record]))
  const reports = sessions.map((session) => toReport(session, booked.get(session.end?.record ?? '')))
  const claimed = new Set(reports.flatMap(({ entry }) => entry ?? []))
  const entries = records.flatMap(({ entry }) => entry ?? [])
  return {
    sessions: reports,
    problems: [
      ...sessions.flatMap((session) => examineSession(session, chargers, booked)),
      ...chargers.flatMap((charger) => examineCharger(charger, reports, records)),
      ...[...booked.values()]
        .filter(({ entry }) => entry === null || !claimed.has(entry))
        .map(({ place }) => `${place}: booked as a session that the gateway does not know`),
      ...repeated(sessions.flatMap(({ end }) => end?.record ?? [])).map((place) => `${place}: ends two sessions`),
      ...repeated(entries).map((entry) => `entry ${entry} stands for two records`),
    ],
  }
}

function toReport(session: GatewaySession, record: LedgerRecord | undefined): SessionReport {
  const { id, station, connector, version, driver, begin, end, wh, completeness } = session
  return {
    id,
    station,
    place: connector,
    version,
    ...(driver === undefined ? {} : { driver }),
    ...(begin.registerWh === undefined ? {} : { beginRegisterWh: begin.registerWh }),
    ...(end?.registerWh === undefined ? {} : { endRegisterWh: end.registerWh }),
    wh,
    ...(record?.entry === null || record === undefined ? {} : { entry: record.entry }),
    state: stateOf(session),
    completeness,
    ...(begin.record === undefined ? {} : { beginRecord: begin.record }),
    ...(end?.record === undefined ? {} : { endRecord: end.record }),
  }
}

function stateOf({ end, isSettled, begin, countedWh, wh }: GatewaySession): SessionReport['state'] {
  if (end === undefined) return 'open'
  if (!isSettled) return 'waiting'
  return begin.registerWh === undefined || countedWh !== wh ? 'uncounted' : 'booked'
}

// What was signed, and what was burned for it, to the watt-hour and from the right account.
function examineSession(
  session: GatewaySession,
  chargers: readonly ChargerFacts[],
  booked: ReadonlyMap<string, LedgerRecord>,
): string[] {
  const { station, connector, begin, end, wh } = session
  const charger = chargers.find((one) => one.station === station && one.connector === connector)
  if (charger === undefined) return [`session ${session.id}: ${station}/${connector} is no charging point`]
  const problem = (text: string) => [`session ${session.id} at ${charger.id}: ${text}`]
  const record = booked.get(end?.record ?? '')
  if (stateOf(session) !== 'booked') return record === undefined ? [] : problem('booked, though it may not be')
  if (begin.record === undefined || end?.record === undefined) return problem('ended, and not signed')
  const told = (end.registerWh ?? 0) - (begin.registerWh ?? 0)
  if (told !== wh) return problem(`${wh} Wh, but its registers differ by ${told} Wh`)
  if (record === undefined) return wh === 0 ? [] : problem(`${wh} Wh were not booked as a session`)
  const sumOf = (...accounts: readonly string[]) =>
    record.postings.reduce((sum, { account, amount }) => (accounts.includes(account) ? sum + amount : sum), 0)
  const payer = session.driver
  const paidWh = payer === undefined ? wh : -sumOf(`owner:${payer}`, `grid:${payer}`)
  const burnedWh = sumOf(`burned:${charger.point}`)
  return paidWh === wh && burnedWh === wh
    ? []
    : problem(`${wh} Wh, but ${burnedWh} Wh were burned, ${paidWh} Wh from ${payer ?? 'the owner'}`)
}

function examineCharger(
  { id, point, station, connector, countedWh, burnedWh, openWh }: ChargerFacts,
  sessions: readonly SessionReport[],
  records: readonly LedgerRecord[],
): string[] {
  const ofSessions = sessions
    .filter((one) => one.station === station && one.place === connector && one.state === 'booked')
    .reduce((sum, { wh }) => sum + wh, 0)
  const ofOwner = records
    .filter((record) => record.point === point && record.kind === 'claim')
    .flatMap(({ postings }) => postings)
    .reduce((sum, { account, amount }) => (account === `burned:${point}` ? sum + amount : sum), 0)
  const parts = `${ofSessions} Wh of sessions, ${ofOwner} Wh of the owner's and ${openWh} Wh that are open`
  return ofSessions + ofOwner === burnedWh && burnedWh + openWh === countedWh
    ? []
    : [`${id}: its register moved by ${countedWh} Wh, ${burnedWh} Wh were burned: ${parts}`]
}

function repeated<T>(values: readonly T[]): readonly T[] {
  return values.filter((value, at) => values.indexOf(value) < at)
}
