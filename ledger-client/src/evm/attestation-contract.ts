import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { asciiToBytes, type OcmfTemplate, type Registers } from '@wattline/protocol'
import { decodeQuantity, decodeWords, type Rpc } from './rpc.ts'
import { encodeSettle, type Settlement } from './settlement.ts'
import type { Sent, Wallet } from './wallet.ts'

/** `MeteringPoints.Status` in its order. */
export const pointStatuses = ['unknown', 'active', 'frozen', 'revoked', 'rotated'] as const
export type PointStatus = (typeof pointStatuses)[number]

/** `Attestation.Reason` in its order: why a record of a batch changed nothing. */
export const reasons = [
  'Counted',
  'Malformed',
  'UnknownTemplate',
  'UnknownKey',
  'Frozen',
  'Revoked',
  'Rotated',
  'BooksNothing',
  'Replayed',
  'EpochClosed',
  'AheadOfTime',
  'MeterChanged',
  'RegisterDecreased',
  'OverLimit',
] as const
export type Reason = (typeof reasons)[number]

/** The newest block, or one by its number. */
export type BlockName = 'latest' | bigint

/** How far a chain has counted a metering point. */
export interface ChainHead {
  readonly status: PointStatus
  /** The registers that the contract books: 1 import, 2 export. */
  readonly books: number
  readonly epoch: number
  readonly sequence: number
  readonly registers: Registers
}

/** What a relayer needs of the contract. */
export interface SettlementContract {
  /** The newest block that no reorg reaches any more. */
  finalBlock(): Promise<bigint>
  headOf(device: string, at: BlockName): Promise<ChainHead>
  /** The template's number, or undefined where it is not stored. */
  templateId(template: OcmfTemplate, at: BlockName): Promise<number | undefined>
  registerTemplate(template: OcmfTemplate): Promise<Sent>
  /** What would become of these, were they the next that the contract is sent. */
  tryOut(settlements: readonly Settlement[], at: BlockName): Promise<readonly Reason[]>
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

  async finalBlock(): Promise<bigint> {
    const newest = decodeQuantity(await this.#rpc.ask('eth_blockNumber'), 'eth_blockNumber')
    return newest > this.#confirmations ? newest - this.#confirmations : 0n
  }

  async headOf(device: string, at: BlockName): Promise<ChainHead> {
    const words = decodeWords(await this.#call([pointOf, toWord(BigInt(device))], at), 'pointOf')
    // Owner, power, meter, books, status, head: the struct's order.
    const [books = 0n, status = 0n, head = 0n] = words.slice(3)
    const present = (head >> 248n) & 3n
    return {
      status: pointStatuses[Number(status)] ?? 'unknown',
      books: Number(books),
      epoch: Number((head >> 88n) & 0xffff_ffff_ffffn),
      sequence: Number((head >> 48n) & 0xff_ffff_ffffn),
      registers: {
        ...(present & 1n ? { import: (head >> 136n) & registerMask } : {}),
        ...(present & 2n ? { export: (head >> 192n) & registerMask } : {}),
      },
    }
  }

  async templateId(template: OcmfTemplate, at: BlockName): Promise<number | undefined> {
    const [id = 0n] = decodeWords(await this.#call([templateOf, hashTemplate(template)], at), 'templateOf')
    return id === 0n ? undefined : Number(id)
  }

  registerTemplate(template: OcmfTemplate): Promise<Sent> {
    return this.#wallet.send(this.#address, concatBytes(registerTemplate, encodeTemplate(template)))
  }

  async tryOut(settlements: readonly Settlement[], at: BlockName): Promise<readonly Reason[]> {
    // The answer's first two words tell where the array begins and how long it is.
    const words = decodeWords(await this.#call([encodeSettle(settlements)], at), 'settle').slice(2)
    return settlements.map((_, i) => reasons[Number(words[i] ?? 1n)] ?? 'Malformed')
  }

  settle(settlements: readonly Settlement[]): Promise<Sent> {
    return this.#wallet.send(this.#address, encodeSettle(settlements))
  }

  #call(parts: readonly Uint8Array[], at: BlockName): Promise<unknown> {
    const data = `0x${bytesToHex(concatBytes(...parts))}`
    const block = at === 'latest' ? at : `0x${at.toString(16)}`
    return this.#rpc.ask('eth_call', { from: this.#wallet.address, to: this.#address, data }, block)
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
