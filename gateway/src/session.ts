import type { Clock } from '@wattline/protocol'
import { openStore, type Store } from './store/database.ts'
import { countEpochs, type Epochs } from './store/epochs.ts'
import { type InstanceLock, lockInstance } from './store/instance-lock.ts'
import { beginSession, examineLineage, readBootId, type Witness } from './store/lineage.ts'

/** The right to sign with the keys of a data folder, and everything that comes with it. */
export interface Session {
  readonly store: Store
  readonly epochs: Epochs
  readonly witness: Witness
  /** Which run of the machine this is. */
  readonly bootId: string
  /** Why new epochs were opened for all metering points; undefined where the old ones go on. */
  readonly newEpochReason?: string
  close(): void
}

/**
 * Opens the data folder for signing. `check` runs before anything is changed: whoever must not sign throws there. New
 * epochs are opened wherever the database is not certainly the latest (SPEC-32).
 */
export function openSession(
  dataDir: string,
  clock: Clock,
  check: (store: Store) => void,
  bootId = readBootId(),
): Session {
  const lock = lockInstance(dataDir)
  let store: Store | undefined
  try {
    store = openStore(dataDir)
    check(store)
    const begun = begin(store, dataDir, clock, bootId)
    return { ...begun, store, bootId, close: closer(begun.witness, store, lock) }
  } catch (error) {
    store?.close()
    lock.release()
    throw error
  }
}

function begin(store: Store, dataDir: string, clock: Clock, bootId: string) {
  const lineage = examineLineage(store, dataDir, bootId)
  const epochs = countEpochs(clock, lineage.highestEpoch)
  const isFirst = store.sql('SELECT 1 FROM points LIMIT 1').get() === undefined
  if (lineage.continuous || isFirst) {
    const session = { bootId, highestEpoch: epochs.highest() }
    return { epochs, witness: beginSession(store, dataDir, session, () => {}) }
  }
  const epoch = epochs.next()
  const witness = beginSession(store, dataDir, { bootId, highestEpoch: epoch }, () => {
    store.sql('UPDATE points SET epoch = ?').run(epoch)
  })
  return { epochs, witness, newEpochReason: lineage.reason }
}

function closer(witness: Witness, store: Store, lock: InstanceLock): () => void {
  return () => {
    witness.close()
    store.close()
    lock.release() // last: whoever gets the lock finds the database closed
  }
}
