import type { Store } from '../store/database.ts'

interface Waiting {
  /** Runs inside the transaction; what it gives is called after the commit. */
  readonly work: () => () => void
  readonly failed: (error: unknown) => void
}

/**
 * Puts what comes in one turn of the event loop into one transaction: two hundred stations that report at the full
 * minute share a few syncs of the disk. Nobody is answered before the commit.
 */
export class TurnBatch {
  readonly #store: Store
  #waiting: Waiting[] = []

  constructor(store: Store) {
    this.#store = store
  }

  /**
   * Resolves after the commit; rejects where nothing could be stored. Work that throws fails alone: it must not have
   * written anything by then, or undo it itself.
   */
  run<T>(work: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({
        work: () => {
          const result = work()
          return () => resolve(result)
        },
        failed: reject,
      })
      if (this.#waiting.length === 1) setImmediate(() => this.flush())
    })
  }

  /** Commits what waits, now. */
  flush(): void {
    const batch = this.#waiting
    this.#waiting = []
    if (batch.length === 0) return
    try {
      const done = this.#store.write(() => batch.map(attempt))
      for (const tell of done) tell()
    } catch (error) {
      for (const { failed } of batch) failed(error)
    }
  }
}

function attempt({ work, failed }: Waiting): () => void {
  try {
    return work()
  } catch (error) {
    return () => failed(error)
  }
}
