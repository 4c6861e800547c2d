import type { Scheduler } from '../../modbus/scheduler.ts'

/** Waits for a moment or for a wake-up, whichever comes first. A wake-up that comes too early is not lost. */
export class Sleeper {
  readonly #scheduler: Scheduler
  #isWoken = false
  #rouse: () => void = () => {}

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler
  }

  wake(): void {
    this.#isWoken = true
    this.#rouse()
  }

  /** Whoever looks for work next sees everything up to now. */
  reset(): void {
    this.#isWoken = false
  }

  /** Resolves after this long, or at once if woken since the last `reset`. Without a time it waits for a wake-up. */
  async sleep(ms?: number): Promise<void> {
    if (this.#isWoken) return
    await new Promise<void>((resolve) => {
      const cancel = ms === undefined ? () => {} : this.#scheduler.after(Math.max(0, ms), resolve)
      this.#rouse = () => {
        cancel()
        resolve()
      }
    })
    this.#rouse = () => {}
  }
}
