import { Access } from './access.ts'
import { sameHolder } from './authorisation.ts'
import { type ChargingProfile, offerAt } from './charging-profiles.ts'
import type { Commands } from './commands.ts'
import { Connection } from './connection.ts'
import { CsmsAddress } from './csms-address.ts'
import type { Dialect, EvseStatus } from './dialect.ts'
import { dialect2 } from './dialect-2.ts'
import { dialect16 } from './dialect-16.ts'
import { DurableState, type QueuedEvent } from './durable-state.ts'
import { makeCommands } from './firmware-commands.ts'
import type { FirmwareOptions } from './firmware-options.ts'
import { chargingStateOf, type Pending, type Place, statusOf } from './place.ts'
import { offerable } from './profile-quirks.ts'
import type { Payload } from './rpc.ts'
import { payloadCheck } from './schemas.ts'
import { Settings } from './settings.ts'
import { StationClock } from './station-clock.ts'
import { StationSecurity } from './station-security.ts'
import { type Request, TransactionQueue } from './transaction-queue.ts'
import { Transactions } from './transactions.ts'

const slowestSampleSeconds = 30
const registersEveryTicks = 5

/** One run of the firmware, from power on to power off. What it knows longer than that lies in the storage. */
export class Firmware {
  readonly options: FirmwareOptions
  readonly state: DurableState
  readonly settings: Settings
  readonly clock: StationClock
  readonly transactions: Transactions
  readonly connection: Connection
  readonly security: StationSecurity
  readonly access: Access
  readonly address: CsmsAddress
  readonly #dialect: Dialect
  readonly #queue: TransactionQueue
  #greetings: readonly Request[]
  #stale: Request[] = []
  #heartbeatSeconds: number | undefined
  #ticks = 0
  #nextAlignedMs = 0
  restartWhenIdle = false
  stopped = false

  constructor(options: FirmwareOptions) {
    const { quirks, timers, storage } = options
    this.options = options
    this.#greetings = options.greetings
    this.state = new DurableState(storage)
    this.security = new StationSecurity(this.state, options.identity.id)
    this.settings = new Settings({
      read: () => this.state.now.settings,
      store: (settings) => this.state.change({ settings }),
      quirks,
      preset: options.preset,
    })
    this.clock = new StationClock(options)
    const isOnline = () => this.connection.isAccepted
    this.transactions = new Transactions({
      stationId: options.identity.id,
      state: this.state,
      clock: this.clock,
      places: options.places,
      isOnline,
    })
    this.#dialect = this.#makeDialect(makeCommands(this))
    this.address = new CsmsAddress({ ...options, state: this.state, settings: this.settings })
    this.access = new Access({
      state: this.state,
      settings: this.settings,
      clock: this.clock,
      transactions: this.transactions,
      places: options.places,
      isOnline,
      isStopped: () => this.stopped,
      ask: (idToken) => this.connection.call(this.#dialect.authorize(idToken)),
      tokenInfo: (idToken, reply) => this.#dialect.tokenInfo(idToken, reply),
    })
    this.connection = this.#makeConnection()
    this.#queue = new TransactionQueue({
      state: this.state,
      timers,
      encode: (event) => this.#dialect.event(event),
      send: (request) => this.connection.call(request),
      isOnline,
      attempts: () => this.settings.number('messageAttempts'),
      retryIntervalMs: () => this.settings.number('retryInterval') * 1000,
      givenId: (reply) => this.#dialect.givenIdIn(reply),
      onAnswered: (event, reply) => this.#onAnswered(event, reply),
      onDropped: (event, why) => options.onEvent('transaction.message.dropped', { eventType: event.eventType, why }),
    })
  }

  start(): void {
    const { quirks, places } = this.options
    this.#noteActiveProfile()
    if (quirks.has('forgets-settings')) this.settings.forget()
    if (quirks.has('start-lost')) {
      this.state.change({ queue: this.state.now.queue.filter(({ eventType }) => eventType !== 'Started') })
    }
    for (const place of places) {
      place.evse.powered = true
      this.transactions.end(place, { stoppedReason: 'PowerLoss', triggerReason: 'AbnormalCondition' })
      place.finishing = place.evse.vehicle !== undefined
      place.told = undefined
    }
    this.tick()
    this.connection.connect()
  }

  #noteActiveProfile(): void {
    const { security, settings } = this.state.now
    const [slot = ''] = this.settings.text('networkPriority').split(',')
    const active = security.networkProfiles[slot]?.securityProfile
    if (active !== undefined) this.state.change({ settings: { ...settings, activeProfile: String(active) } })
  }

  stop(how: 'cut' | 'shutdown'): void {
    this.stopped = true
    this.#queue.stop()
    this.connection.stop(how)
    for (const place of this.options.places) {
      place.pending = undefined
      place.evse.released = false
      place.evse.powered = false
    }
  }

  /** Once a second: whatever has changed by itself is noticed here. */
  tick(): void {
    if (this.stopped) return
    this.options.advance()
    this.#expire()
    for (const place of this.options.places) this.refresh(place)
    this.#sampleAligned()
    this.#ticks += 1
    if (this.#ticks % registersEveryTicks === 0) this.#saveRegisters()
    if (this.restartWhenIdle && this.state.now.open.length === 0) this.options.onRestart('RemoteReset', [])
    void this.#queue.flush()
  }

  plugged(place: Place): void {
    place.finishing = false
    this.beginPending(place)
    this.refresh(place)
  }

  unplugged(place: Place): void {
    this.end(place, { stoppedReason: 'EVDisconnected', triggerReason: 'EVCommunicationLost' })
    place.finishing = false
    this.refresh(place)
  }

  async presentCard(place: Place, idToken: string): Promise<void> {
    const open = this.transactions.at(place.id)
    if (open !== undefined && sameHolder(open, { idToken })) {
      this.end(place, { stoppedReason: 'Local', triggerReason: 'StopAuthorized', idToken })
      return
    }
    const decision = await this.access.authorise(idToken)
    if (this.stopped || decision === undefined) return
    const holder = { idToken, ...decision }
    const now = this.transactions.at(place.id)
    if (now !== undefined) {
      if (sameHolder(now, holder)) this.end(place, { stoppedReason: 'Local', triggerReason: 'StopAuthorized', idToken })
      return
    }
    if (this.access.isTaken(place, holder)) {
      this.options.onEvent('card.refused', { evse: place.id, why: 'reserved or out of order' })
      return
    }
    this.await(place, { ...holder, remote: false })
  }

  /** Lets somebody charge here now, or once a vehicle is plugged in. */
  await(place: Place, pending: Omit<Pending, 'untilMs'>): void {
    const untilMs = this.clock.nowMs + this.settings.number('connectionTimeout') * 1000
    place.pending = { ...pending, untilMs }
    this.beginPending(place)
    this.refresh(place)
  }

  beginPending(place: Place): void {
    const { pending, evse } = place
    if (pending === undefined || evse.vehicle === undefined || this.transactions.at(place.id) !== undefined) return
    if (evse.fault !== undefined || this.access.isTaken(place, pending)) return
    const { quirks, advance } = this.options
    const { reservation } = this.access.mayBegin(place, pending)
    advance()
    if (quirks.has('charging-before-start')) this.#tell(place, 'Charging')
    place.pending = undefined
    place.toldChargingState = 'EVConnected'
    place.nextSampleAtMs = this.clock.nowMs + this.#sampleSeconds() * 1000
    this.transactions.begin(place, pending, {
      triggerReason: pending.remote ? 'RemoteStart' : 'Authorized',
      reservationId: reservation?.id,
    })
    // Only what is written down may flow.
    evse.released = true
    void this.#queue.flush()
  }

  end(place: Place, how: { stoppedReason: string; triggerReason: string; idToken?: string | undefined }): void {
    const open = this.transactions.at(place.id)
    if (open === undefined) return
    this.options.advance()
    place.evse.released = false
    place.finishing = place.evse.vehicle !== undefined
    const echoed = open.remote && this.options.quirks.has('long-tag-overrun') ? open.idToken : undefined
    this.transactions.end(place, { ...how, idToken: how.idToken ?? echoed })
    this.refresh(place)
    void this.#queue.flush()
  }

  offerFor(place: Place, atMs: number) {
    const { maxCurrentA, phases } = place.evse.options
    const open = this.transactions.at(place.id)
    return offerAt(this.profilesShared(), {
      evseId: place.id,
      atMs,
      transaction: open,
      hardware: { currentA: maxCurrentA, phases },
    })
  }

  /** A limit of the whole station is shared evenly among those who charge. */
  profilesShared(): readonly ChargingProfile[] {
    const sharers = Math.max(1, this.state.now.open.length)
    return this.state.now.profiles.map((profile) => {
      const ofStation =
        profile.purpose === 'ChargingStationMaxProfile' || profile.purpose === 'ChargingStationExternalConstraints'
      if (!ofStation) return profile
      return { ...profile, periods: profile.periods.map((period) => ({ ...period, limit: period.limit / sharers })) }
    })
  }

  /** Puts a place in order with everything that is decided elsewhere, and tells what is new. */
  refresh(place: Place): void {
    const { evse } = place
    evse.operative = this.access.isOperative(place) || this.transactions.at(place.id) !== undefined
    evse.offer = offerable(this.offerFor(place, this.clock.nowMs), this.options.quirks)
    if (evse.fault !== undefined && this.transactions.at(place.id) !== undefined) {
      const stoppedReason = evse.fault === 'rcd-tripped' ? 'GroundFault' : 'Other'
      this.end(place, { stoppedReason, triggerReason: 'AbnormalCondition' })
      return
    }
    const charging = this.transactions.at(place.id) !== undefined
    const reserved = this.state.now.reservations.some(({ evseId }) => evseId === place.id)
    const status = statusOf(place, { charging, reserved })
    if (status !== place.told) {
      const name = (of: EvseStatus | undefined) => of && this.#dialect.statusName(of)
      if (name(status) === name(place.told)) place.told = status
      else this.#tell(place, status)
    }
    if (charging) this.#followTransaction(place)
  }

  tellStatus(place: Place): void {
    if (place.told !== undefined) this.#tell(place, place.told)
  }

  tellStation(): void {
    const status = this.state.now.inoperative.includes(0) ? 'Unavailable' : 'Available'
    this.send(this.#dialect.status({ evseId: 0, status, atMs: this.clock.nowMs }))
  }

  send(request: Request | undefined): void {
    if (request !== undefined) void this.connection.call(request)
  }

  sendMeterValues(place: Place, context: 'Trigger' | 'Sample.Clock'): void {
    this.options.advance()
    // What has been told may not be forgotten by a power cut.
    this.#saveRegisters()
    this.send(this.#dialect.meterValues(place.id, this.transactions.sample(place, context)))
  }

  reservationEnded(id: number): void {
    this.send(this.#dialect.reservationEnded(id))
  }

  flush(): void {
    void this.#queue.flush()
  }

  #makeDialect(commands: Commands): Dialect {
    const { identity, quirks, version } = this.options
    const givenId = (id: string) => this.state.now.givenIds[id]
    const context = { identity, quirks, clock: this.clock, settings: this.settings, givenId }
    return version === '1.6' ? dialect16(context, commands) : dialect2(version, context, commands)
  }

  #makeConnection(): Connection {
    const { quirks, timers, openLink, random, bootReason, identity, version, onEvent } = this.options
    return new Connection({
      url: (attempt) => this.address.url(attempt),
      stationId: identity.id,
      password: () => this.address.password(),
      identity: () => this.security.identity,
      dialect: this.#dialect,
      quirks,
      timers,
      clock: this.clock,
      check: payloadCheck(version),
      openLink,
      random,
      bootReason,
      heartbeatIntervalMs: () => (this.#heartbeatSeconds ?? this.settings.number('heartbeatInterval')) * 1000,
      onHeartbeatInterval: (seconds) => {
        this.#heartbeatSeconds = seconds
      },
      onAccepted: () => this.#onAccepted(),
      onEvent,
    })
  }

  #onAccepted(): void {
    const { quirks, places } = this.options
    if (quirks.has('forgets-settings')) this.settings.forget()
    for (const request of this.#stale.splice(0)) this.send(request)
    this.tellStation()
    for (const place of places) this.tellStatus(place)
    for (const request of this.#greetings) this.send(request)
    this.#greetings = []
    void this.#queue.flush()
  }

  #onAnswered(event: QueuedEvent, reply: Payload): void {
    const open = this.transactions.byId(event.transactionId)
    const info = event.idToken === undefined ? undefined : this.access.remember(event.idToken, reply)
    if (open === undefined || info === undefined || info.status === 'Accepted') return
    if (this.options.quirks.has('session-after-refusal') || !this.settings.is('stopOnInvalid')) return
    const place = this.options.places.find(({ id }) => id === open.evseId)
    if (place !== undefined) this.end(place, { stoppedReason: 'DeAuthorized', triggerReason: 'Deauthorized' })
  }

  #followTransaction(place: Place): void {
    const state = chargingStateOf(place)
    const before = place.toldChargingState
    place.toldChargingState = state
    if (before !== state) this.transactions.update(place, 'ChargingStateChanged', [])
    const everySeconds = this.#sampleSeconds()
    if (everySeconds === 0 || this.clock.nowMs < place.nextSampleAtMs) return
    place.nextSampleAtMs = this.clock.nowMs + everySeconds * 1000
    this.transactions.update(place, 'MeterValuePeriodic', [this.transactions.sample(place, 'Sample.Periodic')])
  }

  #sampleSeconds(): number {
    const seconds = this.settings.number('sampleInterval')
    if (seconds === 0 || !this.options.quirks.has('slow-sampling')) return seconds
    return Math.max(slowestSampleSeconds, seconds)
  }

  #sampleAligned(): void {
    const everyMs = this.settings.number('alignedInterval') * 1000
    if (everyMs === 0 || this.clock.nowMs < this.#nextAlignedMs) return
    const first = this.#nextAlignedMs === 0
    this.#nextAlignedMs = (Math.floor(this.clock.nowMs / everyMs) + 1) * everyMs
    if (first) return
    for (const place of this.options.places) {
      if (this.transactions.at(place.id) === undefined) this.sendMeterValues(place, 'Sample.Clock')
      else this.transactions.update(place, 'MeterValueClock', [this.transactions.sample(place, 'Sample.Clock')])
    }
  }

  #tell(place: Place, status: EvseStatus): void {
    place.told = status
    const request = this.#dialect.status({
      evseId: place.id,
      status,
      fault: place.evse.fault,
      atMs: this.clock.nowMs,
    })
    this.options.onEvent('status', { evse: place.id, status, pilot: place.evse.pilot })
    if (this.connection.isAccepted) this.send(request)
    else if (request !== undefined && this.options.quirks.has('replays-stale-status')) this.#stale.push(request)
  }

  #expire(): void {
    const nowMs = this.clock.nowMs
    for (const place of this.options.places) {
      if (place.pending !== undefined && place.pending.untilMs <= nowMs) place.pending = undefined
    }
    const over = this.state.now.reservations.filter(({ expiresAtMs }) => expiresAtMs <= nowMs)
    if (over.length === 0) return
    this.state.change({
      reservations: this.state.now.reservations.filter((reservation) => !over.includes(reservation)),
    })
    for (const { id } of over) this.reservationEnded(id)
  }

  #saveRegisters(): void {
    const registers = this.transactions.registers()
    const { registers: before } = this.state.now
    if (Object.entries(registers).some(([id, register]) => before[id] !== register)) this.state.change({ registers })
  }
}
