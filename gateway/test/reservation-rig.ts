import type { ExecutionContext } from 'ava'
import { makeSecret } from '../src/drivers/secrets.ts'
import type { Permit } from '../src/store/permits.ts'
import { type AnsweringStation, type DriversRig, startDrivers } from './drivers-rig.ts'

/** For tests: the place that is kept. */
export const place = { stationId: 'CP1', connectorId: 1 }
export const minute = 60_000
export const time = '2027-01-15T08:00:00Z'
/** The register that the next start tells: each is another one. */
export const meter = { next: 1000 }

/** A place that is kept, and its station. */
export interface Case {
  readonly rig: DriversRig
  readonly station: AnsweringStation
  readonly permit: Permit
  readonly version: string
}

function codeKey() {
  return { secret: makeSecret(), validitySeconds: 30, length: 8 }
}

/** Asks to begin with a token at a place; gives the station's answer in one word. */
export async function begin(
  { version, station }: Pick<Case, 'version' | 'station'>,
  token: string,
  connector = 1,
  more = {},
) {
  meter.next += 1
  if (version === 'ocpp1.6') {
    const start = { connectorId: connector, idTag: token, meterStart: meter.next, timestamp: time, ...more }
    return (await station.ask('StartTransaction', start))['idTagInfo'] as Info
  }
  const event = {
    eventType: 'Started',
    timestamp: time,
    triggerReason: 'Authorized',
    seqNo: 0,
    transactionInfo: { transactionId: `tx-${meter.next}` },
    idToken: { idToken: token, type: 'ISO14443' },
    evse: { id: connector, connectorId: 1 },
    ...more,
  }
  return (await station.ask('TransactionEvent', event))['idTokenInfo'] as Info
}

export interface Info {
  readonly status: string
  readonly parentIdTag?: string
  readonly groupIdToken?: { readonly idToken: string }
}

/** Asks about a token, as a station does before anything begins. */
export async function askAbout({ version, station }: Pick<Case, 'version' | 'station'>, token: string): Promise<Info> {
  const payload = version === 'ocpp1.6' ? { idTag: token } : { idToken: { idToken: token, type: 'ISO14443' } }
  const answer = await station.ask('Authorize', payload)
  return (answer['idTagInfo'] ?? answer['idTokenInfo']) as Info
}

/** What a refusal says: OCPP's word, or the code of an error. */
export async function told(work: Promise<unknown>): Promise<string> {
  try {
    const result = await work
    return typeof result === 'object' && result !== null ? String(Reflect.get(result, 'status')) : String(result)
  } catch (error) {
    return String(error instanceof Error ? Reflect.get(error, 'code') : error)
  }
}

/** For tests: a place that is kept for Anna for an hour, and opens to a code. */
export async function reserveForAnna(t: ExecutionContext, version: string): Promise<Case> {
  const rig = await startDrivers(t.teardown)
  const station = await rig.station(version)
  const until = rig.clock.nowMs + 60 * minute
  const { permit } = await rig.now.drivers.reserving.reserve(place, { driver: 'anna', code: codeKey() }, until)
  return { rig, station, permit, version }
}
