import type { Clock } from '@wattline/protocol'
import { errorFields, type Log } from '../log.ts'
import { systemScheduler } from '../modbus/scheduler.ts'
import type { SessionSigner } from '../sessions/session-signer.ts'
import { SessionSink } from '../sessions/session-sink.ts'
import type { Store } from '../store/database.ts'
import { OcppJournal } from '../store/ocpp-journal.ts'
import { type ControlServer, startControl } from './control-server.ts'
import { Csms } from './csms.ts'
import type { OcppConfig } from './ocpp-config.ts'
import type { Authorizer } from './transaction-sink.ts'
import type { LocalRules } from './upstream/local-rules.ts'
import { Upstream } from './upstream/upstream.ts'
import type { UpstreamView } from './upstream/upstream-view.ts'
import { makeWebSocketDial } from './upstream/web-socket-wire.ts'

/** Everything that serves charging stations. */
export interface Charging {
  /** Ends sessions that nobody will end; forgets those that are old, and messages that tell of no energy. */
  prune(beforeMs: number): void
  /** How the stations stand upstream, by identity here; empty where there is no upstream. */
  upstream(): ReadonlyMap<string, UpstreamView>
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

// No charging point has a key yet: sessions are kept, and their registers not signed.
const noSigner: SessionSigner = { sign: () => {} }

const mostOtherFrames = 20_000
const pruneChunk = 2_000

/** Opens the ports for stations, and the socket for commands. */
export async function startCharging(parts: ChargingParts): Promise<Charging> {
  const { config, dataDir, store, clock, log } = parts
  const authorizer = nobody
  const sink = new SessionSink({ store, clock, authorizer, signer: noSigner })
  const upstream = openUpstream(parts, authorizer, (...request) => csms.call(...request))
  const csms: Csms = new Csms({
    config,
    store,
    clock,
    log,
    sink: upstream?.sinkOver(sink) ?? sink,
    authorizer,
    observer: upstream,
    upstream: () => upstream?.views() ?? new Map(),
  })
  await csms.start()
  upstream?.start()
  const control = await startControl(dataDir, csms).catch((error: unknown): ControlServer | undefined => {
    // Stations are served all the same; the command says that it reaches nobody.
    log.warn('ocpp.control.unavailable', errorFields(error))
    return undefined
  })
  const journal = new OcppJournal(store)
  return {
    prune: (beforeMs) => {
      journal.prune({ beforeMs, most: mostOtherFrames, chunk: pruneChunk })
      sink.tidy({ beforeMs })
      upstream?.prune(beforeMs)
    },
    upstream: () => upstream?.views() ?? new Map(),
    stop: async () => {
      await control?.close()
      await csms.stop()
      await upstream?.stop()
    },
  }
}

function openUpstream(
  { config: { upstream, ...config }, store, clock, log }: ChargingParts,
  authorizer: Authorizer,
  callStation: Csms['call'],
): Upstream | undefined {
  if (upstream === undefined) return undefined
  // Nobody else has a say yet in what upstream may do.
  const rules: LocalRules = { objectionTo: () => undefined, mostAmps: () => upstream.maxProfileAmps }
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
    callStation,
  })
}
