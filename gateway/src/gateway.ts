import { type Clock, type MeterId, makeGatewayId, makeMeterId, roleDirections } from '@wattline/protocol'
import { makeAttestor } from './attest.ts'
import type { GatewayConfig } from './config.ts'
import { Health, type HealthReport } from './health.ts'
import { loadCertificate } from './identity/certificate-file.ts'
import { LatestValues } from './latest-values.ts'
import { errorFields, type Log } from './log.ts'
import { makeMetrics } from './metrics.ts'
import { openBus, type RegisterBus } from './modbus/bus.ts'
import { type MeterSnapshot, type Poller, startPoller } from './modbus/poller.ts'
import type { Profiles } from './modbus/profiles.ts'
import { systemScheduler } from './modbus/scheduler.ts'
import { Uplink } from './mqtt/uplink.ts'
import { toObservation } from './observation.ts'
import type { Charging } from './ocpp/charging.ts'
import type { OcppConfig } from './ocpp/ocpp-config.ts'
import { Readings } from './readings.ts'
import { type AttestedRecord, RecordWriter } from './record-writer.ts'
import { openSession, type Session } from './session.ts'
import { termsOf } from './sessions/charging-points.ts'
import { FeederCheck } from './sessions/feeder-check.ts'
import { beatMsOf, PointSigner } from './sessions/point-signer.ts'
import { listCertificateDifferences, type MeterSetup, type PointSetup, setUpMeters, setUpPoints } from './setup.ts'
import { showPoints } from './status.ts'
import { Outbox } from './store/outbox.ts'
import { pruneChunk, usedBytes } from './store/prune.ts'
import { timeBus } from './timed-bus.ts'
import { gatewayVersion } from './version.ts'
import { type ReadingWatch, watchReadings, watchUplink } from './watch.ts'
import { startWebServer, type WebServer } from './web/server.ts'

/** What a gateway works with. */
export interface GatewayParts {
  readonly config: GatewayConfig
  readonly profiles: Profiles
  readonly clock: Clock
  readonly log: Log
  /** Something does not heal: whoever started the gateway must stop it, and end with the error's exit code. */
  onFatal(error: unknown): void
}

/** A metering point, and what the configuration says of it. */
interface ConfiguredPoint extends Pick<MeterSetup, 'meterId' | 'point'> {
  readonly terms: Parameters<typeof listCertificateDifferences>[0]
}

const pruneEveryMs = 60_000
const dayMs = 86_400_000
/** Readings may be late by this much before the gateway counts as stuck: the slowest bus retries for seconds. */
const graceMs = 60_000

/** The whole line from the meters to the broker. */
export class Gateway {
  readonly #parts: GatewayParts
  readonly #health = new Health()
  readonly #metrics = makeMetrics()
  readonly #meters: readonly MeterSetup[]
  readonly #session: Session
  readonly #setups: readonly PointSetup[]
  readonly #outbox: Outbox
  readonly #readings: Readings
  readonly #signer: PointSigner
  readonly #feeders: FeederCheck
  readonly #watch: ReadingWatch
  readonly #uplink: Uplink | undefined
  readonly #buses = new Map<string, RegisterBus>()
  readonly #values = new LatestValues(() => performance.now())
  #poller: Poller | undefined
  #web: WebServer | undefined
  #charging: Charging | undefined
  #pruning: NodeJS.Timeout | undefined
  #beating: NodeJS.Timeout | undefined
  #progressMs = performance.now()
  #stopped: Promise<void> | undefined

  /** Takes possession of the data folder; throws where that cannot be. Nothing runs before `start`. */
  constructor(parts: GatewayParts) {
    this.#parts = parts
    const { config, profiles, clock } = parts
    const { dataDir } = config.gateway
    this.#meters = setUpMeters(config, profiles)
    let setups: readonly PointSetup[] = []
    this.#session = openSession(dataDir, clock, (store) => {
      setups = setUpPoints(this.#meters, dataDir, store)
    })
    this.#setups = setups
    const { store, epochs, witness } = this.#session
    const gatewayId = makeGatewayId(config.gateway.id)
    this.#outbox = new Outbox(store)
    const watched = { log: parts.log, health: this.#health, metrics: this.#metrics, onFatal: parts.onFatal }
    this.#watch = watchReadings(watched)
    const writer = new RecordWriter({ store, dataDir, gatewayId, epochs, witness })
    this.#readings = new Readings(makeAttestor({ store, writer, setups }), {
      signed: (records) => {
        this.#progressMs = performance.now()
        this.#tellSigned(records)
      },
      lost: (count, error) => {
        this.#progressMs = performance.now() // the loop runs; what is wrong stands in health
        this.#watch.lost(count, error)
      },
    })
    this.#signer = this.#setUpSigner(writer)
    this.#feeders = new FeederCheck({
      ...parts,
      store,
      health: this.#health,
      points: () => this.#signer.points(),
    })
    if (config.mqtt === undefined) return
    const points = this.#allSetups().map(({ point }) => point)
    const { mqtt } = config
    this.#uplink = new Uplink({
      config: mqtt,
      gatewayId,
      points,
      store,
      outbox: this.#outbox,
      epochs,
      events: watchUplink(watched),
    })
  }

  // With a key missing there is no going on, and the data folder is given back.
  #setUpSigner(writer: RecordWriter): PointSigner {
    const { config, clock, log } = this.#parts
    try {
      return new PointSigner({
        config,
        store: this.#session.store,
        writer,
        clock,
        events: {
          signed: (record) => this.#tellSigned([record]),
          // No fault of a meter: it only lets time pass.
          silent: ({ point, state }) => {
            this.#metrics.reading(point, state)
            this.#uplink?.wake()
          },
          met: ({ point }) => {
            log.info('session.point.met', { point })
            this.#uplink?.add(point)
          },
        },
      })
    } catch (error) {
      this.#session.close()
      throw error
    }
  }

  #tellSigned(records: readonly AttestedRecord[]): void {
    this.#watch.signed(records)
    this.#uplink?.wake()
  }

  #allSetups(): readonly PointSetup[] {
    return [...this.#setups, ...this.#signer.setups()]
  }

  /** Starts everything. If that fails, what was started is stopped again. */
  async start(): Promise<void> {
    const { config, log } = this.#parts
    try {
      if (config.web !== undefined) this.#web = await startWebServer(config.web, this.#webSources())
      this.#openBuses()
      this.#poller = this.#startPolling()
      this.#uplink?.start()
      if (config.ocpp !== undefined) this.#charging = await this.#startCharging(config.ocpp)
      this.#pruning = setInterval(() => this.#prune(), pruneEveryMs)
      this.#beating = setInterval(() => this.#beat(), beatMsOf(config))
    } catch (error) {
      await this.stop()
      throw error
    }
    this.#tellStart(log)
  }

  /** Stops everything; what was read until now is signed. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stopAll()
    return this.#stopped
  }

  async #stopAll(): Promise<void> {
    clearInterval(this.#pruning)
    clearInterval(this.#beating)
    this.#poller?.stop()
    this.#readings.flush()
    await this.#charging?.stop()
    await Promise.all([
      ...[...this.#buses.values()].map((bus) => bus.close()),
      this.#uplink?.stop(),
      this.#web?.close(),
    ])
    this.#session.close()
  }

  /** Whether readings come out as they should: for the service manager's watchdog. */
  isAlive(): boolean {
    const longestMs = Math.max(...this.#parts.config.meters.map(({ intervalSeconds }) => intervalSeconds * 1000))
    return performance.now() - this.#progressMs < 3 * longestMs + graceMs
  }

  health(): HealthReport {
    return this.#health.report()
  }

  #tellStart(log: Log): void {
    const { config, profiles } = this.#parts
    const { newEpochReason } = this.#session
    for (const error of profiles.broken.values()) log.warn('profile.broken', errorFields(error))
    if (newEpochReason !== undefined) log.warn('gateway.epoch.opened', { reason: newEpochReason })
    if (config.mqtt === undefined) log.warn('gateway.mqtt.unconfigured')
    for (const { meterId, point, config: terms } of this.#meters) this.#checkCertificate({ meterId, point, terms }, log)
    for (const { place, ...charger } of this.#signer.points()) {
      this.#checkCertificate({ ...charger, terms: { role: 'charger', ...termsOf(config, place) } }, log)
    }
    const points = this.#allSetups().map(({ point }) => point)
    log.info('gateway.started', { version: gatewayVersion, points, web: this.#web?.url })
  }

  #checkCertificate({ meterId, point, terms }: ConfiguredPoint, log: Log): void {
    const { gateway } = this.#parts.config
    const certificate = loadCertificate(gateway.dataDir, meterId)
    if (certificate === undefined) return
    const differences = listCertificateDifferences(terms, makeGatewayId(gateway.id), certificate)
    if (differences.length === 0) return
    const message = `the certificate was made once and counts: ${differences.join('; ')}`
    this.#health.raise({ code: 'certificate/outdated', where: `certificate: ${point}`, message })
    log.warn('certificate.outdated', { point, differences })
  }

  // Loaded only where it is used: the schemas of three versions take their memory.
  async #startCharging(ocpp: OcppConfig): Promise<Charging> {
    const { startCharging } = await import('./ocpp/charging.ts')
    const { SmartCharging } = await import('./smart-charging/smart-charging.ts')
    const { config, clock, log } = this.#parts
    const { site } = config
    const valuesOf = (meterId: string, ageMs: number) => this.#values.within(meterId, ageMs)
    const parts = { scheduler: systemScheduler, clock, log, health: this.#health, valuesOf }
    return await startCharging({
      config: ocpp,
      dataDir: config.gateway.dataDir,
      store: this.#session.store,
      clock,
      log,
      signer: this.#signer,
      openSite: site && ((call) => new SmartCharging({ ...parts, site, call })),
      drivers: config.drivers,
      isOnline: () => this.health().reasons.every(({ code }) => code !== 'broker/unreachable'),
    })
  }

  #openBuses(): void {
    const { config, log } = this.#parts
    for (const bus of config.buses) {
      const where = `bus ${bus.id}`
      const opened = openBus(bus, {
        scheduler: systemScheduler,
        onState: (state, reason) => {
          if (state === 'up') this.#health.clear(where)
          else if (reason !== undefined) this.#health.raise({ code: reason.code, where, message: reason.message })
          log[state === 'up' ? 'info' : 'warn'](`bus.${state}`, { bus: bus.id, ...(reason && errorFields(reason)) })
        },
      })
      this.#buses.set(
        bus.id,
        timeBus(opened, (outcome, elapsedMs) => this.#metrics.busRead(bus.id, outcome, elapsedMs)),
      )
    }
  }

  #startPolling(): Poller {
    const roles = new Map(this.#setups.map(({ meterId, role }) => [meterId, role]))
    const meters = this.#meters.map(({ config, profile, meterId }) => ({
      ...config,
      profile,
      directions: roleDirections[roles.get(meterId) ?? config.role],
    }))
    return startPoller(meters, {
      buses: this.#buses,
      clock: this.#parts.clock,
      scheduler: systemScheduler,
      onSnapshot: (snapshot) => this.#take(makeMeterId(snapshot.meterId), snapshot),
      onValues: (meterId, values) => {
        const { valuesIntervalSeconds = 0 } = meters.find(({ id }) => id === meterId) ?? {}
        this.#values.take(meterId, values, valuesIntervalSeconds)
      },
    })
  }

  #take(meterId: MeterId, snapshot: MeterSnapshot): void {
    const { outcome } = snapshot
    if (!outcome.ok) this.#watch.failed(meterId, outcome.error)
    this.#readings.push({ meterId, seen: toObservation(snapshot, this.#session.bootId) })
  }

  #beat(): void {
    try {
      this.#signer.beat()
      this.#feeders.run()
    } catch (error) {
      this.#watch.lost(1, error)
    }
  }

  // A chunk a turn, so that readings come in between; the rest when there is more, else in a minute.
  #prune(): void {
    const { config, clock, log } = this.#parts
    const { retentionDays, maxOutboxMb } = config.gateway
    try {
      const retention = { beforeMs: clock.now() - retentionDays * dayMs, maxBytes: maxOutboxMb * 1_000_000 }
      this.#charging?.prune(retention.beforeMs)
      const deleted = pruneChunk(this.#session.store, retention)
      if (deleted === 0) return
      log.debug('outbox.pruned', { deleted })
      setImmediate(() => {
        if (this.#stopped === undefined) this.#prune()
      })
    } catch (error) {
      log.warn('outbox.prune.failed', errorFields(error))
    }
  }

  #webSources() {
    const { store } = this.#session
    const profiles = new Map(this.#meters.map(({ meterId, config }) => [meterId, config.profile]))
    const parts = {
      store,
      outbox: this.#outbox,
      profileOf: ({ meterId }: PointSetup) => profiles.get(meterId) ?? 'ocpp',
      valuesOf: ({ meterId }: PointSetup) => this.#values.of(meterId),
    }
    return {
      health: () => this.health(),
      status: () => ({
        gateway: this.#parts.config.gateway.id,
        version: gatewayVersion,
        time: this.#parts.clock.now(),
        clock: this.#parts.clock.status(),
        health: this.health(),
        points: showPoints({ ...parts, setups: this.#allSetups() }),
        site: this.#charging?.site(),
        sessions: this.#charging?.sessions(),
      }),
      metricsType: this.#metrics.contentType,
      metrics: () =>
        this.#metrics.format({
          values: () => new Map(this.#allSetups().map((setup) => [setup.point, parts.valuesOf(setup)])),
          waiting: () => new Map(this.#allSetups().map(({ point }) => [point, this.#outbox.waiting(point)])),
          databaseBytes: () => usedBytes(store),
          upstream: () => this.#charging?.upstream() ?? new Map(),
          site: () => this.#charging?.site(),
        }),
    }
  }
}
