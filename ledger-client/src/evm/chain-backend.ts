import type { PointId } from '@wattline/protocol'
import type { Health } from '../health.ts'
import type { Logger } from '../log.ts'
import type { Registry } from '../points/registry.ts'
import type { FinalPlaceOf } from '../receipts.ts'
import type { Database } from '../store/database.ts'
import { FinalPlaces } from '../store/final-places.ts'
import { ChainReporter } from './chain-reporter.ts'
import type { EvmConfig } from './evm-config.ts'
import { Finality } from './finality.ts'
import { prepareLanes } from './ledger-lanes.ts'
import { keepGoing, lockRelay, logOutcome, openChain, pauseAfter } from './relay.ts'

/** What a chain that counts is joined to the ledger with. */
export interface ChainBackendOptions {
  readonly dataDir: string
  readonly db: Database
  readonly registry: Registry
  readonly config: EvmConfig
  /** 32 bytes: who pays the gas. */
  readonly secretKey: Uint8Array
  readonly health: Health
  readonly log: Logger
}

/** A chain that has the last word. */
export interface ChainBackend {
  readonly placeOf: FinalPlaceOf
  /** Begins to relay and to watch; `moved` is told which points are final further than before. */
  run(moved: (points: readonly PointId[]) => void): Promise<void>
  stop(): Promise<void>
}

/** How often is looked what has become final, while something waits for it. */
const watchMs = 2000

/** Opens `backend: evm`: the ledger's own relayer, and receipts that wait for the chain (SPEC-170). */
export function openChainBackend(options: ChainBackendOptions): ChainBackend {
  const { dataDir, db, registry, config, secretKey, log } = options
  const end = new AbortController()
  const { wallet, contract, relayer, check } = openChain(config, secretKey, end.signal)
  const places = new FinalPlaces(db)
  const finality = new Finality(places, registry, contract)
  const lock = lockRelay(dataDir)
  let running = Promise.resolve()
  try {
    places.begin()
  } catch (error) {
    lock.release()
    throw error
  }
  const lanes = prepareLanes(db)
  const report = new ChainReporter(options.health, log)
  let relayAt = 0
  const turn = async (moved: (points: readonly PointId[]) => void): Promise<number> => {
    // What is final is looked for first: a wallet that is empty must not hold receipts back.
    await check()
    const advance = await finality.advance()
    report.advanced(advance, performance.now())
    if (advance.moved.length > 0) moved(advance.moved)
    if (performance.now() >= relayAt) {
      const outcome = await relayer.step(lanes())
      logOutcome(outcome, log)
      report.relayed(outcome, config)
      relayAt = performance.now() + pauseAfter(outcome, config)
    }
    report.reached()
    return Math.max(0, Math.min(watchMs, relayAt - performance.now()))
  }
  return {
    placeOf: (point) => places.of(point),
    run(moved) {
      log.info({ event: 'relay.started', payer: wallet.address, attestation: config.attestation })
      const work = () =>
        turn(moved).catch((error: unknown) => {
          report.failed(error)
          throw error
        })
      running = keepGoing({ signal: end.signal, longestMs: config.everySeconds * 1000 }, log, work)
      return running
    },
    async stop() {
      end.abort()
      await running.catch(() => {
        // Whoever has started it was told.
      })
      lock.release()
    },
  }
}
