import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { asciiToBytes, type OcmfTemplate, type Registers } from '@wattline/protocol'
import { decodeQuantity, decodeWords, type Rpc } from './rpc.ts'
import { encodeSettle, type Settlement } from './settlement.ts'
import type { Sent, Wallet } from './wallet.ts'

/** How far a chain has counted a metering point. */
export interface ChainHead {
  /** Whether the contract counts this key's records: enrolled, not frozen, not rotated. */
  readonly isActive: boolean
  readonly epoch: number
  readonly sequence: number
  readonly registers: Registers
}

/** What a relayer needs of the contract. */
export interface SettlementContract {
  /** As of the newest block, or of one that `final` names no reorg reaches any more. */
  headOf(device: string, at: 'latest' | 'final'): Promise<ChainHead>
  /** The template's number, or undefined where it is not stored. */
  templateId(template: OcmfTemplate): Promise<number | undefined>
  registerTemplate(template: OcmfTemplate): Promise<Sent>
  /** Which of these would count, were they sent now. */
  wouldCount(settlements: readonly Settlement[]): Promise<readonly boolean[]>
  settle(settlements: readonly Settlement[]): Promise<Sent>
}

const selector = (signature: string) => keccak_256(asciiToBytes(signature)).subarray(0, 4)
const pointOf = selector('pointOf(address)')
const templateOf = selector('templateOf(bytes32)')
const registerTemplate = selector('registerTemplate((string,string,string,string,string,string,bool,string))')

/** The attestation contract behind a node. */
export class AttestationContract implements SettlementContract {
  readonly #rpc: Rpc
  readonly #wallet: Wallet
  readonly #address: string
  readonly #confirmations: bigint

  constructor(rpc: Rpc, wallet: Wallet, options: { readonly address: string; readonly confirmations: number }) {
    this.#rpc = rpc
    this.#wallet = wallet
    this.#address = options.address
    this.#confirmations = BigInt(options.confirmations)
  }

  async headOf(device: string, at: 'latest' | 'final'): Promise<ChainHead> {
    const block = at === 'latest' ? 'latest' : await this.#finalBlock()
    const words = decodeWords(await this.#call([pointOf, toWord(BigInt(device))], block), 'pointOf')
    // Owner, power, meter, books, status, head: the struct's order.
    const [status = 0n, head = 0n] = [words[4], words[5]]
    const present = (head >> 248n) & 3n
    return {
      isActive: status === 1n || status === 3n,
      epoch: Number((head >> 88n) & 0xffff_ffff_ffffn),
      sequence: Number((head >> 48n) & 0xff_ffff_ffffn),
      registers: {
        ...(present & 1n ? { import: (head >> 136n) & registerMask } : {}),
        ...(present & 2n ? { export: (head >> 192n) & registerMask } : {}),
      },
    }
  }

  async templateId(template: OcmfTemplate): Promise<number | undefined> {
    const [id = 0n] = decodeWords(await this.#call([templateOf, hashTemplate(template)], 'latest'), 'templateOf')
    return id === 0n ? undefined : Number(id)
  }

  registerTemplate(template: OcmfTemplate): Promise<Sent> {
    return this.#wallet.send(this.#address, concatBytes(registerTemplate, encodeTemplate(template)))
  }

  async wouldCount(settlements: readonly Settlement[]): Promise<readonly boolean[]> {
    // The answer's first two words tell where the array begins and how long it is.
    const words = decodeWords(await this.#call([encodeSettle(settlements)], 'latest'), 'settle').slice(2)
    return settlements.map((_, i) => words[i] === 0n)
  }

  settle(settlements: readonly Settlement[]): Promise<Sent> {
    return this.#wallet.send(this.#address, encodeSettle(settlements))
  }

  #call(parts: readonly Uint8Array[], block: string): Promise<unknown> {
    const data = `0x${bytesToHex(concatBytes(...parts))}`
    return this.#rpc.ask('eth_call', { from: this.#wallet.address, to: this.#address, data }, block)
  }

  async #finalBlock(): Promise<string> {
    const newest = decodeQuantity(await this.#rpc.ask('eth_blockNumber'), 'eth_blockNumber')
    const final = newest > this.#confirmations ? newest - this.#confirmations : 0n
    return `0x${final.toString(16)}`
  }
}

const registerMask = (1n << 56n) - 1n

function toWord(number: bigint): Uint8Array {
  return hexToBytes(number.toString(16).padStart(64, '0'))
}

/** The name under which the contract knows a template: keccak of the code that holds its texts. */
export function hashTemplate(t: OcmfTemplate): Uint8Array {
  const first = `{"FV":"1.3","GI":"${t.gatewayModel}","GS":"${t.gatewaySerial}","GV":"${t.gatewayVersion}","PG":"F`
  const second =
    `","MV":"${t.meterVendor}","MM":"${t.meterModel}","MS":"${t.meterSerial}",` +
    `"IS":false,"IL":"NONE","IF":[],"IT":"NONE","ID":"","CT":"${t.pointType}","CI":"${t.pointText}","XE":`
  const length = Uint8Array.of(0, first.length >> 8, first.length & 0xff)
  return keccak_256(concatBytes(length, asciiToBytes(first + second)))
}

// The ABI's form of a struct of seven strings and a flag: places first, then each string with its length, in whole words.
function encodeTemplate(t: OcmfTemplate): Uint8Array {
  const texts = [t.gatewayModel, t.gatewaySerial, t.gatewayVersion, t.meterVendor, t.meterModel, t.meterSerial]
  const tails = [...texts, t.pointText].map(encodeText)
  let place = 8 * 32
  const places = tails.map((tail) => {
    place += tail.length
    return toWord(BigInt(place - tail.length))
  })
  const flag = toWord(t.pointType === 'EVSEID' ? 1n : 0n)
  return concatBytes(toWord(32n), ...places.slice(0, 6), flag, ...places.slice(6), ...tails)
}

function encodeText(text: string): Uint8Array {
  const padded = new Uint8Array(Math.ceil(text.length / 32) * 32)
  padded.set(asciiToBytes(text))
  return concatBytes(toWord(BigInt(text.length)), padded)
}
