import type { Clock } from '@wattline/protocol'
import { errorFields, type Log } from '../log.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { Commissioner } from './adopt/commissioner.ts'
import { type ControlServer, startControl } from './control-server.ts'
import { Csms, type CsmsParts } from './csms.ts'
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
}

// Nobody is listed as a driver, so nobody is known: a card is refused until there is a list to find it in.
const nobody: Authorizer = { authorize: () => ({ status: 'Invalid' }) }

const mostOtherFrames = 20_000
const pruneChunk = 2_000
const renewEveryMs = 3_600_000

/** Opens the ports for stations, and the socket for commands. */
export async function startCharging({ config, dataDir, store, clock, log }: ChargingParts): Promise<Charging> {
  const sink = new JournalSink(store, nobody)
  const authority = config.authority && (await openAuthority(config.authority, { dataDir, clock, log }))
  const csms: Csms = new Csms({
    config,
    store,
    clock,
    log,
    sink,
    authorizer: nobody,
    certificates: authority?.desk,
    onReady: (stationId) => commissioner.ready(stationId),
  })
  const commissioner = new Commissioner({ config, csms, clock, log })
  await csms.start()
  const renewing = setInterval(() => {
    if (authority?.renewServer() === true) csms.renewTls()
    void csms.certificates?.renewDue()
  }, renewEveryMs)
  const control = await startControl(dataDir, csms, commissioner).catch((error: unknown): ControlServer | undefined => {
    // Stations are served all the same; the command says that it reaches nobody.
    log.warn('ocpp.control.unavailable', errorFields(error))
    return undefined
  })
  const journal = new OcppJournal(store)
  return {
    prune: (beforeMs) => void journal.prune({ beforeMs, most: mostOtherFrames, chunk: pruneChunk }),
    stop: async () => {
      clearInterval(renewing)
      commissioner.stop()
      await control?.close()
      await csms.stop()
    },
  }
}

interface OpenAuthority {
  readonly desk: NonNullable<CsmsParts['certificates']>
  /** Makes the TLS port's certificate anew where it ends soon and is ours; gives whether it did. */
  renewServer(): boolean
}

// Loaded only where it is used: the library for certificates takes its memory.
async function openAuthority(
  { certificateDays, renewBeforeDays }: NonNullable<OcppConfig['authority']>,
  { dataDir, clock, log }: Pick<ChargingParts, 'dataDir' | 'clock' | 'log'>,
): Promise<OpenAuthority> {
  const { Authority, renewServerCertificate } = await import('./authority/authority-files.ts')
  const { StationCertificates } = await import('./authority/station-certificates.ts')
  const authority = new Authority(dataDir)
  const renewServer = () => {
    try {
      const renewed = renewServerCertificate(authority, dataDir, clock.now(), renewBeforeDays)
      if (renewed) log.info('ocpp.certificate.server-renewed')
      return renewed
    } catch (error) {
      log.warn('ocpp.certificate.unrenewed', errorFields(error))
      return false
    }
  }
  renewServer()
  return {
    desk: (stations) =>
      new StationCertificates({ ...stations, authority, clock, log, stationDays: certificateDays, renewBeforeDays }),
    renewServer,
  }
}
