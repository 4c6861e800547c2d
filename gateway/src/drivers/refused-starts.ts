import { errorFields, type Log } from '../log.ts'
import type { Scheduler } from '../modbus/scheduler.ts'
import type { PresentedToken } from '../ocpp/transaction-sink.ts'
import { toStopRequest } from './remote.ts'
import type { RunningSessions } from './running-sessions.ts'
import type { StationLink } from './station-link.ts'

export interface RefusedStartsParts {
  readonly log: Log
  readonly scheduler: Scheduler
  readonly link: StationLink
  readonly running: RunningSessions
}

/** A station that obeys has ended the session by then. */
const obeyMs = 10_000
const mostRemembered = 10_000

/** Some stations charge on after their start was refused: these are told to stop. */
export class RefusedStarts {
  readonly #parts: RefusedStartsParts
  readonly #waiting = new Map<string, () => void>()
  /** Starts that were let in: a stranger's card that is held to the station later ends nothing. */
  readonly #accepted = new Set<string>()

  constructor(parts: RefusedStartsParts) {
    this.#parts = parts
  }

  judged({ stationId, attempt }: PresentedToken, isAccepted: boolean): void {
    if (attempt === undefined) return
    const key = `${stationId}\n${attempt}`
    this.#waiting.get(key)?.()
    this.#waiting.delete(key)
    // Somebody else may have shown a card that counts, for the same vehicle.
    if (isAccepted) this.#remember(key)
    if (this.#accepted.has(key)) return
    const look = () => {
      this.#waiting.delete(key)
      void this.#end(stationId, attempt)
    }
    this.#waiting.set(key, this.#parts.scheduler.after(obeyMs, look))
  }

  stop(): void {
    for (const forget of this.#waiting.values()) forget()
    this.#waiting.clear()
  }

  #remember(key: string): void {
    this.#accepted.add(key)
    const [oldest] = this.#accepted
    if (this.#accepted.size > mostRemembered && oldest !== undefined) this.#accepted.delete(oldest)
  }

  async #end(stationId: string, attempt: string): Promise<void> {
    const { link, log, running } = this.#parts
    const session = running.refused(stationId, attempt)
    if (session === undefined) return
    const { transactionId } = session
    try {
      await link.call(stationId, ...toStopRequest(session))
      log.info('session.refused.stopped', { station: stationId, transactionId })
    } catch (error) {
      log.warn('session.refused.runs', { station: stationId, transactionId, ...errorFields(error) })
    }
  }
}
