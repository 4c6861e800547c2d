import type { OcppVersion } from '@wattline/protocol'
import { Compliance } from './compliance.ts'
import { Demand, type Sample } from './demand.ts'
import type { ProfileStyle } from './profile.ts'
import { type ChargerSetup, mapPhases, noCurrent, type PhaseCurrents } from './site.ts'

/** What a connector tells of itself. */
export type ConnectorStatus = 'free' | 'occupied' | 'charging' | 'suspended-ev' | 'suspended-evse'

export type ChargerEvent =
  | { readonly kind: 'connected'; readonly version: OcppVersion }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'booted' }
  | { readonly kind: 'status'; readonly status: ConnectorStatus }
  | { readonly kind: 'began'; readonly transactionId: string | undefined }
  | { readonly kind: 'ended' }
  /** Currents of the house's phases. */
  | { readonly kind: 'sample'; readonly currents: PhaseCurrents }

/** A limit that a station was told. When its time is over, it turns into the safe current by itself. */
export interface Offer {
  readonly limitA: number
  readonly untilMs: number
  /** Phases by which a limit in W was divided; absent where it was told in A. */
  readonly dividedBy?: number | undefined
}

/** What is under way to a station. */
export interface Pending {
  readonly purpose: 'default' | 'active'
  readonly style: ProfileStyle
  readonly offer: Offer
  readonly sentMs: number
}

/** What came back: an answer, or none. */
export type Outcome = 'accepted' | 'rejected' | 'unsupported' | 'lost'

/** IEC 61851-1: less than this is no current. */
export const smallestA = 6
/** A vehicle follows within 5 s (IEC 61851-1 table A.6); most do within two. */
const followsMs = 3_000
/** What a station told this long ago says nothing of now. */
const sampleAgeMs = 150_000
/** Some take so long to wake up when they are offered current again. */
const beginsMs = 30_000
/** A station that has not answered by then is taken to have heard nothing. */
const answersWithinMs = 2_000

/** What is known of one charger. Has no clock: every moment comes in. */
export class Charger {
  readonly setup: ChargerSetup
  readonly demand: Demand
  readonly compliance: Compliance
  version: OcppVersion | undefined
  status: ConnectorStatus = 'free'
  transaction: { readonly id: string | undefined; readonly sinceMs: number } | undefined
  pending: Pending | undefined
  /** The station keeps the safe current by itself. */
  hasDefault = false
  needsDefault = true
  readonly #safeA: number
  #told: Offer | undefined
  #doubts: readonly Offer[] = []
  #change: { readonly atMs: number; readonly fromA: number } | undefined

  constructor(setup: ChargerSetup, safeA: number, isAloneAtStation: boolean) {
    this.setup = setup
    this.#safeA = safeA
    this.demand = new Demand(setup)
    this.compliance = new Compliance(isAloneAtStation, setup.minCurrentA)
  }

  hear(event: ChargerEvent, nowMs: number): void {
    switch (event.kind) {
      case 'connected':
        this.version = event.version
        this.needsDefault = true
        this.compliance.forget()
        return
      case 'disconnected':
        this.version = undefined
        if (this.pending !== undefined) this.answered('lost', nowMs)
        return
      case 'booted':
        // Some forget their profiles when they start.
        this.hasDefault = false
        this.needsDefault = true
        this.#told = undefined
        return
      case 'status':
        this.status = event.status
        this.demand.heardStatus(event.status, nowMs)
        return
      case 'began':
        this.#begin(event.transactionId, nowMs)
        return
      case 'ended':
        this.transaction = undefined
        this.#told = undefined // a TxProfile ends with its transaction
        this.demand.forget()
        return
      case 'sample':
        this.#sampled(event.currents, nowMs)
    }
  }

  #begin(id: string | undefined, nowMs: number): void {
    if (this.transaction !== undefined && (id === undefined || this.transaction.id === id)) return
    const isNamedNow = this.transaction !== undefined && this.transaction.id === undefined
    if (isNamedNow) {
      this.transaction = { id, sinceMs: this.transaction?.sinceMs ?? nowMs }
      return
    }
    this.transaction = { id, sinceMs: nowMs }
    this.#told = undefined
    this.demand.forget()
  }

  #sampled(currents: PhaseCurrents, nowMs: number): void {
    const isSettled = nowMs - (this.#change?.atMs ?? Number.NEGATIVE_INFINITY) >= followsMs
    const sample: Sample = { currents, atMs: nowMs, offeredA: this.offeredA(nowMs), isSettled }
    this.demand.sampled(sample)
    if (isSettled) this.compliance.measured(Math.max(...currents), this.mostA(nowMs), nowMs)
  }

  /** Whether current may flow, or is waited for. */
  isActive(nowMs: number): boolean {
    const draws = this.demand.freshSample(nowMs, sampleAgeMs)?.currents.some((current) => current >= 1) ?? false
    if (this.status === 'free') return draws
    return draws || this.transaction !== undefined || this.status !== 'occupied'
  }

  /** Whether it can be told anything now. */
  isControllable(): boolean {
    return this.version !== undefined && this.pending === undefined && this.compliance.obeys
  }

  /** The current that it was told last and took; the safe one, where it was told nothing for this vehicle. */
  offeredA(nowMs: number): number {
    const told = this.#told
    const ampere = told === undefined || nowMs >= told.untilMs ? this.#safeA : told.limitA
    return ampere < smallestA ? 0 : ampere
  }

  /** The most that may flow in each of its phases, whatever was lost on the way. */
  mostA(nowMs: number): number {
    const { maxCurrentA } = this.setup
    const { obeys, ignoresLimits } = this.compliance
    if (ignoresLimits || !(obeys || this.hasDefault)) return maxCurrentA
    const byDefault = this.hasDefault ? this.#safeA : maxCurrentA
    const told = this.#told === undefined ? byDefault : this.#mostOf(this.#told, nowMs)
    const others = [...this.#doubts, ...(this.pending?.purpose === 'active' ? [this.pending.offer] : [])]
    const most = Math.max(told, ...others.map((offer) => this.#mostOf(offer, nowMs)))
    return most < smallestA ? 0 : Math.min(most, maxCurrentA)
  }

  /** What to leave to it while it cannot be told anything else: what is under way counts as heard for a moment. */
  heldA(nowMs: number): number {
    const { pending } = this
    if (this.version === undefined || pending === undefined) return this.mostA(nowMs)
    if (nowMs - pending.sentMs >= answersWithinMs) return this.mostA(nowMs)
    const ampere = pending.purpose === 'active' ? this.#mostOf(pending.offer, nowMs) : this.offeredA(nowMs)
    return ampere < smallestA ? 0 : ampere
  }

  /** Something was sent and never answered: it may hold or not. */
  get isInDoubt(): boolean {
    return this.#doubts.length > 0
  }

  // Watts that were meant for three phases may all flow through one.
  #mostOf({ limitA, untilMs, dividedBy }: Offer, nowMs: number): number {
    const ampere = nowMs < untilMs ? limitA : this.#safeA
    if (dividedBy === undefined) return ampere
    return (ampere * dividedBy) / (this.demand.phasesLearned?.length ?? 1)
  }

  /** The moment from which the station needs to hear of us again. */
  refreshAtMs(profileMs: number): number {
    return this.#told === undefined ? Number.NEGATIVE_INFINITY : this.#told.untilMs - profileMs / 2
  }

  /** The phases that its vehicle uses, as far as is known. */
  get phases(): readonly number[] {
    return this.demand.phasesLearned ?? this.setup.phases
  }

  /** What probably flows now, by the last sample and by what the station was told since. */
  drawnNow(nowMs: number): PhaseCurrents {
    const sample = this.demand.freshSample(nowMs, sampleAgeMs)
    if (this.version === undefined) return sample?.currents ?? noCurrent
    if (!this.isActive(nowMs) || this.demand.isQuiet) return noCurrent
    const sinceChangeMs = nowMs - (this.#change?.atMs ?? Number.NEGATIVE_INFINITY)
    const before = sinceChangeMs < followsMs ? (this.#change?.fromA ?? 0) : 0
    const offered = Math.max(this.offeredA(nowMs), before, this.isInDoubt ? this.mostA(nowMs) : 0)
    if (sample === undefined || sample.offeredA === 0) {
      // Nothing is known of what it takes when it may: it begins a while after it was told.
      const begins = this.status === 'charging' || sinceChangeMs < beginsMs
      return begins ? mapPhases((at) => (this.phases.includes(at) ? offered : 0)) : noCurrent
    }
    // A vehicle that took all it was offered takes the new offer too.
    const tookAll = this.demand.tookAll(sample)
    return mapPhases((at) => {
      const was = sample.currents[at] ?? 0
      if (!this.phases.includes(at) || was < 0.5) return was
      return tookAll && this.offeredA(nowMs) > sample.offeredA ? offered : Math.min(was, offered)
    })
  }

  /** Takes note of what came back for what was under way. */
  answered(outcome: Outcome, nowMs: number): void {
    const { pending } = this
    if (pending === undefined) return
    this.pending = undefined
    this.compliance.answered(pending, outcome, nowMs)
    if (outcome === 'lost' && pending.purpose === 'active') this.#doubts = [...this.#doubts, pending.offer].slice(-8)
    if (outcome !== 'accepted') return
    // Answers come in the order of the requests: what is accepted now stands in the place of all before.
    if (pending.purpose === 'active') this.#changeTo(pending.offer, nowMs)
    else {
      this.hasDefault = true
      this.needsDefault = false
      // It stands in the place of a limit of the moment that was told in the same form.
      const active = this.compliance.activeStyle(0)
      if (active?.purpose === pending.style.purpose) this.#changeTo(undefined, nowMs)
    }
  }

  #changeTo(offer: Offer | undefined, nowMs: number): void {
    const fromA = this.offeredA(nowMs)
    this.#told = offer
    this.#doubts = []
    if (this.offeredA(nowMs) !== fromA) this.#change = { atMs: nowMs, fromA }
  }
}
