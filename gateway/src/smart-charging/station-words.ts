import { fieldsOf } from '../ocpp/json-place.ts'
import type { OcppPayload } from '../ocpp/transaction-sink.ts'
import type { ChargerEvent, ConnectorStatus } from './charger.ts'
import { readStationSample, readTime, type StationSample } from './meter-values.ts'

/** What a station said, for one of its connectors. */
export type StationEvent =
  | { readonly connector: number; readonly event: Exclude<ChargerEvent, { readonly kind: 'sample' }> }
  | { readonly connector: number; readonly sample: StationSample }

/** OCPP 1.6 ChargePointStatus, OCPP 2.x ConnectorStatusEnumType and ChargingStateEnumType. */
const statuses: Readonly<Record<string, ConnectorStatus>> = {
  Available: 'free',
  Reserved: 'free',
  Unavailable: 'free',
  Faulted: 'free',
  Preparing: 'occupied',
  Finishing: 'occupied',
  Occupied: 'occupied',
  Charging: 'charging',
  SuspendedEV: 'suspended-ev',
  SuspendedEVSE: 'suspended-evse',
  EVConnected: 'occupied',
  Idle: 'occupied',
}

/** What was sent longer ago says nothing of now: some stations send hours later what they could not send before. */
const latestMs = 60_000
const clockSamples = 5
const smallestOffsetMs = 5_000

/** Understands one station: which transaction runs where, and how its clock stands. */
export class StationWords {
  readonly #phasesOf: (connector: number) => number | undefined
  readonly #transactions = new Map<string, number>()
  readonly #aheadMs: number[] = []
  readonly #heardStatus = new Set<number>()

  /** `phasesOf` gives how many phases a connector has, for those that matter. */
  constructor(phasesOf: (connector: number) => number | undefined) {
    this.#phasesOf = phasesOf
  }

  /** How far its clock is ahead of ours, in ms. What arrives late makes it look behind, so the most of late counts. */
  get clockAheadMs(): number {
    const most = Math.max(...this.#aheadMs)
    return Number.isFinite(most) && Math.abs(most) > smallestOffsetMs ? most : 0
  }

  hasStatus(connector: number): boolean {
    return this.#heardStatus.has(connector)
  }

  /** A new connection: what it says of its state comes anew. */
  forgetStatus(): void {
    this.#heardStatus.clear()
  }

  hear(action: string, payload: OcppPayload, answer: OcppPayload | undefined, nowMs: number): readonly StationEvent[] {
    const events = this.#read(action, payload, answer, nowMs)
    return events.filter((one) => this.#phasesOf(one.connector) !== undefined)
  }

  #read(action: string, payload: OcppPayload, answer: OcppPayload | undefined, nowMs: number): readonly StationEvent[] {
    switch (action) {
      case 'StatusNotification':
        return this.#status(payload, nowMs)
      case 'StartTransaction':
        return this.#start(payload, answer)
      case 'StopTransaction':
        return this.#ended(String(payload['transactionId']))
      case 'MeterValues':
        return this.#meterValues(payload, nowMs)
      case 'TransactionEvent':
        return this.#transactionEvent(payload, nowMs)
      default:
        return []
    }
  }

  #status(payload: OcppPayload, nowMs: number): readonly StationEvent[] {
    this.#noteClock(readTime(payload['timestamp']), nowMs)
    const connector = Number(payload['evseId'] ?? payload['connectorId'])
    const word = String(payload['connectorStatus'] ?? payload['status'])
    const status = statuses[word]
    this.#heardStatus.add(connector)
    // OCPP 2.x says no more than that somebody is there; the transaction says what happens.
    const isLess = word === 'Occupied' && [...this.#transactions.values()].includes(connector)
    return status === undefined || isLess ? [] : [{ connector, event: { kind: 'status', status } }]
  }

  #start(payload: OcppPayload, answer: OcppPayload | undefined): readonly StationEvent[] {
    const connector = Number(payload['connectorId'])
    const transactionId = answer?.['transactionId']
    // One that charges in spite of a refusal shows by its status and its currents.
    if (fieldsOf(answer?.['idTagInfo'])?.['status'] !== 'Accepted') return []
    return this.#began(String(transactionId), connector)
  }

  #began(transactionId: string, connector: number): readonly StationEvent[] {
    for (const [id, place] of this.#transactions) if (place === connector) this.#transactions.delete(id)
    this.#transactions.set(transactionId, connector)
    return [{ connector, event: { kind: 'began', transactionId } }]
  }

  #ended(transactionId: string): readonly StationEvent[] {
    const connector = this.#transactions.get(transactionId)
    this.#transactions.delete(transactionId)
    return connector === undefined ? [] : [{ connector, event: { kind: 'ended' } }]
  }

  #meterValues(payload: OcppPayload, nowMs: number): readonly StationEvent[] {
    const connector = Number(payload['evseId'] ?? payload['connectorId'])
    const { transactionId } = payload
    const isKnown = [...this.#transactions.values()].includes(connector)
    // The gateway was started while it charged. Some stations write 0 or -1 where they know none.
    const isNews = !isKnown && typeof transactionId === 'number' && transactionId > 0
    const sample = this.#sample(payload, connector, nowMs)
    const draws = sample.some((one) => 'sample' in one && one.sample.currents.some((current) => current >= 1))
    return [...(isNews && draws ? this.#began(String(transactionId), connector) : []), ...sample]
  }

  #transactionEvent(payload: OcppPayload, nowMs: number): readonly StationEvent[] {
    const { eventType, timestamp, offline } = payload
    const transaction = fieldsOf(payload['transactionInfo'])
    const id = String(transaction?.['transactionId'])
    const named = fieldsOf(payload['evse'])?.['id']
    const connector = typeof named === 'number' ? named : this.#transactions.get(id)
    if (eventType === 'Ended') return this.#ended(id)
    if (connector === undefined) return []
    const isNew = this.#transactions.get(id) !== connector
    const began = isNew ? this.#began(id, connector) : []
    if (offline === true) return began
    this.#noteClock(readTime(timestamp), nowMs)
    const status = statuses[String(transaction?.['chargingState'])]
    if (status !== undefined) this.#heardStatus.add(connector)
    const told: readonly StationEvent[] = status === undefined ? [] : [{ connector, event: { kind: 'status', status } }]
    return [...began, ...told, ...this.#sample(payload, connector, nowMs)]
  }

  #sample(payload: OcppPayload, connector: number, nowMs: number): readonly StationEvent[] {
    const sample = readStationSample(payload['meterValue'], this.#phasesOf(connector) ?? 0)
    if (sample === undefined) return []
    this.#noteClock(sample.claimedMs, nowMs)
    const agoMs = sample.claimedMs === undefined ? 0 : nowMs + this.clockAheadMs - sample.claimedMs
    return agoMs > latestMs ? [] : [{ connector, sample }]
  }

  #noteClock(claimedMs: number | undefined, nowMs: number): void {
    if (claimedMs === undefined) return
    this.#aheadMs.push(claimedMs - nowMs)
    if (this.#aheadMs.length > clockSamples) this.#aheadMs.shift()
  }
}
