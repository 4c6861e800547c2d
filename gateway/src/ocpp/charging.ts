import type { Clock } from '@wattline/protocol'
import { openDrivers } from '../drivers/drivers.ts'
import type { DriversConfig } from '../drivers/drivers-config.ts'
import { errorFields, type Log } from '../log.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { type ControlServer, startControl } from './control-server.ts'
import { Csms } from './csms.ts'
import { JournalSink } from './journal-sink.ts'
import type { OcppConfig } from './ocpp-config.ts'

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
  readonly drivers: DriversConfig | undefined
  /** Whether the ledger can be reached, as far as is known. */
  readonly isOnline: () => boolean
}

const mostOtherFrames = 20_000
const pruneChunk = 2_000

/** Opens the ports for stations, and the socket for commands. */
export async function startCharging(parts: ChargingParts): Promise<Charging> {
  const { config, dataDir, store, clock, log } = parts
  const drivers = openDrivers({
    ...parts,
    config: parts.drivers,
    link: {
      stations: () => csms.stations(),
      call: (stationId, action, payload) => csms.call(stationId, action, payload),
    },
  })
  const { authorizer, checkCall, stationIsBack: onBack } = drivers
  const sink = new JournalSink(store, authorizer)
  const csms = new Csms({ config, store, clock, log, sink, authorizer, checkCall, onBack })
  await csms.start()
  const control = await startControl(dataDir, csms, (command) => drivers.run(command)).catch(
    (error: unknown): ControlServer | undefined => {
      // Stations are served all the same; the command says that it reaches nobody.
      log.warn('ocpp.control.unavailable', errorFields(error))
      return undefined
    },
  )
  const journal = new OcppJournal(store)
  return {
    prune: (beforeMs) => {
      journal.prune({ beforeMs, most: mostOtherFrames, chunk: pruneChunk })
      drivers.prune(beforeMs)
    },
    stop: async () => {
      drivers.stop()
      await control?.close()
      await csms.stop()
    },
  }
}
