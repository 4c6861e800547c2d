import { readFileSync } from 'node:fs'
import { formatPublicKey, type SignatureVerifier, WattError } from '@wattline/protocol'
import { startBroker } from './broker.ts'
import type { ExternalConfig, LedgerConfig } from './config.ts'
import { openLedger } from './engine.ts'
import type { ChainBackend, ChainBackendOptions } from './evm/chain-backend.ts'
import { HeadFile } from './head.ts'
import { Health } from './health.ts'
import { startStatusServer } from './http.ts'
import { loadLedgerKey, readKeyFile } from './ledger-key.ts'
import type { Logger } from './log.ts'
import { Metrics } from './metrics.ts'
import { type ConnectionOptions, wayTo } from './mqtt/connection.ts'
import { MqttIntake } from './mqtt/intake.ts'
import { openOrderDesk } from './orders/desk.ts'
import { OrderPages, type OrderWatch } from './orders/order-pages.ts'
import { startAnchoring } from './proof/anchoring.ts'
import { Anchors } from './proof/anchors.ts'
import { Receipts } from './receipts.ts'
import { lockDataDir } from './store/database.ts'
import { forgetFinalPlaces } from './store/final-places.ts'
import { systemClock } from './system-clock.ts'

/** A running ledger. */
export interface RunningLedger {
  readonly mqttUrl: string
  readonly httpPort?: number
  /** Settles when the ledger cannot go on. */
  readonly failed: Promise<unknown>
  stop(): Promise<void>
}

/** Starts everything: storage first, then the broker, then whoever talks to it. */
export async function startLedger(
  config: LedgerConfig,
  verifier: SignatureVerifier,
  log: Logger,
): Promise<RunningLedger> {
  const { dataDir, enrolment, eea, operatorKeyFile } = config.ledger
  // What was started is stopped in the opposite order, also when a later step fails.
  const started: (() => void | Promise<void>)[] = []
  const stop = async () => {
    for (const each of started.splice(0).toReversed()) await each()
  }
  try {
    const lock = lockDataDir(dataDir)
    started.push(() => lock.release())
    const issued = eea === undefined ? {} : { eeaHolders: eea.holders }
    const engine = openLedger({
      dataDir,
      clock: systemClock,
      verifier,
      enrolment,
      operatorKeyFile,
      check: true,
      ...issued,
    })
    started.push(() => engine.close())
    const signer = await loadLedgerKey(dataDir)
    started.push(keepHead(new HeadFile(engine.db, { signer, clock: systemClock }), log))
    const health = new Health()
    const metrics = new Metrics({
      waiting: () => engine.intake.waiting(),
      points: () => engine.registry.all().length,
    })
    const desk = openOrderDesk(engine, { clock: systemClock, verifier, signer })
    const wallets = config.http?.wallets === true ? { wallets: new OrderPages(desk, watchOrders(metrics, log)) } : {}
    const http =
      config.http === undefined ? undefined : await startStatusServer(config.http, { health, metrics, ...wallets })
    if (http !== undefined) started.push(() => http.close())
    const broker = 'embedded' in config.mqtt ? await startEmbedded(config.mqtt.embedded, log) : undefined
    if (broker !== undefined) started.push(() => broker.close())
    const way = broker ?? wayTo(toConnection(config.mqtt))
    const failed = Promise.withResolvers<unknown>()
    const chain = await openBackend(config, { dataDir, db: engine.db, registry: engine.registry, health, log })
    if (chain !== undefined) started.push(() => chain.stop())
    const receipts = new Receipts(engine, signer, systemClock, chain?.placeOf)
    const intake = new MqttIntake(way, { engine, receipts, health, metrics, log, fatal: failed.resolve })
    started.push(() => intake.stop())
    chain?.run((points) => intake.announce(points)).catch(failed.resolve)
    const anchors = new Anchors({ db: engine.db, ledger: engine.ledger, signer, clock: systemClock })
    started.push(startAnchoring(anchors, { health, log }))
    log.info({
      event: 'ledger.started',
      mqtt: way.url,
      ...(http === undefined ? {} : { httpPort: http.port }),
      verifier: verifier.name,
      enrolment,
      points: engine.registry.all().length,
      waiting: engine.intake.waiting(),
      publicKey: formatPublicKey(signer.publicKey),
      ledger: desk.orders.address,
    })
    const ports = http === undefined ? {} : { httpPort: http.port }
    return { mqttUrl: way.url, ...ports, failed: failed.promise, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function openBackend(
  { ledger, evm }: LedgerConfig,
  parts: Omit<ChainBackendOptions, 'config' | 'secretKey'>,
): Promise<ChainBackend | undefined> {
  if (ledger.backend === 'evm' && evm !== undefined) {
    const { openChainBackend } = await import('./evm/chain-backend.ts')
    return openChainBackend({ ...parts, config: evm, secretKey: readKeyFile(evm.keyFile) })
  }
  forgetFinalPlaces(parts.db)
  return undefined
}

function watchOrders(metrics: Metrics, log: Logger): OrderWatch {
  return {
    told: (result) => metrics.orderTold(result),
    failed: (error) =>
      log.error({ event: 'orders.failed', error: error instanceof Error ? error.stack : String(error) }),
  }
}

/** How often the signed head follows the ledger. */
const headMs = 5000

// The head is for who looks later: it never keeps the ledger from its work.
function keepHead(head: HeadFile, log: Logger): () => void {
  const attempt = (work: () => void) => {
    try {
      work()
    } catch (error) {
      log.warn({ event: 'ledger.head.failed', reason: String(error) })
    }
  }
  attempt(() => {
    const kept = head.keepIfAhead()
    const message = `the database holds less than the ledger has signed: restored, or cut off; the proof is ${kept}`
    if (kept !== undefined) log.error({ event: 'ledger.went-back', message })
  })
  attempt(() => head.write())
  const timer = setInterval(() => attempt(() => head.write()), headMs)
  return () => {
    clearInterval(timer)
    attempt(() => head.write())
  }
}

function startEmbedded(config: Parameters<typeof startBroker>[0], log: Logger): ReturnType<typeof startBroker> {
  return startBroker(config, (event, fields) => log.warn({ event, ...fields }))
}

function toConnection(config: LedgerConfig['mqtt']): ConnectionOptions {
  if ('embedded' in config) throw new WattError('config/invalid', 'mqtt: url expected')
  const { passwordFile, ...options }: ExternalConfig = config
  return passwordFile === undefined ? options : { ...options, password: readPassword(passwordFile) }
}

function readPassword(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new WattError('config/unreadable', `mqtt.passwordFile: ${path}: cannot be read`, { cause })
  }
}
