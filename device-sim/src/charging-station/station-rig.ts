import { EnergyTree } from '../energy-tree.ts'
import { VirtualTimers } from '../virtual-timers.ts'
import type { EvseOptions } from './evse.ts'
import type { LinkEvents, LinkRequest, OpenLink } from './link.ts'
import type { Quirk } from './quirks.ts'
import type { Payload } from './rpc.ts'
import { type OcppVersion, payloadCheck } from './schemas.ts'
import { Station } from './station.ts'
import { Vehicle, type VehicleOptions } from './vehicle.ts'

/** Tests of the firmware: a station in virtual time, with a CSMS in memory that judges what it hears. */

export interface Heard {
  readonly atMs: number
  readonly messageId: string
  readonly action: string
  readonly payload: Payload
  /** What the schema has against it. */
  readonly problem: string | undefined
}

interface Socket {
  readonly request: LinkRequest
  readonly events: LinkEvents
  isOpen: boolean
}

type Answer = { readonly result: Payload } | { readonly errorCode: string } | 'silence'

/** The start of all tests, in Unix ms. */
export const epochMs = Date.parse('2026-11-21T09:00:00Z')
const latencyMs = 20

export class MemoryCsms {
  readonly heard: Heard[] = []
  readonly sockets: Socket[] = []
  /** Cards that are known, by their status. */
  readonly cards = new Map<string, string>()
  isReachable = true
  emptyFrames = 0
  bootStatus = 'Accepted'
  /** Stands in the place of the usual answer where it gives one. */
  override: (action: string, payload: Payload) => Answer | undefined = () => undefined
  readonly #version: OcppVersion
  readonly #timers: VirtualTimers
  readonly #answers = new Map<string, { readonly action: string; readonly resolve: (answer: unknown) => void }>()
  /** What the schema has against the station's answers. */
  readonly unsoundAnswers: string[] = []
  readonly #transactions: string[] = []
  #asked = 0

  constructor(version: OcppVersion, timers: VirtualTimers) {
    this.#version = version
    this.#timers = timers
  }

  readonly openLink: OpenLink = (request, events) => {
    const socket: Socket = { request, events, isOpen: false }
    this.sockets.push(socket)
    const closed = (reason: string) => {
      socket.isOpen = false
      events.closed(reason)
    }
    this.#timers.after(latencyMs, () => {
      if (!this.isReachable) closed('unreachable')
      else {
        socket.isOpen = true
        events.opened()
      }
    })
    return {
      send: (text) =>
        this.#timers.after(latencyMs, () => socket.isOpen && this.isReachable && this.#hear(socket, text)),
      close: () => {
        socket.isOpen = false
      },
      mute: () => {
        socket.isOpen = false
      },
      sendBadFrame: () => this.#timers.after(latencyMs, () => closed('bad frame')),
    }
  }

  heardOf(...actions: string[]): readonly Heard[] {
    return this.heard.filter(({ action }) => actions.includes(action))
  }

  get open(): readonly Socket[] {
    return this.sockets.filter(({ isOpen }) => isOpen)
  }

  /** Cuts every socket, as when a router is switched off and on. */
  cut(): void {
    for (const socket of this.open) {
      socket.isOpen = false
      socket.events.closed('1006')
    }
  }

  /** Sends a CALL over the newest socket; the answer comes while virtual time goes on. */
  ask(action: string, payload: Payload): Promise<unknown> {
    this.#asked += 1
    const id = `csms-${this.#asked}`
    const answer = new Promise((resolve) => this.#answers.set(id, { action, resolve }))
    this.open.at(-1)?.events.text(JSON.stringify([2, id, action, payload]))
    return answer
  }

  #hear(socket: Socket, text: string): void {
    if (text === '') {
      this.emptyFrames += 1
      return
    }
    const [type, messageId, ...rest] = JSON.parse(text)
    if (type === 2) {
      const [action, payload] = rest
      const problem = payloadCheck(this.#version)(action, 'request', payload)
      this.heard.push({ atMs: this.#timers.now(), messageId, action, payload, problem })
      const answer = this.override(action, payload) ?? { result: this.#usual(action, payload) }
      if (answer === 'silence') return
      const message = 'result' in answer ? [3, messageId, answer.result] : [4, messageId, answer.errorCode, '', {}]
      this.#timers.after(latencyMs, () => socket.isOpen && socket.events.text(JSON.stringify(message)))
    } else this.#answered(messageId, type === 3 ? { payload: rest[0] } : { errorCode: rest[0] })
  }

  #answered(messageId: string, answer: { readonly payload: unknown } | { readonly errorCode: string }): void {
    const asked = this.#answers.get(messageId)
    if (asked === undefined) return
    const problem =
      'payload' in answer ? payloadCheck(this.#version)(asked.action, 'response', answer.payload) : undefined
    if (problem !== undefined) this.unsoundAnswers.push(`${asked.action}: ${problem}`)
    asked.resolve('payload' in answer ? answer.payload : answer)
  }

  #usual(action: string, payload: Payload): Payload {
    const currentTime = new Date(epochMs + this.#timers.now()).toISOString()
    if (action === 'BootNotification') return { currentTime, interval: 300, status: this.bootStatus }
    if (action === 'Heartbeat') return { currentTime }
    if (this.#version !== '1.6') {
      const token = payload['idToken']
      if (typeof token !== 'object' || token === null || !('idToken' in token)) return {}
      return { idTokenInfo: { status: this.cards.get(String(token.idToken)) ?? 'Unknown' } }
    }
    const idTagInfo = { status: this.cards.get(String(payload['idTag'])) ?? 'Invalid' }
    if (action === 'StartTransaction') return { idTagInfo, transactionId: this.#transactionOf(payload) }
    return action === 'Authorize' || action === 'StopTransaction' ? { idTagInfo } : {}
  }

  // By what it says and never by its message id.
  #transactionOf({ connectorId, idTag, timestamp, meterStart }: Payload): number {
    const content = JSON.stringify([connectorId, idTag, timestamp, meterStart])
    if (!this.#transactions.includes(content)) this.#transactions.push(content)
    return 1000 + this.#transactions.indexOf(content)
  }
}

export interface RigOptions {
  readonly version?: OcppVersion
  readonly quirks?: readonly Quirk[]
  readonly preset?: Readonly<Record<string, string>>
  readonly evses?: readonly (EvseOptions & { readonly startWh: number })[]
  readonly driftSeconds?: number
  /** Called at each moment at which a power cut may find the station: around each write, at each message. */
  readonly onPoint?: () => void
}

const oneEvse = [{ maxCurrentA: 32, phases: 3 as const, hasVentilation: false, startWh: 1000 }]

export const smallCar: VehicleOptions = {
  batteryWh: 40_000,
  socPercent: 20,
  targetPercent: 100,
  taperPercent: 80,
  maxCurrentA: 16,
  phases: 3,
  pauses: [],
  needsVentilation: false,
}

export class Rig {
  readonly timers = new VirtualTimers()
  readonly csms: MemoryCsms
  readonly events: { readonly event: string; readonly details: Payload }[] = []
  readonly #options: RigOptions
  #text: string | undefined
  #tree: EnergyTree
  #treeBeganSeconds = 0
  station: Station

  constructor(options: RigOptions = {}) {
    this.#options = options
    this.csms = new MemoryCsms(options.version ?? '1.6', this.timers)
    this.csms.cards.set('CARD', 'Accepted')
    this.#tree = this.#makeTree()
    this.station = this.#makeStation()
  }

  /** What lies on its disk. */
  get disk(): string | undefined {
    return this.#text
  }

  /** Lets virtual time pass in steps so small that promises keep up. */
  async run(seconds: number): Promise<void> {
    for (let ms = 0; ms < seconds * 1000; ms += 100) {
      this.timers.advance(Math.min(100, seconds * 1000 - ms))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** From this instant on nothing that the station does has any effect. */
  die(): void {
    this.#dead.add(this.station)
  }

  /** The whole program is killed and started again: only the disk stays. */
  kill(): void {
    this.die()
    for (const socket of this.csms.open) socket.isOpen = false
    this.station.powerOff()
    this.#tree = this.#makeTree()
    this.#treeBeganSeconds = Math.floor(this.timers.now() / 1000)
    this.station = this.#makeStation()
  }

  plugIn(options: Partial<VehicleOptions> = {}, evseId = 1): Vehicle {
    const vehicle = new Vehicle({ ...smallCar, ...options })
    this.station.plugIn(evseId, vehicle)
    return vehicle
  }

  registerWh(evseId = 1): number {
    this.#advance()
    return Number(this.station.registerMillijoules(evseId) / 3600n) / 1000
  }

  /** A command of the CSMS and its answer. */
  async ask(action: string, payload: Payload): Promise<Payload> {
    const answer = this.csms.ask(action, payload)
    await this.run(0.2)
    return (await answer) as Payload
  }

  readonly #dead = new Set<Station>()

  #advance(): void {
    this.#tree.stepTo(Math.floor(this.timers.now() / 1000) - this.#treeBeganSeconds)
  }

  #makeTree(): EnergyTree {
    const ids = (this.#options.evses ?? oneEvse).map((_, i) => i + 1)
    const second = (id: number) => this.station.evses.find((evse) => evse.id === id)?.evse.second() ?? 0
    return new EnergyTree(
      ids.map((id) => ({ id: String(id), sees: [], curve: () => second(id) })),
      0,
    )
  }

  #makeStation(): Station {
    const { version = '1.6', quirks = [], preset = {}, evses = oneEvse, driftSeconds = 0, onPoint } = this.#options
    const station: Station = new Station({
      identity: { id: 'CP1', vendor: 'Wattline', model: 'Test', serial: '1', firmware: '1.0' },
      version,
      url: 'ws://csms',
      quirks: new Set(quirks),
      preset,
      driftSeconds,
      zoneMinutes: 120,
      evses,
      timers: this.timers,
      wallClockMs: () => epochMs + this.timers.now(),
      storage: {
        read: () => this.#text,
        write: (text) => {
          onPoint?.()
          if (this.#dead.has(station)) return
          this.#text = text
          onPoint?.()
        },
      },
      openLink: (request, events) => {
        const alive = (run: () => void) => {
          onPoint?.()
          if (!this.#dead.has(station)) run()
        }
        const link = this.csms.openLink(request, {
          opened: () => alive(() => events.opened()),
          text: (text) => alive(() => events.text(text)),
          closed: (reason) => alive(() => events.closed(reason)),
        })
        return { ...link, send: (text) => alive(() => link.send(text)) }
      },
      random: () => 0.5,
      advance: () => this.#advance(),
      meteredMillijoules: (id) => this.#tree.flowOf(String(id)).importMillijoules,
      onEvent: (event, details) => this.events.push({ event, details }),
    })
    return station
  }
}

export interface Session {
  readonly beginWh: number
  readonly endWh: number | undefined
  readonly reason: string | undefined
}

/** What lies at a path, whatever it is. */
export function dig(value: unknown, ...path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    value,
  )
}

const registerOf = (payload: Payload) => Number(dig(payload, 'meterValue', 0, 'sampledValue', 0, 'value'))

/** What a CSMS makes of what it heard, by content. */
export function sessionsOf(heard: readonly Heard[]): readonly Session[] {
  const sessions = new Map<string, { beginWh?: number; endWh?: number; reason?: string }>()
  const at = (key: string) => {
    const session = sessions.get(key) ?? {}
    sessions.set(key, session)
    return session
  }
  let started = 0
  const numbers = new Map<string, string>()
  for (const { action, payload } of heard) {
    if (action === 'StartTransaction') {
      const key = JSON.stringify(payload)
      if (!numbers.has(key)) numbers.set(key, String(1000 + started++))
      at(numbers.get(key) ?? '').beginWh = Number(payload['meterStart'])
    } else if (action === 'StopTransaction') {
      Object.assign(at(String(payload['transactionId'])), { endWh: payload['meterStop'], reason: payload['reason'] })
    } else if (action === 'TransactionEvent') {
      const session = at(String(dig(payload, 'transactionInfo', 'transactionId')))
      if (payload['eventType'] === 'Started') session.beginWh = registerOf(payload)
      if (payload['eventType'] !== 'Ended') continue
      Object.assign(session, { endWh: registerOf(payload), reason: dig(payload, 'transactionInfo', 'stoppedReason') })
    }
  }
  return [...sessions.values()].map(({ beginWh = Number.NaN, endWh, reason }) => ({ beginWh, endWh, reason }))
}
