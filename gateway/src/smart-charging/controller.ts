import { allocate, type Claim, type Limit } from './allocate.ts'
import { Charger, type ChargerEvent, type Outcome, smallestA } from './charger.ts'
import type { ProfileStyle } from './profile.ts'
import { Raises } from './raises.ts'
import { mapPhases, type PhaseCurrents, type Site } from './site.ts'
import { Solar } from './solar.ts'
import { Turns } from './turns.ts'

/** What is measured now; undefined where it could not be read, or is too old. */
export interface Measurements {
  readonly house: PhaseCurrents | undefined
  /** Of the feeders that have a meter. */
  readonly feeders: ReadonlyMap<string, PhaseCurrents | undefined>
}

/** One limit to tell a station. */
export interface Command {
  readonly charger: Charger
  readonly purpose: 'default' | 'active'
  readonly style: ProfileStyle
  readonly limitA: number
  /** Phases by which it is divided where it is told in W. */
  readonly phases: number
}

/** What a person wants to see. */
export interface SiteView {
  readonly measured: boolean
  /** What chargers may take together, by limit; what they may take at most by what they were told; what is used now. */
  readonly limits: readonly { readonly name: string; readonly limitA: number; readonly promisedA: number }[]
  readonly chargers: readonly ChargerView[]
}

export interface ChargerView {
  readonly key: string
  readonly active: boolean
  readonly offeredA: number
  readonly mostA: number
  readonly drawnA: PhaseCurrents
  readonly state: 'idle' | 'charging' | 'paused' | 'offline' | 'refuses' | 'ignores'
}

const chanceEveryMs = 600_000
const chanceMs = 90_000

/** Shares a site among its chargers. Has no clock and does nothing by itself: what it decides comes out of `step`. */
export class SiteController {
  readonly chargers: readonly Charger[]
  readonly #site: Site
  readonly #turns: Turns
  readonly #raises = new Raises()
  readonly #solar = new Solar()
  readonly #chances = new Map<Charger, { readonly nextMs: number; sinceMs: number | undefined }>()
  #view: SiteView = { measured: false, limits: [], chargers: [] }

  constructor(site: Site) {
    this.#site = site
    this.#turns = new Turns(site.rotationMinutes * 60_000)
    this.chargers = site.chargers.map((setup) => {
      const isAlone = site.chargers.filter(({ station }) => station === setup.station).length === 1
      return new Charger(setup, site.safeCurrentA, isAlone)
    })
  }

  get view(): SiteView {
    return this.#view
  }

  /** Takes what a charger told, or what its own meter shows. */
  hear(key: string, event: ChargerEvent, nowMs: number): void {
    this.chargers.find(({ setup }) => setup.key === key)?.hear(event, nowMs)
  }

  /** Decides what stations are told now. Each of them must come back by `answered`. */
  step(nowMs: number, measured: Measurements): readonly Command[] {
    for (const charger of this.chargers) charger.compliance.reconsider(nowMs)
    const active = this.chargers.filter((charger) => charger.isActive(nowMs))
    const limits = this.#limits(active, measured, nowMs)
    const wanted = this.#share(active, limits, measured, nowMs)
    const granted = this.#grant(active, wanted, limits, nowMs)
    this.#turns.served(active, (charger) => (granted.get(charger) ?? charger.heldA(nowMs)) > 0, nowMs)
    this.#look(active, limits, measured, nowMs)
    return this.chargers.flatMap((charger) => this.#tell(charger, granted.get(charger), nowMs))
  }

  /** Notes what became of a command. */
  answered(command: Command, outcome: Outcome, nowMs: number): void {
    command.charger.answered(outcome, nowMs)
  }

  // What is left for those who are managed: of the fuse, less what else flows through it, less the reserve.
  #limits(active: readonly Charger[], measured: Measurements, nowMs: number): readonly Limit[] {
    const { mainFuseA, reserveA, feeders, phases } = this.#site
    const drawn = new Map(active.map((charger) => [charger, charger.drawnNow(nowMs)]))
    const others = (seen: PhaseCurrents, members: readonly Charger[]) =>
      mapPhases((at) => (seen[at] ?? 0) - members.reduce((sum, one) => sum + (drawn.get(one)?.[at] ?? 0), 0))
    const limit = (name: string, atMostA: number, rest: PhaseCurrents, members: readonly Charger[]) =>
      phases.map((phase): Limit => {
        const weights = new Map(
          members.filter((one) => one.phases.includes(phase)).map((one) => [one.setup.key, 1] as const),
        )
        return { name: `${name} L${phase + 1}`, limitA: atMostA - reserveA - (rest[phase] ?? 0), weights }
      })
    const house = measured.house === undefined ? [] : limit('house', mainFuseA, others(measured.house, active), active)
    const below = feeders.flatMap(({ id, limitA, meter }) => {
      const members = active.filter(({ setup }) => setup.feeders.includes(id))
      const seen = measured.feeders.get(id)
      if (meter === undefined) return limit(id, limitA, [-reserveA, -reserveA, -reserveA], members)
      return seen === undefined ? [] : limit(id, limitA, others(seen, members), members)
    })
    const solar =
      measured.house === undefined ? [] : this.#solar.budget(active, { house: measured.house, drawn }, nowMs)
    return [...house, ...below, ...solar]
  }

  #isBlind({ setup }: Charger, measured: Measurements): boolean {
    const metered = this.#site.feeders.filter(({ id, meter }) => meter !== undefined && setup.feeders.includes(id))
    return measured.house === undefined || metered.some(({ id }) => measured.feeders.get(id) === undefined)
  }

  // Who cannot be told anything now keeps what it may be taking; the others share the rest.
  #share(active: readonly Charger[], limits: readonly Limit[], measured: Measurements, nowMs: number) {
    const shares = new Map<Charger, number>()
    const free: Charger[] = []
    let left = limits
    for (const charger of active) {
      if (this.#isBlind(charger, measured)) {
        // Nobody sees what happens: the safe current, and no more than it has now.
        shares.set(charger, Math.min(this.#safeA, charger.mostA(nowMs)))
        left = less(left, charger, charger.mostA(nowMs))
      } else if (charger.isControllable()) free.push(charger)
      else left = less(left, charger, charger.heldA(nowMs))
    }
    for (;;) {
      const given = allocate(this.#claims(free, nowMs), left)
      const stuck = free.find((one) => !one.compliance.canPause && given.get(one.setup.key) === 0)
      if (stuck === undefined) {
        for (const charger of free) shares.set(charger, given.get(charger.setup.key) ?? 0)
        return shares
      }
      // It cannot be paused, so the others must leave it its least.
      free.splice(free.indexOf(stuck), 1)
      shares.set(stuck, stuck.setup.minCurrentA)
      left = less(left, stuck, stuck.setup.minCurrentA)
    }
  }

  get #safeA(): number {
    return this.#site.safeCurrentA < smallestA ? 0 : this.#site.safeCurrentA
  }

  #claims(free: readonly Charger[], nowMs: number): readonly Claim[] {
    const inOrder = this.#solar.order(this.#turns.order(free, nowMs))
    return inOrder.map((charger) => {
      const { key, minCurrentA, stepsA, priority } = charger.setup
      const isIdle = charger.demand.isIdle(nowMs)
      const hasChance = isIdle && this.#hasChance(charger, nowMs)
      if (!isIdle) this.#chances.delete(charger)
      const usefulA = isIdle ? minCurrentA : charger.demand.usefulA(charger.offeredA(nowMs))
      // A vehicle that wants nothing gets its least after all others: so it can begin again, and blocks nobody.
      return { id: key, minA: minCurrentA, maxA: usefulA, stepsA, priority: isIdle && !hasChance ? -1 : priority }
    })
  }

  // Now and then it is offered something in earnest, when its turn comes: whether it wants any shows only then.
  #hasChance(charger: Charger, nowMs: number): boolean {
    const chance = this.#chances.get(charger) ?? { nextMs: nowMs + chanceEveryMs, sinceMs: undefined }
    this.#chances.set(charger, chance)
    if (nowMs < chance.nextMs) return false
    if (charger.offeredA(nowMs) > 0) chance.sinceMs ??= nowMs
    if (chance.sinceMs === undefined || nowMs - chance.sinceMs < chanceMs) return true
    this.#chances.set(charger, { nextMs: nowMs + chanceEveryMs, sinceMs: undefined })
    return false
  }

  // Less at once; more only after a while, and only out of what nobody may still be taking.
  #grant(active: readonly Charger[], wanted: ReadonlyMap<Charger, number>, limits: readonly Limit[], nowMs: number) {
    const granted = new Map<Charger, number>()
    const promised = new Map(active.map((charger) => [charger.setup.key, charger.mostA(nowMs)]))
    const room = (limit: Limit, slackA = 0) =>
      limit.limitA + slackA - sum([...limit.weights].map(([key, weight]) => weight * (promised.get(key) ?? 0)))
    const bound = (key: string) => limits.filter(({ weights }) => weights.has(key))
    const isTight = (key: string) => bound(key).some((limit) => room(limit, this.#site.reserveA / 2) < 0)
    for (const [charger, share] of wanted) {
      const { key } = charger.setup
      const now = Math.max(charger.offeredA(nowMs), charger.mostA(nowMs))
      const isTrifle = share > 0 && now - share < 0.5 && !isTight(key)
      const offeredA = charger.offeredA(nowMs)
      granted.set(charger, share < now && !isTrifle ? Math.min(share, offeredA) : offeredA)
    }
    for (const charger of this.#turns.order([...wanted.keys()], nowMs)) {
      const { key, minCurrentA, stepsA } = charger.setup
      const now = charger.offeredA(nowMs)
      const risen = this.#raises.next(charger, now, wanted.get(charger) ?? 0, nowMs)
      if (risen <= now || (granted.get(charger) ?? 0) < now) continue
      const spare = Math.min(...bound(key).map((limit) => room(limit) / (limit.weights.get(key) ?? 1)))
      const reach = Math.min(risen, (promised.get(key) ?? 0) + spare)
      const fits = stepsA === undefined ? Math.floor(reach * 10 + 1e-6) / 10 : (stepsA.findLast((a) => a <= reach) ?? 0)
      if (fits < minCurrentA || fits <= now) continue
      granted.set(charger, fits)
      promised.set(key, Math.max(fits, promised.get(key) ?? 0))
      this.#raises.done(charger)
    }
    return granted
  }

  #tell(charger: Charger, limitA: number | undefined, nowMs: number): readonly Command[] {
    const { compliance } = charger
    if (!charger.isControllable()) return []
    const isDefaultFirst = charger.needsDefault && compliance.defaultStyle !== undefined
    const style = isDefaultFirst ? compliance.defaultStyle : compliance.activeStyle()
    if (style === undefined) return []
    if (!isDefaultFirst) {
      const isDue = nowMs >= charger.refreshAtMs(this.#site.profileSeconds * 1000)
      const isNews = limitA !== undefined && (limitA !== charger.offeredA(nowMs) || charger.isInDoubt)
      if (limitA === undefined || !(isDue || isNews)) return []
    }
    const toldA = compliance.toldAs(isDefaultFirst ? this.#safeA : (limitA ?? 0))
    const phases = style.unit === 'W' ? charger.phases.length : charger.setup.phases.length
    const untilMs = nowMs + this.#site.profileSeconds * 1000
    const dividedBy = style.unit === 'W' ? phases : undefined
    charger.pending = {
      purpose: isDefaultFirst ? 'default' : 'active',
      style,
      offer: { limitA: toldA, untilMs, ...(dividedBy === undefined ? {} : { dividedBy }) },
      sentMs: nowMs,
    }
    return [{ charger, purpose: charger.pending.purpose, style, limitA: toldA, phases }]
  }

  #look(active: readonly Charger[], limits: readonly Limit[], measured: Measurements, nowMs: number): void {
    const most = new Map(active.map((charger) => [charger.setup.key, charger.mostA(nowMs)]))
    this.#view = {
      measured: measured.house !== undefined,
      limits: limits.map(({ name, limitA, weights }) => ({
        name,
        limitA,
        promisedA: sum([...weights].map(([key, weight]) => weight * (most.get(key) ?? 0))),
      })),
      chargers: this.chargers.map((charger) => ({
        key: charger.setup.key,
        active: charger.isActive(nowMs),
        offeredA: charger.offeredA(nowMs),
        mostA: charger.mostA(nowMs),
        drawnA: charger.drawnNow(nowMs),
        state: stateOf(charger, nowMs),
      })),
    }
  }
}

function stateOf(charger: Charger, nowMs: number): ChargerView['state'] {
  if (charger.version === undefined) return 'offline'
  if (charger.compliance.ignoresLimits) return 'ignores'
  if (!charger.compliance.obeys) return 'refuses'
  if (!charger.isActive(nowMs)) return 'idle'
  return charger.offeredA(nowMs) > 0 ? 'charging' : 'paused'
}

function less(limits: readonly Limit[], { setup }: Charger, ampere: number): readonly Limit[] {
  return limits.map((limit) => ({ ...limit, limitA: limit.limitA - ampere * (limit.weights.get(setup.key) ?? 0) }))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
