import type { Clock } from '@wattline/protocol'
import { foreignVerifier } from '../identity/foreign-verifier.ts'
import { errorFields, type Log } from '../log.ts'
import type { SessionSigner } from '../sessions/session-signer.ts'
import { SignedValues, takingSignedValues } from '../sessions/signed-values.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { type ControlServer, startControl } from './control-server.ts'
import { Csms } from './csms.ts'
import { JournalSink } from './journal-sink.ts'
import type { OcppConfig } from './ocpp-config.ts'
import type { Authorizer } from './transaction-sink.ts'

/** Everything that serves charging stations. */
export interface Charging {
  /** Forgets what tells of no energy and came before this time. */
  prune(beforeMs: number): void
  stop(): Promise<void>
}

/** What it works with. */
export interface ChargingParts {
  readonly config: OcppConfig
  readonly dataDir: string
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Signs what the sessions here measure. */
  readonly signer: SessionSigner
}

// Nobody is listed as a driver, so nobody is known: a card is refused until there is a list to find it in.
const nobody: Authorizer = { authorize: () => ({ status: 'Invalid' }) }

const mostOtherFrames = 20_000
const pruneChunk = 2_000

/** Opens the ports for stations, and the socket for commands. */
export async function startCharging({ config, dataDir, store, clock, log }: ChargingParts): Promise<Charging> {
  const values = new SignedValues({ config: { ocpp: config }, store, log, verifier: foreignVerifier })
  const sink = takingSignedValues(new JournalSink(store, nobody), values)
  const csms = new Csms({ config, store, clock, log, sink, authorizer: nobody })
  await csms.start()
  const control = await startControl(dataDir, csms).catch((error: unknown): ControlServer | undefined => {
    // Stations are served all the same; the command says that it reaches nobody.
    log.warn('ocpp.control.unavailable', errorFields(error))
    return undefined
  })
  const journal = new OcppJournal(store)
  return {
    prune: (beforeMs) => void journal.prune({ beforeMs, most: mostOtherFrames, chunk: pruneChunk }),
    stop: async () => {
      await control?.close()
      await csms.stop()
    },
  }
}
