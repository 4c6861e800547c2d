import type { Clock } from '@wattline/protocol'
import { openDrivers, type Reserving } from '../drivers/drivers.ts'
import type { DriversConfig } from '../drivers/drivers-config.ts'
import type { StationLink } from '../drivers/station-link.ts'
import { foreignVerifier } from '../identity/foreign-verifier.ts'
import { errorFields, type Log } from '../log.ts'
import { systemScheduler } from '../modbus/scheduler.ts'
import type { SessionSigner } from '../sessions/session-signer.ts'
import { SessionSink } from '../sessions/session-sink.ts'
import { type SessionView, viewSessions } from '../sessions/session-view.ts'
import { SignedValues, takingSignedValues } from '../sessions/signed-values.ts'
import type { SiteView } from '../smart-charging/controller.ts'
import type { SmartCharging } from '../smart-charging/smart-charging.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { SessionStore } from '../store/sessions.ts'
import { Commissioner } from './adopt/commissioner.ts'
import { openAuthority } from './authority/open-authority.ts'
import { type ControlServer, startControl } from './control-server.ts'
import { Csms } from './csms.ts'
import type { OcppConfig } from './ocpp-config.ts'
import type { Authorizer } from './transaction-sink.ts'
import { changesProfiles, type LocalRules } from './upstream/local-rules.ts'
import { Upstream } from './upstream/upstream.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'
import { makeWebSocketDial } from './upstream/web-socket-wire.ts'

/** Everything that serves charging stations. */
export interface Charging {
  /** The latest sessions. */
  sessions(): readonly SessionView[]
  /** How the house's current is shared; undefined where it is not. */
  site(): SiteView | undefined
  /** Ends sessions that nobody will end; forgets those that are old, and messages that tell of no energy. */
  prune(beforeMs: number): void
  /** How the stations stand upstream, by identity here; empty where there is no upstream. */
  upstream(): ReadonlyMap<string, UpstreamView>
  stop(): Promise<void>
}

/** What it works with. */
export interface ChargingParts {
  /** Shares the current of the house, where that is wanted. */
  readonly openSite?: ((call: Csms['call']) => SmartCharging) | undefined
  readonly config: OcppConfig
  readonly dataDir: string
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Who may charge; without it no card is known. */
  readonly drivers: DriversConfig | undefined
  /** Whether the ledger can be reached, as far as is known. */
  readonly isOnline: () => boolean
  /** Signs what the sessions here measure. */
  readonly signer: SessionSigner
}

const mostOtherFrames = 20_000
const pruneChunk = 2_000
const renewEveryMs = 3_600_000

/** Opens the ports for stations, and the socket for commands. */
export async function startCharging(parts: ChargingParts): Promise<Charging> {
  const { config, store, clock, log, openSite, signer } = parts
  const link: StationLink = {
    stations: () => csms.stations(),
    call: (stationId, action, payload) => csms.call(stationId, action, payload),
  }
  const drivers = openDrivers({ ...parts, config: parts.drivers, link })
  const { authorizer, checkCall } = drivers
  const sink = new SessionSink({ store, clock, authorizer, signer })
  const values = new SignedValues({ config: { ocpp: config }, store, log, verifier: foreignVerifier })
  const taking = takingSignedValues(sink, values)
  const site = openSite?.((...request) => csms.call(...request))
  const upstream = openUpstream(parts, { drivers, site })
  const authority = config.authority && (await openAuthority(config.authority, parts))
  const csms: Csms = new Csms({
    config,
    store,
    clock,
    log,
    sink: upstream?.sinkOver(taking) ?? taking,
    authorizer,
    checkCall,
    observers: [drivers, site, upstream].filter((observer) => observer !== undefined),
    upstream: () => upstream?.views() ?? new Map(),
    certificates: authority?.desk,
    onReady: (stationId) => commissioner.ready(stationId),
  })
  const commissioner = new Commissioner({ config, csms, clock, log })
  const control = await openPorts(parts, { csms, commissioner, drivers })
  const renewing = setInterval(() => {
    if (authority?.renewServer() === true) csms.renewTls()
    void csms.certificates?.renewDue()
  }, renewEveryMs)
  upstream?.start()
  site?.start()
  const journal = new OcppJournal(store)
  const sessions = new SessionStore(store)
  return {
    prune: (beforeMs) => {
      journal.prune({ beforeMs, most: mostOtherFrames, chunk: pruneChunk })
      upstream?.prune(beforeMs)
      drivers.prune(beforeMs)
      try {
        sink.tidy({ beforeMs })
        values.tidy({ beforeMs })
      } catch (error) {
        // Comes again in a minute. The tidying of everything else must not wait for it.
        log.warn('ocpp.sessions.tidy.failed', errorFields(error))
      }
    },
    upstream: () => upstream?.views() ?? new Map(),
    site: () => site?.view(),
    sessions: () => viewSessions(sessions),
    stop: async () => {
      drivers.stop()
      site?.stop()
      clearInterval(renewing)
      commissioner.stop()
      await control?.close()
      await csms.stop()
      await upstream?.stop()
    },
  }
}

// The socket comes before the stations: whoever reads that they are served may give commands.
async function openPorts(
  { dataDir, log }: ChargingParts,
  served: Parameters<typeof startControl>[1] & { readonly csms: Csms },
): Promise<ControlServer | undefined> {
  const control = await startControl(dataDir, served).catch((error: unknown): ControlServer | undefined => {
    // Stations are served all the same; the command says that it reaches nobody.
    log.warn('ocpp.control.unavailable', errorFields(error))
    return undefined
  })
  try {
    await served.csms.start()
    return control
  } catch (error) {
    await control?.close()
    throw error
  }
}

interface UpstreamNeighbours {
  readonly drivers: { readonly authorizer: Authorizer; readonly reserving: Reserving }
  readonly site: SmartCharging | undefined
}

function openUpstream(
  { config: { upstream, ...config }, store, clock, log }: ChargingParts,
  { drivers, site }: UpstreamNeighbours,
): Upstream | undefined {
  if (upstream === undefined) return undefined
  const { authorizer, reserving } = drivers
  const rules: LocalRules = {
    objectionTo: (command) =>
      site?.shares(command.stationId) === true && changesProfiles(command)
        ? { reason: 'the gateway shares the current of the house' }
        : reserving.objectionTo(command.stationId, command.action, command.payload),
    mostAmps: () => upstream.maxProfileAmps,
  }
  return new Upstream({
    config: upstream,
    localStations: config.stations.map(({ id }) => id),
    heartbeatSeconds: config.heartbeatSeconds,
    store,
    clock,
    scheduler: systemScheduler,
    log,
    dial: makeWebSocketDial(systemScheduler),
    authorizer,
    rules,
    random: Math.random,
    callStation: (stationId, action, payload) => reserving.passOn(stationId, action, payload),
  })
}
