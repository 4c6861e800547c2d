import type { Timers } from '../timers.ts'
import { decide, mayBegin, sameHolder } from './authorisation.ts'
import { type ChargingProfile, offerAt } from './charging-profiles.ts'
import type { Commands } from './commands.ts'
import { Connection } from './connection.ts'
import type { BootReason, Dialect, EvseStatus, StationIdentity } from './dialect.ts'
import { dialect2 } from './dialect-2.ts'
import { dialect16 } from './dialect-16.ts'
import { DurableState, type QueuedEvent, type StateStorage } from './durable-state.ts'
import { makeCommands } from './firmware-commands.ts'
import type { OpenLink } from './link.ts'
import { chargingStateOf, type Pending, type Place, statusOf } from './place.ts'
import { offerable } from './profile-quirks.ts'
import type { Quirks } from './quirks.ts'
import type { Payload } from './rpc.ts'
import { type OcppVersion, payloadCheck } from './schemas.ts'
import { Settings } from './settings.ts'
import { StationClock } from './station-clock.ts'
import { StationSecurity } from './station-security.ts'
import { type Request, TransactionQueue } from './transaction-queue.ts'
import { Transactions } from './transactions.ts'

export interface FirmwareOptions {
  readonly identity: StationIdentity
  readonly version: OcppVersion
  readonly url: string
  readonly password: string | undefined
  readonly quirks: Quirks
  readonly preset: Readonly<Record<string, string>>
  readonly driftSeconds: number
  readonly zoneMinutes: number
  readonly timers: Timers
  readonly wallClockMs: () => number
  readonly storage: StateStorage
  readonly openLink: OpenLink
  readonly random: () => number
  readonly places: readonly Place[]
  /** Brings all energy to this moment. */
  readonly advance: () => void
  readonly bootReason: BootReason
  /** Sent once the CSMS has accepted the station. */
  readonly greetings: readonly Request[]
  readonly onRestart: (reason: BootReason, greetings: readonly Request[]) => void
  readonly onEvent: (event: string, details: Payload) => void
}

const slowestSampleSeconds = 30
const registersEveryTicks = 5
const attemptsPerProfile = 3

/** One run of the firmware, from power on to power off. What it knows longer than that lies in the storage. */
export class Firmware {
  readonly options: FirmwareOptions
  readonly state: DurableState
  readonly settings: Settings
  readonly clock: StationClock
  readonly transactions: Transactions
  readonly connection: Connection
  readonly security: StationSecurity
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
    const decision = await this.authorise(idToken)
    if (this.stopped || decision === undefined) return
    const holder = { idToken, ...decision }
    const now = this.transactions.at(place.id)
    if (now !== undefined) {
      if (sameHolder(now, holder)) this.end(place, { stoppedReason: 'Local', triggerReason: 'StopAuthorized', idToken })
      return
    }
    if (this.isTaken(place, holder)) {
      this.options.onEvent('card.refused', { evse: place.id, why: 'reserved or out of order' })
      return
    }
    this.await(place, { ...holder, remote: false })
  }

  /** Whether somebody may charge, and with whom together; nothing for a refusal. */
  async authorise(idToken: string): Promise<{ groupIdToken?: string | undefined } | undefined> {
    const { settings, state } = this
    const rules = (online: boolean) => ({
      online,
      listEnabled: settings.is('listEnabled'),
      cacheEnabled: settings.is('cacheEnabled'),
      localPreAuthorize: settings.is('localPreAuthorize'),
      localAuthorizeOffline: settings.is('localAuthorizeOffline'),
      offlineUnknown: settings.is('offlineUnknown'),
    })
    const known = () => ({ list: state.now.localList.entries, cache: state.now.cache })
    let decision = decide(idToken, known(), rules(this.connection.isAccepted), this.clock.nowMs)
    if (decision.kind === 'ask') {
      const reply = await this.connection.call(this.#dialect.authorize(idToken))
      if (this.stopped) return undefined
      if (reply.kind === 'result') {
        const info = this.#remember(idToken, reply.payload)
        return info?.status === 'Accepted' ? { groupIdToken: info.groupIdToken } : undefined
      }
      // No answer is what being offline means to the driver.
      decision = decide(idToken, known(), rules(false), this.clock.nowMs)
    }
    return decision.kind === 'accepted' ? { groupIdToken: decision.groupIdToken } : undefined
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
    if (evse.fault !== undefined || this.isTaken(place, pending)) return
    const { quirks, advance } = this.options
    const { reservation } = this.#mayBegin(place, pending)
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

  /** Somebody else's, or not to be used. */
  isTaken(place: Place, holder: { idToken: string; groupIdToken?: string | undefined }): boolean {
    return !this.isOperative(place) || !this.#mayBegin(place, holder).may
  }

  isOperative({ id }: Place): boolean {
    const { inoperative } = this.state.now
    return !inoperative.includes(0) && !inoperative.includes(id)
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
    evse.operative = this.isOperative(place) || this.transactions.at(place.id) !== undefined
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
      url: (attempt) => this.url(attempt),
      stationId: identity.id,
      password: () => this.#password(),
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

  /** Where to connect: OCPP 2.x has an order of network profiles, of which the next is taken after some failures. */
  url(attempt: number): string {
    const { networkProfiles } = this.state.now.security
    const slots = this.settings.text('networkPriority').split(',')
    const slot = slots[Math.floor(attempt / attemptsPerProfile) % slots.length] ?? ''
    return networkProfiles[slot]?.url ?? this.options.url
  }

  // OCPP-J 1.6 §6.2: the key comes as hex, and the bytes are the password.
  #password(): string | undefined {
    const given = this.settings.text('password')
    if (given === '') return this.options.password
    const isHex = this.options.version === '1.6' && /^[0-9a-f]{32,40}$/i.test(given) && given.length % 2 === 0
    return isHex ? Buffer.from(given, 'hex').toString('latin1') : given
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
    const info = event.idToken === undefined ? undefined : this.#remember(event.idToken, reply)
    if (open === undefined || info === undefined || info.status === 'Accepted') return
    if (this.options.quirks.has('session-after-refusal') || !this.settings.is('stopOnInvalid')) return
    const place = this.options.places.find(({ id }) => id === open.evseId)
    if (place !== undefined) this.end(place, { stoppedReason: 'DeAuthorized', triggerReason: 'Deauthorized' })
  }

  #remember(idToken: string, reply: Payload) {
    const info = this.#dialect.tokenInfo(idToken, reply)
    if (info === undefined) return undefined
    const others = this.state.now.cache.filter((entry) => entry.idToken !== idToken)
    this.state.change({ cache: [...others, info] })
    return info
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

  #mayBegin(place: Place, holder: { idToken: string; groupIdToken?: string | undefined }) {
    const isFree = (other: Place) =>
      this.transactions.at(other.id) === undefined && other.pending === undefined && this.isOperative(other)
    const freeEvses = this.options.places.filter((other) => other === place || isFree(other)).length
    return mayBegin(this.state.now.reservations, { id: place.id, freeEvses }, holder)
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
