import { randomUUID } from 'node:crypto'
import type { Timers } from '../timers.ts'
import type { BootReason, Dialect } from './dialect.ts'
import type { Link, OpenLink } from './link.ts'
import type { Quirks } from './quirks.ts'
import { type Payload, type Reply, Rpc } from './rpc.ts'
import type { CheckPayload } from './schemas.ts'
import type { StationClock } from './station-clock.ts'
import type { TlsIdentity } from './station-security.ts'
import type { Request } from './transaction-queue.ts'

export interface ConnectionOptions {
  /** Where to connect, after so many failures. */
  readonly url: (attempt: number) => string
  readonly stationId: string
  readonly password: () => string | undefined
  readonly identity: () => TlsIdentity
  readonly dialect: Dialect
  readonly quirks: Quirks
  readonly timers: Timers
  readonly clock: StationClock
  readonly check: CheckPayload
  readonly openLink: OpenLink
  readonly random: () => number
  readonly bootReason: BootReason
  readonly heartbeatIntervalMs: () => number
  /** The CSMS has accepted the station on this socket; also where no BootNotification was sent. */
  readonly onAccepted: () => void
  readonly onHeartbeatInterval: (seconds: number) => void
  readonly onEvent: (event: string, details: Payload) => void
}

const throwAwayMs = 3000
const halfOpenMs = 60_000
const firstBackoffMs = 1000
const longestBackoffMs = 60_000
const bootRetryMs = 10_000
const firstCountedId = 1_000_001

/** Everything about being connected: sockets, backing off, BootNotification, Heartbeat. One per power-up. */
export class Connection {
  readonly #options: ConnectionOptions
  #link: Link | undefined
  #rpc: Rpc | undefined
  #state: 'offline' | 'booting' | 'accepted' = 'offline'
  #stopped = false
  #networkUp = true
  #booted = false
  #thrownAway = false
  #badFrameSent = false
  #attempt = 0
  #messageIds = firstCountedId
  #cancels = new Set<() => void>()

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#thrownAway = !options.quirks.has('throw-away-connection')
  }

  get isAccepted(): boolean {
    return this.#state === 'accepted'
  }

  connect(): void {
    if (this.#stopped || !this.#networkUp) return
    if (!this.#thrownAway) this.#throwOneAway()
    else this.#open()
  }

  /** A call outside of BootNotification: lost unless the CSMS has accepted the station. */
  call({ action, payload }: Request): Promise<Reply> {
    return this.isAccepted && this.#rpc !== undefined
      ? this.#rpc.call(action, payload)
      : Promise.resolve({ kind: 'lost' })
  }

  /** The cable of the network. What was on its way is gone, and nobody is told. */
  setNetwork(up: boolean): void {
    if (this.#networkUp === up) return
    this.#networkUp = up
    if (up) this.connect()
    else this.#mute()
  }

  reconnect(): void {
    if (this.#options.quirks.has('old-socket-stays')) this.#forget()
    else this.#drop()
    this.connect()
  }

  boot(reason: BootReason): void {
    void this.#boot(this.#rpc, reason)
  }

  heartbeat(): void {
    void this.#heartbeat()
  }

  /** Says nothing more on this socket, and hears nothing. */
  hang(): void {
    this.#rpc?.close()
    this.#rpc = undefined
    this.#clearTimers()
    this.#state = 'offline'
  }

  /** The end of this power-up. With `cut` the CSMS sees nothing but silence. */
  stop(how: 'cut' | 'shutdown'): void {
    this.#stopped = true
    if (how === 'cut') this.#mute()
    else this.#drop()
  }

  #throwOneAway(): void {
    const { url, stationId, password, identity, openLink, timers } = this.#options
    this.#thrownAway = true
    const request = { url: `${url(0)}/${encodeURIComponent(stationId)}`, subprotocol: 'ocpp1.6', user: stationId }
    const ignore = () => undefined
    const shown = { password: password(), identity: identity() }
    const link = openLink({ ...request, ...shown }, { opened: ignore, text: ignore, closed: ignore })
    this.#link = link
    this.#later(throwAwayMs, () => {
      link.close('abrupt')
      this.connect()
    })
    this.#options.onEvent('connection.thrown-away', { afterMs: throwAwayMs, at: timers.now() })
  }

  #open(): void {
    const { url, stationId, password, identity, dialect, quirks, openLink } = this.#options
    const request = {
      url: `${url(this.#attempt)}/${encodeURIComponent(stationId)}`,
      subprotocol: quirks.has('no-subprotocol') ? undefined : dialect.subprotocol,
      user: stationId,
      password: password(),
      identity: identity(),
    }
    // A link tells of itself also after another has taken its place.
    const own = (run: () => void) => () => (this.#link === link ? run() : undefined)
    const link: Link = openLink(request, {
      opened: () => own(() => this.#opened(link))(),
      text: (text) => own(() => this.#rpc?.receive(text))(),
      closed: (reason) => own(() => this.#closed(reason))(),
    })
    this.#link = link
  }

  #opened(link: Link): void {
    const { timers, quirks, check, dialect, onEvent } = this.#options
    onEvent('connection.opened', {})
    this.#attempt = 0
    this.#rpc = new Rpc({
      link,
      timers,
      quirks,
      check,
      hasResultErrors: dialect.subprotocol === 'ocpp2.1',
      nextMessageId: () => this.#nextMessageId(),
      onCall: (action, payload) => {
        onEvent('connection.asked', { action })
        return dialect.onCall(action, payload)
      },
      onBadMessage: (problem) => onEvent('connection.bad-message', { problem }),
    })
    if (this.#booted && quirks.has('no-boot-on-reconnect')) this.#accepted()
    else void this.#boot(this.#rpc, this.#booted ? 'Unknown' : this.#options.bootReason)
  }

  async #boot(rpc: Rpc | undefined, reason: BootReason): Promise<void> {
    const { dialect, clock, onEvent, onHeartbeatInterval } = this.#options
    if (rpc === undefined) return
    if (this.#state === 'offline') this.#state = 'booting'
    const { action, payload } = dialect.boot(reason)
    const reply = await rpc.call(action, payload)
    if (rpc !== this.#rpc) return
    if (reply.kind !== 'result') {
      onEvent('connection.boot.failed', { reply: reply.kind })
      this.#later(bootRetryMs, () => void this.#boot(rpc, reason))
      return
    }
    clock.set(reply.payload['currentTime'], 'boot')
    const interval = Number(reply.payload['interval'])
    if (reply.payload['status'] !== 'Accepted') {
      onEvent('connection.boot.refused', { status: reply.payload['status'] })
      this.#state = 'booting'
      this.#later(interval > 0 ? interval * 1000 : bootRetryMs, () => void this.#boot(rpc, reason))
      return
    }
    if (interval > 0) onHeartbeatInterval(interval)
    if (this.#state !== 'accepted') this.#accepted()
  }

  #accepted(): void {
    this.#state = 'accepted'
    this.#booted = true
    this.#options.onEvent('connection.accepted', {})
    this.#planHeartbeat()
    this.#options.onAccepted()
    if (this.#options.quirks.has('bad-frames') && !this.#badFrameSent) {
      this.#badFrameSent = true
      this.#later(1000, () => this.#link?.sendBadFrame())
    }
  }

  #planHeartbeat(): void {
    const rpc = this.#rpc
    const beat = async () => {
      await this.#heartbeat()
      if (rpc === this.#rpc) this.#planHeartbeat()
    }
    this.#later(this.#options.heartbeatIntervalMs(), () => void beat())
  }

  async #heartbeat(): Promise<void> {
    const reply = await this.call({ action: 'Heartbeat', payload: {} })
    if (reply.kind === 'result') this.#options.clock.set(reply.payload['currentTime'], 'heartbeat')
  }

  #closed(reason: string): void {
    this.#options.onEvent('connection.closed', { reason })
    this.#forget()
    if (this.#stopped || !this.#networkUp) return
    const waitMs = Math.min(longestBackoffMs, firstBackoffMs * 2 ** this.#attempt)
    this.#attempt += 1
    this.#later(waitMs * (0.75 + 0.5 * this.#options.random()), () => this.connect())
  }

  #drop(): void {
    const link = this.#link
    this.#forget()
    link?.close()
  }

  // The other side holds a socket that is half open, until it notices or the network in between forgets it.
  #mute(): void {
    const link = this.#link
    this.#forget()
    link?.mute()
    if (link !== undefined) this.#options.timers.after(halfOpenMs, () => link.close('abrupt'))
  }

  #forget(): void {
    this.#clearTimers()
    this.#link = undefined
    const rpc = this.#rpc
    this.#rpc = undefined
    this.#state = 'offline'
    rpc?.close()
  }

  #later(ms: number, run: () => void): void {
    if (this.#stopped) return
    const cancel = this.#options.timers.after(ms, () => {
      this.#cancels.delete(cancel)
      run()
    })
    this.#cancels.add(cancel)
  }

  #clearTimers(): void {
    for (const cancel of this.#cancels) cancel()
    this.#cancels.clear()
  }

  #nextMessageId(): string {
    if (!this.#options.quirks.has('counting-message-ids')) return randomUUID()
    this.#messageIds += 1
    return String(this.#messageIds - 1)
  }
}
