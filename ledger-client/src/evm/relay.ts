import { setTimeout as sleep } from 'node:timers/promises'
import { WattError } from '@wattline/protocol'
import type { Logger } from '../log.ts'
import { lockDataDir, openDatabase } from '../store/database.ts'
import { AttestationContract } from './attestation-contract.ts'
import type { EvmConfig } from './evm-config.ts'
import { prepareLanes } from './ledger-lanes.ts'
import { Relayer, type StepOutcome } from './relayer.ts'
import { decodeQuantity, makeRpc, type Rpc } from './rpc.ts'
import { Wallet } from './wallet.ts'

const gwei = 1_000_000_000n
/** How long a transaction is left before it is looked after, and the first pause after a failure. */
const pauseMs = 500

/** The chain as one payer sees it. */
export interface ChainAccess {
  readonly wallet: Wallet
  readonly contract: AttestationContract
  readonly relayer: Relayer
  /** Throws where the node is on another chain than the config names, or than it was on before. */
  check(): Promise<void>
}

/** Opens the way to a chain; nothing is asked yet. `signal` ends what is asked. */
export function openChain(config: EvmConfig, secretKey: Uint8Array, signal: AbortSignal): ChainAccess {
  const { confirmations, attestation: address } = config
  const rpc = makeRpc(config.rpcUrl, signal)
  const limits = { maxFeePerGas: BigInt(config.maxFeeGwei) * gwei, tipPerGas: BigInt(config.tipGwei) * gwei }
  const wallet = new Wallet(rpc, secretKey, limits)
  const contract = new AttestationContract(rpc, wallet, { address, confirmations })
  return { wallet, contract, relayer: new Relayer(contract, wallet), check: makeCheck(rpc, config.chainId) }
}

// On another chain the same addresses may stand for other contracts: what they say frees no record here.
function makeCheck(rpc: Rpc, configured: number | undefined): () => Promise<void> {
  let expected = configured === undefined ? undefined : BigInt(configured)
  return async () => {
    const chainId = decodeQuantity(await rpc.ask('eth_chainId'), 'eth_chainId')
    expected ??= chainId
    if (chainId === expected) return
    throw new WattError('evm/wrong-chain', `the node is on chain ${chainId}, ${expected} expected`, { retryable: true })
  }
}

/** What `relay` runs with. */
export interface RelayOptions {
  /** The ledger's; it is only read. */
  readonly dataDir: string
  readonly config: EvmConfig
  /** 32 bytes: who pays. */
  readonly secretKey: Uint8Array
  readonly log: Logger
  /** Ends the loop. */
  readonly signal: AbortSignal
  /** End once there is nothing left to send. */
  readonly once?: boolean
}

/** Brings a ledger's records to a chain, until it is told to end. The ledger may run meanwhile, or not. */
export async function runRelay(options: RelayOptions): Promise<void> {
  const { dataDir, config, secretKey, log, signal, once = false } = options
  const { wallet, relayer, check } = openChain(config, secretKey, signal)
  const lock = lockRelay(dataDir)
  try {
    const db = openDatabase(dataDir, { readonly: true })
    try {
      log.info({ event: 'relay.started', payer: wallet.address, attestation: config.attestation })
      const lanes = prepareLanes(db)
      await keepGoing({ signal, longestMs: config.everySeconds * 1000 }, log, async () => {
        await check()
        const outcome = await relayer.step(lanes())
        logOutcome(outcome, log)
        return once && outcome === 'idle' ? 'done' : pauseAfter(outcome, config)
      })
    } finally {
      db.close()
    }
  } finally {
    lock.release()
  }
}

/** One relayer for one ledger's data: two with one key would only take each other's nonces. */
export function lockRelay(dataDir: string): { release(): void } {
  return lockDataDir(dataDir, 'relay')
}

/** Tells what a step came to; that nothing is sent as gas is too dear, a person may want to change. */
export function logOutcome(outcome: StepOutcome, log: Logger): void {
  if (outcome === 'too-dear') log.warn({ event: 'relay.too-dear', code: 'evm/too-dear' })
  else if (outcome !== 'waiting') log.debug({ event: `relay.${outcome}` })
}

/** How long a relayer rests after a step, in ms. */
export function pauseAfter(outcome: StepOutcome, { everySeconds }: EvmConfig): number {
  if (outcome === 'looking') return 0
  return outcome === 'sent' || outcome === 'waiting' ? pauseMs : everySeconds * 1000
}

/**
 * Works until it is done or told to end. A node that is away, or refuses for now (the contract is paused, the wallet is
 * empty), is asked again, ever more rarely.
 */
export async function keepGoing(
  { signal, longestMs }: { readonly signal: AbortSignal; readonly longestMs: number },
  log: Logger,
  work: () => Promise<number | 'done'>,
): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    try {
      const next = await work()
      if (next === 'done') return
      failures = 0
      await pause(next, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof WattError) || !isPassing(error)) throw error
      log.warn({ event: 'relay.failed', code: error.code, message: error.message })
      await pause(Math.min(pauseMs * 2 ** failures++, longestMs), signal)
    }
  }
}

function isPassing({ code, retryable }: WattError): boolean {
  return code.startsWith('evm/') || (code.startsWith('storage/') && retryable)
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    // Told to end: the loop sees it.
  })
}
