import { errorFields, type Log } from '../log.ts'
import type { Scheduler } from '../modbus/scheduler.ts'
import type { PresentedToken } from '../ocpp/transaction-sink.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { toStopRequest } from './remote.ts'
import type { JournalSessions, RunningSession } from './running-sessions.ts'
import type { StationLink } from './station-link.ts'

export interface RefusedStartsParts {
  readonly store: Store
  readonly log: Log
  readonly scheduler: Scheduler
  readonly link: StationLink
  readonly running: JournalSessions
}

/** A station that obeys has ended the session by then. */
const obeyMs = 10_000

/** Some stations charge on after their start was refused: these are told to stop. */
export class RefusedStarts {
  readonly #parts: RefusedStartsParts
  readonly #waiting = new Map<string, () => void>()

  constructor(parts: RefusedStartsParts) {
    this.#parts = parts
  }

  judged({ stationId, attempt }: PresentedToken, isAccepted: boolean): void {
    if (attempt === undefined) return
    const key = `${stationId}\n${attempt}`
    this.#waiting.get(key)?.()
    this.#waiting.delete(key)
    // Somebody else may have shown a card that counts, for the same vehicle.
    if (isAccepted) return
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

  async #end(stationId: string, attempt: string): Promise<void> {
    const { link, log } = this.#parts
    const session = this.#find(stationId, attempt)
    if (session === undefined) return
    const { transactionId } = session
    try {
      await link.call(stationId, ...toStopRequest(session))
      log.info('session.refused.stopped', { station: stationId, transactionId })
    } catch (error) {
      log.warn('session.refused.runs', { station: stationId, transactionId, ...errorFields(error) })
    }
  }

  // In OCPP 2.x the start is known by its transaction, in 1.6 by its content, which the journal has numbered.
  #find(stationId: string, attempt: string): RunningSession | undefined {
    const { running, store } = this.#parts
    const number = new OcppJournal(store).firstOf(attempt)
    return running.of(stationId, number === undefined ? attempt : String(number))
  }
}
