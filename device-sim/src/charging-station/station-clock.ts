import type { Quirks } from './quirks.ts'

export interface StationClockOptions {
  /** The true time, in Unix ms. */
  readonly wallClockMs: () => number
  readonly quirks: Quirks
  /** How wrong the clock is before the CSMS has set it. */
  readonly driftSeconds: number
  /** Local time, for stations that cannot tell it from UTC. */
  readonly zoneMinutes: number
}

const zoneOfOffsetTime = 600

/** The station's own clock. The CSMS sets it with the answers to BootNotification and Heartbeat. */
export class StationClock {
  readonly #options: StationClockOptions
  #offsetMs: number
  #heartbeatSeen = false

  constructor(options: StationClockOptions) {
    this.#options = options
    this.#offsetMs = options.quirks.has('epoch-before-boot') ? -options.wallClockMs() : options.driftSeconds * 1000
  }

  get nowMs(): number {
    return Math.floor(this.#options.wallClockMs() + this.#offsetMs)
  }

  set(text: unknown, by: 'boot' | 'heartbeat'): void {
    const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN
    if (Number.isNaN(ms)) return
    this.#offsetMs = ms - this.#options.wallClockMs()
    if (by === 'heartbeat') this.#heartbeatSeen = true
  }

  /** As the station writes it. */
  format(ms: number): string {
    const { quirks, zoneMinutes } = this.#options
    const at = (minutes: number) => {
      const text = new Date(ms + minutes * 60_000).toISOString().slice(0, -1)
      return quirks.has('no-milliseconds') ? text.slice(0, 19) : text
    }
    if (quirks.has('zoneless-time')) return at(zoneMinutes)
    if (quirks.has('offset-time')) return `${at(zoneOfOffsetTime)}+10:00`
    if (quirks.has('local-time-as-utc') && !this.#heartbeatSeen) return `${at(zoneMinutes)}Z`
    return `${at(0)}Z`
  }
}
