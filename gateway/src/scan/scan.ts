import { makeTransport } from '../modbus/bus-config.ts'
import type { SerialFormat } from '../modbus/rtu-framing.ts'
import { diagnose } from './diagnosis.ts'
import { type Identity, identify } from './identify.ts'
import type { LineEvidence, UnitEvidence } from './line-evidence.ts'
import { LineProber } from './line-prober.ts'
import { LineTally } from './line-tally.ts'
import { checkLink, type LinkCheck } from './link-check.ts'
import { toPhases } from './plausibility.ts'
import { fullSearch, ladder, likelyFormats, type ScanStep, stepMs, sweep } from './scan-plan.ts'
import type { FoundDevice, ScanOptions, ScanResult } from './scan-result.ts'
import { TurnRecorder } from './traffic.ts'
import { UnitReader } from './unit-reader.ts'

interface Session {
  readonly format: SerialFormat | undefined
  readonly tally: LineTally
}

interface Presence {
  readonly unitId: number
  readonly session: Session
  /** Whether a whole answer came, and not only bytes. */
  clean: boolean
  waitMs: number
}

interface Examined extends LinkCheck {
  readonly identity?: Identity
}

const againMs = 300
const againTries = 3
const slowWaitMs = 3000
const readWaitMs = 200
const listenMs = 1500
const lingerMs = 100
const socketWaitMs = 300
/** About what identifying and checking one device takes. */
const examineMs = 2500

/** Finds what hangs on one bus, what it is, and what is wrong. Nothing is ever written to a device. */
export function scanBus(options: ScanOptions): Promise<ScanResult> {
  return new BusScan(options).run()
}

class BusScan {
  readonly #options: ScanOptions
  readonly #sessions = new Map<string, Session>()
  readonly #present = new Map<number, Presence>()
  readonly #examined = new Map<number, Examined>()
  readonly #startedAt: number
  #searchedAll = false
  #progress: { stage: string; done: number; total: number; restMs: number } = {
    stage: '',
    done: 0,
    total: 0,
    restMs: 0,
  }

  constructor(options: ScanOptions) {
    this.#options = options
    this.#startedAt = options.scheduler.now()
  }

  async run(): Promise<ScanResult> {
    const { abort } = this.#options
    try {
      await this.#search()
      await this.#examineAll()
    } catch (error) {
      // What was found so far is worth having.
      if (!abort.aborted) throw error
    }
    return this.#conclude()
  }

  async #search(): Promise<void> {
    if (this.#options.bus.serial === undefined) return await this.#searchSocket()
    const { profiles, meters, quick, settingsKnown } = this.#options
    const format = this.#expectedFormat
    const unitIds = meters.map(({ unitId }) => unitId)
    const rungs = ladder(profiles.values(), { ...(format === undefined ? {} : { format }), unitIds })
    // What the config says gets the most patience: a slow device must not be heard at those that follow.
    const patient = settingsKnown ? rungs.slice(0, 1) : []
    if (!(await this.#walk('likely settings', patient, false))) {
      await this.#walk('likely settings', rungs.slice(patient.length), true)
    }
    // Also where bytes came that were no answer: somebody is there.
    if (this.#present.size > 0) return await this.#sweepFound()
    // Every question brings the line's level, and nothing else: no setting will change that.
    if (this.#isHeld) return
    const likely = likelyFormats(profiles.values(), format)
    for (const one of quick ? likely.slice(0, 1) : likely) {
      if (await this.#walk('every unit id', sweep(one), false)) return await this.#searchMissing(rungs)
    }
    const tried = quick ? likely.slice(0, 1) : likely
    const [low, wide] = fullSearch(tried, unitIds)
    if (await this.#walk('every setting, low unit ids', low, true)) return await this.#sweepFound()
    if (quick) return
    if (await this.#walk('every setting, every unit id', wide, true)) return await this.#sweepFound()
    this.#searchedAll = true
  }

  // Behind a socket the line's settings are the converter's.
  async #searchSocket(): Promise<void> {
    const format: SerialFormat = { baudRate: 9600, parity: 'none', stopBits: 1 }
    const [low, high] = sweep(format)
    const unitIds = [...(low?.unitIds ?? []), ...(high?.unitIds ?? [])]
    await this.#walk('every unit id', [{ format, unitIds, waitMs: socketWaitMs }], false)
    this.#searchedAll = true
  }

  #isSpoiling(format: SerialFormat): boolean {
    return [...this.#session(format).tally.units.values()].some(({ garbled }) => garbled > 0)
  }

  get #isHeld(): boolean {
    const tallies = [...this.#sessions.values()].map(({ tally }) => tally)
    const sum = (pick: (tally: LineTally) => number) => tallies.reduce((total, tally) => total + pick(tally), 0)
    const levels = sum(({ levelBytes }) => levelBytes)
    return levels > 0.8 * sum(({ requests }) => requests) && levels > 0.8 * sum(({ noiseBytes }) => noiseBytes)
  }

  get #expectedFormat(): SerialFormat | undefined {
    const { bus, settingsKnown } = this.#options
    if (bus.serial === undefined || !settingsKnown) return undefined
    const { baudRate, parity, stopBits } = bus.serial
    return { baudRate, parity, stopBits }
  }

  // Everybody on one line has the same settings: the other ids are looked for where one has answered.
  async #sweepFound(): Promise<void> {
    const formats = new Set([...this.#present.values()].flatMap(({ session }) => session.format ?? []))
    for (const format of formats) {
      await this.#walk('every unit id', sweep(format, [...this.#present.keys()]), false)
      // A line that spoils answers spoils questions too.
      if (this.#isSpoiling(format)) await this.#walk('once more', sweep(format, [...this.#present.keys()]), false)
    }
    await this.#searchMissing(likelyFormats(this.#options.profiles.values(), this.#expectedFormat).map(toStep))
  }

  // A meter of the config that is not among them may have settings of its own.
  async #searchMissing(steps: readonly ScanStep[]): Promise<void> {
    const missing = this.#missing()
    if (missing.length > 0)
      await this.#walk(
        'missing meters',
        steps.map((step) => ({ ...step, unitIds: missing })),
        false,
      )
  }

  #missing(): readonly number[] {
    return this.#options.meters.map(({ unitId }) => unitId).filter((unitId) => !this.#present.has(unitId))
  }

  /** Asks what the steps say. Tells whether anybody answered cleanly; with `untilFound`, ends with that step. */
  async #walk(stage: string, wanted: readonly ScanStep[], untilFound: boolean): Promise<boolean> {
    const only = this.#options.unitIds
    const steps = wanted.map((step) => ({
      ...step,
      unitIds: step.unitIds.filter((unitId) => only === undefined || only.includes(unitId)),
    }))
    const total = steps.reduce((sum, { unitIds }) => sum + unitIds.length, 0)
    this.#progress = { stage, done: 0, total, restMs: steps.reduce((sum, step) => sum + stepMs(step), 0) }
    let found = false
    for (const [i, step] of steps.entries()) {
      const isLast = i + 1 === steps.length || steps[i + 1]?.format !== step.format
      found = (await this.#takeStep(step, isLast && !untilFound)) || found
      if (found && untilFound) return true
    }
    return found
  }

  async #takeStep(step: ScanStep, listens: boolean): Promise<boolean> {
    return await this.#withLine(step.format, async (prober, session) => {
      const before = this.#cleanCount
      for (const unitId of step.unitIds) {
        if (this.#present.get(unitId)?.clean !== true) await this.#probe(prober, session, unitId, step.waitMs)
        this.#tick(stepMs({ ...step, unitIds: [unitId] }))
      }
      // Whoever is slow still answers, and another client goes on asking.
      await prober.listen(listens ? listenMs : lingerMs)
      await this.#askLate(prober, session)
      return this.#cleanCount > before
    })
  }

  get #cleanCount(): number {
    return [...this.#present.values()].filter(({ clean }) => clean).length
  }

  async #probe(prober: LineProber, session: Session, unitId: number, waitMs: number): Promise<void> {
    const question = { unitId, functionCode: 3, address: 0, count: 2 } as const
    let outcome = await prober.probe(question, waitMs)
    for (let again = 0; outcome.kind === 'garbled' && again < againTries; again++) {
      // With the other function code, and another length: a late answer to the first does not fit.
      outcome = await prober.read({ ...question, functionCode: 4, count: 2 + again }, againMs)
      if (outcome.kind === 'silent') return
    }
    if (outcome.kind === 'silent') return
    const clean = outcome.kind !== 'garbled'
    this.#present.set(unitId, { unitId, session, clean, waitMs: readWaitMs })
  }

  // An answer that nobody waited for any more tells that somebody is there, and slow.
  async #askLate(prober: LineProber, session: Session): Promise<void> {
    for (const [unitId, { lateMs }] of session.tally.units) {
      if (lateMs.length === 0 || this.#present.get(unitId)?.clean === true) continue
      const outcome = await prober.read({ unitId, functionCode: 3, address: 0, count: 3 }, slowWaitMs, 2)
      if (outcome.kind === 'silent') continue
      const isSlow = Math.max(...lateMs) > readWaitMs / 2
      const waitMs = isSlow ? slowWaitMs : readWaitMs
      this.#present.set(unitId, { unitId, session, clean: outcome.kind !== 'garbled', waitMs })
    }
  }

  #tick(ms: number): void {
    const { bus, onProgress } = this.#options
    this.#progress.done++
    this.#progress.restMs = Math.max(0, this.#progress.restMs - ms)
    const { stage, done, total, restMs } = this.#progress
    const found = this.#present.size
    onProgress({ busId: bus.id, stage, done, total, etaMs: restMs + (found - this.#examined.size) * examineMs, found })
  }

  async #examineAll(): Promise<void> {
    const all = [...this.#present.values()].toSorted((a, b) => a.unitId - b.unitId)
    this.#progress = { stage: 'what they are', done: 0, total: all.length, restMs: 0 }
    const bySession = Map.groupBy(all, ({ session }) => session)
    for (const [{ format }, units] of bySession) {
      await this.#withLine(format, async (prober) => {
        for (const unit of units) {
          if (this.#answersForAll(unit)) continue
          this.#examined.set(unit.unitId, await this.#examine(prober, unit))
          this.#tick(0)
        }
        await prober.listen(lingerMs)
      })
    }
  }

  // A lone Modbus TCP device often answers at every unit id: it is told once.
  #answersForAll({ unitId }: Presence): boolean {
    return this.#options.bus.tcp !== undefined && this.#present.size > everyIdAnswers && unitId !== this.#firstId
  }

  get #firstId(): number {
    const [meter] = this.#options.meters
    return meter?.unitId ?? Math.min(...this.#present.keys())
  }

  async #examine(prober: LineProber, { unitId, waitMs }: Presence): Promise<Examined> {
    const { profiles, meters } = this.#options
    const expected = meters.find((meter) => meter.unitId === unitId)?.profile
    const reader = new UnitReader(prober, unitId, waitMs)
    const identity = await identify(reader.read, [...profiles.values()], expected)
    const check = await checkLink({ prober, unitId, waitMs, ...(identity === undefined ? {} : { identity }) })
    return { ...check, ...(identity === undefined ? {} : { identity }) }
  }

  async #withLine<T>(
    format: SerialFormat | undefined,
    use: (prober: LineProber, session: Session) => Promise<T>,
  ): Promise<T> {
    const { bus, scheduler, abort, connectAt } = this.#options
    abort.throwIfAborted()
    const isSerial = bus.serial !== undefined
    const session = this.#session(isSerial ? format : undefined)
    const recorder = new TurnRecorder(scheduler)
    const config =
      bus.serial === undefined || format === undefined ? bus : { ...bus, serial: { ...bus.serial, ...format } }
    const transport = makeTransport(config, scheduler, {
      tap: recorder,
      ...(connectAt === undefined ? {} : { connect: connectAt(config) }),
    })
    const prober = new LineProber({
      transport,
      scheduler,
      format: session.format,
      recorder,
      tally: session.tally,
      abort,
    })
    await prober.open()
    try {
      return await use(prober, session)
    } finally {
      await prober.close()
    }
  }

  #session(format: SerialFormat | undefined): Session {
    const key = JSON.stringify(format)
    const known = this.#sessions.get(key)
    if (known !== undefined) return known
    const session = { format, tally: new LineTally(this.#options.bus.tcp === undefined) }
    this.#sessions.set(key, session)
    return session
  }

  #conclude(): ScanResult {
    const { bus, scheduler, abort } = this.#options
    const units = [...this.#present.values()]
      .filter((unit) => !this.#answersForAll(unit))
      .toSorted((a, b) => a.unitId - b.unitId)
    const evidence = this.#evidence(units)
    return {
      bus,
      devices: units.map((unit) => this.#toDevice(unit)),
      // Half a scan would tell of missing devices that it did not look for.
      diagnoses: abort.aborted && units.length === 0 ? [] : diagnose(evidence),
      evidence,
      cancelled: abort.aborted,
      elapsedMs: scheduler.now() - this.#startedAt,
    }
  }

  #toDevice({ unitId, session }: Presence): FoundDevice {
    const { identity, latencyMs } = this.#examined.get(unitId) ?? {}
    const configured = this.#options.meters.find((meter) => meter.unitId === unitId)?.id
    return {
      unitId,
      ...(session.format === undefined ? {} : { format: session.format }),
      ...(identity === undefined ? {} : { identity }),
      ...(latencyMs === undefined ? {} : { latencyMs }),
      ...(configured === undefined ? {} : { configured }),
    }
  }

  #evidence(units: readonly Presence[]): LineEvidence {
    const { bus, abort } = this.#options
    const expected = this.#expectedFormat
    const tallies = [...this.#sessions.values()].map(({ tally }) => tally)
    const sum = (pick: (tally: LineTally) => number) => tallies.reduce((total, tally) => total + pick(tally), 0)
    return {
      kind: bus.serial !== undefined ? 'serial' : bus.tcp !== undefined ? 'tcp' : 'rtuOverTcp',
      ...(expected === undefined ? {} : { expected }),
      searchedAll: this.#searchedAll,
      idleBytes: sum(({ idleBytes }) => idleBytes),
      noiseBytes: sum(({ noiseBytes }) => noiseBytes),
      levelBytes: sum(({ levelBytes }) => levelBytes),
      foreignRequests: sum(({ foreignRequests }) => foreignRequests),
      foreignAnswers: sum(({ foreignAnswers }) => foreignAnswers),
      units: units.map((unit) => this.#toEvidence(unit)),
      missing: abort.aborted ? [] : this.#missing(),
    }
  }

  #toEvidence({ unitId, session }: Presence): UnitEvidence {
    const examined = this.#examined.get(unitId)
    const meter = this.#options.meters.find((one) => one.unitId === unitId)
    const { lengths, ...tally } = session.tally.unit(unitId)
    const { identity, latencyMs } = examined ?? {}
    return {
      unitId,
      ...(session.format === undefined ? {} : { format: session.format }),
      ...(meter === undefined ? {} : { expected: { profile: meter.profile.id, role: meter.role } }),
      tally: { ...tally, lengths: [...lengths.values()] },
      serials: examined?.serials ?? [],
      ...(latencyMs === undefined ? {} : { latencyMs }),
      ...(identity === undefined
        ? {}
        : { identity: { profile: identity.profile.id, shift: identity.shift, swapped: identity.swapped } }),
      phases: identity === undefined ? [] : toPhases(identity.readings),
    }
  }
}

const everyIdAnswers = 200
const toStep = (format: SerialFormat): ScanStep => ({ format, unitIds: [], waitMs: readWaitMs })
