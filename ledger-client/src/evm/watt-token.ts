import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import { asciiToBytes, WattError } from '@wattline/protocol'
import { decodeWords, type Rpc } from './rpc.ts'

/** The contract's base unit is a watt-hour only with three decimals (SPEC-1). */
const decimals = 3n

/** The ERC-20 contract of WATT, as a wallet needs it. Calls are packed by hand: a wallet carries no compiler's output. */
export class WattToken {
  readonly address: string
  readonly #rpc: Rpc

  constructor(rpc: Rpc, address: string) {
    this.#rpc = rpc
    this.address = address.toLowerCase()
  }

  /** Throws where there is no token at the address whose base unit is a watt-hour. */
  async check(): Promise<void> {
    const [told] = await this.#read('decimals()', [])
    if (told === decimals) return
    throw new WattError('evm/refused', `${this.address}: decimals ${told ?? 'untold'}, ${decimals} expected of WATT`)
  }

  /** What an address holds, in base units. */
  async balanceOf(owner: string): Promise<bigint> {
    const [balance] = await this.#read('balanceOf(address)', [BigInt(owner)])
    if (balance === undefined) throw new WattError('evm/refused', `${this.address}: no balance: is WATT there?`)
    return balance
  }

  async #read(method: string, words: readonly bigint[]): Promise<readonly bigint[]> {
    return decodeWords(
      await this.#rpc.ask('eth_call', { to: this.address, data: encode(method, words) }, 'latest'),
      method,
    )
  }
}

/** The call that moves an amount from who signs it. */
export function encodeTransfer(to: string, amount: bigint): string {
  return encode('transfer(address,uint256)', [BigInt(to), amount])
}

function encode(method: string, words: readonly bigint[]): string {
  const selector = bytesToHex(keccak_256(asciiToBytes(method)).subarray(0, 4))
  return `0x${selector}${words.map((word) => word.toString(16).padStart(64, '0')).join('')}`
}
