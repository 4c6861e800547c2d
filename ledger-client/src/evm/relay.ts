import { setTimeout as sleep } from 'node:timers/promises'
import { WattError } from '@wattline/protocol'
import type { Logger } from '../log.ts'
import { openDatabase } from '../store/database.ts'
import { AttestationContract } from './attestation-contract.ts'
import type { EvmConfig } from './evm-config.ts'
import { prepareLanes } from './ledger-lanes.ts'
import { type Lane, Relayer, type StepOutcome } from './relayer.ts'
import { makeRpc } from './rpc.ts'
import { Wallet } from './wallet.ts'

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

const gwei = 1_000_000_000n
/** How long a transaction is left before it is looked after, and the first pause after a failure. */
const pauseMs = 500

/** Brings a ledger's records to a chain, until it is told to end. The ledger may run meanwhile, or not. */
export async function runRelay(options: RelayOptions): Promise<void> {
  const { dataDir, config, secretKey, log } = options
  const { confirmations, attestation: address } = config
  const rpc = makeRpc(config.rpcUrl)
  const limits = { maxFeePerGas: BigInt(config.maxFeeGwei) * gwei, tipPerGas: BigInt(config.tipGwei) * gwei }
  const wallet = new Wallet(rpc, secretKey, limits)
  const relayer = new Relayer(new AttestationContract(rpc, wallet, { address, confirmations }), wallet)
  const db = openDatabase(dataDir, { readonly: true })
  try {
    log.info({ event: 'relay.started', payer: wallet.address, attestation: address })
    await loop(relayer, prepareLanes(db), options)
  } finally {
    db.close()
  }
}

async function loop(relayer: Relayer, lanes: () => readonly Lane[], options: RelayOptions): Promise<void> {
  const { config, log, signal, once = false } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      const outcome = await relayer.step(lanes())
      if (outcome !== 'waiting') log.debug({ event: `relay.${outcome}` })
      if (once && outcome === 'idle') return
      failures = 0
      await pause(toPauseMs(outcome, config), signal)
    } catch (error) {
      // A node that is away, or refuses for now (the contract is paused, the wallet is empty), is asked again.
      if (!(error instanceof WattError) || !error.code.startsWith('evm/')) throw error
      log.warn({ event: 'relay.failed', code: error.code, message: error.message })
      await pause(Math.min(pauseMs * 2 ** failures++, config.everySeconds * 1000), signal)
    }
  }
}

function toPauseMs(outcome: StepOutcome, { everySeconds }: EvmConfig): number {
  return outcome === 'sent' || outcome === 'waiting' ? pauseMs : everySeconds * 1000
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {
    // Told to end: the loop sees it.
  })
}
