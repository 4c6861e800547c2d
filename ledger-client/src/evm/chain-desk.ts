import { setTimeout as sleep } from 'node:timers/promises'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { hexToBytes } from '@noble/hashes/utils.js'
import { WattError } from '@wattline/protocol'
import { RLP } from 'micro-eth-signer/core/rlp.js'
import { type ContractName, decodeAnswer, encodeCall, encodeDeployment, hex, nameRevert } from './contract-abi.ts'
import { decodeQuantity, type Rpc } from './rpc.ts'
import type { Wallet } from './wallet.ts'

const pollMs = 300

/**
 * What a person does at a chain, one wish at a time. Each is named by what is true afterwards: it is looked for first,
 * so a wish that was granted before, or whose process was killed, is not granted twice.
 */
export class ChainDesk {
  readonly #rpc: Rpc
  readonly #wallet: Wallet

  constructor(rpc: Rpc, wallet: Wallet) {
    this.#rpc = rpc
    this.#wallet = wallet
  }

  async chainId(): Promise<number> {
    return Number(decodeQuantity(await this.#rpc.ask('eth_chainId'), 'eth_chainId'))
  }

  async hasCode(address: string): Promise<boolean> {
    const code = await this.#rpc.ask('eth_getCode', address, 'latest')
    return typeof code === 'string' && code.length > 2
  }

  /** Asks a contract. */
  async read<T>(name: ContractName, at: string, method: string, args?: unknown): Promise<T> {
    return this.call<T>(name, at, method, encodeCall(name, method, args))
  }

  /** Asks a contract with a call that is packed already. */
  async call<T>(name: ContractName, at: string, method: string, data: string): Promise<T> {
    const answer = await this.#rpc.ask('eth_call', { to: at, data }, 'latest').catch(explain)
    return decodeAnswer(name, method, answer) as T
  }

  /** Sends a call until what it is for is true. Gives false where it was true already. */
  async ensure(isTrue: () => Promise<boolean>, call: { readonly to: string; readonly data: string }): Promise<boolean> {
    if (await isTrue()) return false
    for (;;) {
      if (!(await this.#wallet.isBusy())) await this.#send(call.to, call.data)
      await sleep(pollMs)
      if (await isTrue()) return true
    }
  }

  /**
   * Deploys a contract unless one stands at the address. The address follows from the nonce, so it is told before
   * anything is sent: whoever notes it finds the contract again after a crash.
   */
  async deploy(
    name: ContractName,
    args: unknown,
    { at, note }: { readonly at: string | undefined; readonly note: (address: string) => void },
  ): Promise<{ readonly address: string; readonly isNew: boolean }> {
    if (at !== undefined && (await this.hasCode(at))) return { address: at, isNew: false }
    const address = addressAfter(this.#wallet.address, await this.#wallet.nonce())
    note(address)
    const data = encodeDeployment(name, args)
    while (!(await this.hasCode(address))) {
      if (!(await this.#wallet.isBusy())) await this.#send(undefined, data)
      await sleep(pollMs)
    }
    return { address, isNew: true }
  }

  async #send(to: string | undefined, data: string): Promise<void> {
    const sent = await this.#wallet.send(to, hexToBytes(data.slice(2))).catch(explain)
    if (sent === 'too-dear')
      throw new WattError('evm/too-dear', 'gas costs more than --max-fee-gwei allows: nothing was sent')
  }
}

// A contract's own word instead of a node's.
function explain(error: unknown): never {
  const data = error instanceof WattError ? error.cause : undefined
  const name = typeof data === 'string' && data.length >= 10 ? nameRevert(data) : undefined
  if (name === undefined) throw error
  throw new WattError('evm/refused', `the contract says ${name}`, { cause: error })
}

/** Where a contract comes to stand that an account deploys with a nonce. */
export function addressAfter(sender: string, nonce: bigint): string {
  const content = RLP.encode([hexToBytes(sender.slice(2)), nonce === 0n ? new Uint8Array() : toBytes(nonce)])
  return hex(keccak_256(content).subarray(12))
}

function toBytes(number: bigint): Uint8Array {
  const digits = number.toString(16)
  return hexToBytes(digits.padStart(digits.length + (digits.length % 2), '0'))
}
