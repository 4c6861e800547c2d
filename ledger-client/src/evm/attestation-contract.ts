import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import { asciiToBytes, type OcmfTemplate, type Registers, WattError } from '@wattline/protocol'
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

/** Blocks of which something is asked. */
export interface Blocks {
  /** The newest that no reorg reaches any more. */
  readonly final: bigint
  readonly newest: bigint
}

/** What a relayer needs of the contract. Whatever is asked for many is asked in few requests. */
export interface SettlementContract {
  blocks(): Promise<Blocks>
  /** One head for each device, all of one block. */
  headsOf(devices: readonly string[], at: BlockName): Promise<readonly ChainHead[]>
  /** The templates' numbers, or undefined where one is not stored. */
  templateIds(templates: readonly OcmfTemplate[], at: BlockName): Promise<readonly (number | undefined)[]>
  registerTemplate(template: OcmfTemplate): Promise<Sent>
  /** What would become of these, were they the next that the contract is sent. */
  tryOut(settlements: readonly Settlement[], at: BlockName): Promise<readonly Reason[]>
  settle(settlements: readonly Settlement[]): Promise<Sent>
}

const selector = (signature: string) => keccak_256(asciiToBytes(signature)).subarray(0, 4)
const headsOf = selector('headsOf(address[])')
const templatesOf = selector('templatesOf(bytes32[])')
const registerTemplate = selector('registerTemplate((string,string,string,string,string,string,bool,string))')

/** Points or templates in one question: 500 points take 2.3 of the 30 million gas that nodes allow a question at least. */
const mostAsked = 500
/** Records in one try: each takes 70,000 at most. */
const mostTried = 100

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

  async blocks(): Promise<Blocks> {
    const newest = decodeQuantity(await this.#rpc.ask('eth_blockNumber'), 'eth_blockNumber')
    return { newest, final: newest > this.#confirmations ? newest - this.#confirmations : 0n }
  }

  async headsOf(devices: readonly string[], at: BlockName): Promise<readonly ChainHead[]> {
    const args = devices.map((device) => toWord(BigInt(device)))
    const rows = await this.#askMany({ selected: headsOf, args, width: 3 }, at)
    return rows.map(toHead)
  }

  async templateIds(templates: readonly OcmfTemplate[], at: BlockName): Promise<readonly (number | undefined)[]> {
    const args = templates.map(hashTemplate)
    const rows = await this.#askMany({ selected: templatesOf, args, width: 1 }, at)
    return rows.map(([id = 0n]) => (id === 0n ? undefined : Number(id)))
  }

  registerTemplate(template: OcmfTemplate): Promise<Sent> {
    return this.#wallet.send(this.#address, concatBytes(registerTemplate, encodeTemplate(template)))
  }

  async tryOut(settlements: readonly Settlement[], at: BlockName): Promise<readonly Reason[]> {
    const found: Reason[] = []
    for (let from = 0; from < settlements.length; from += mostTried) {
      const some = settlements.slice(from, from + mostTried)
      const rows = await this.#call(encodeSettle(some), { count: some.length, width: 1 }, at)
      found.push(...rows.map(([reason]) => reasons[Number(reason)] ?? 'Malformed'))
    }
    return found
  }

  settle(settlements: readonly Settlement[]): Promise<Sent> {
    return this.#wallet.send(this.#address, encodeSettle(settlements))
  }

  // A function that takes an array of words, and answers with one row of words for each.
  async #askMany({ selected, args, width }: Question, at: BlockName): Promise<readonly Row[]> {
    const found: Row[] = []
    for (let from = 0; from < args.length; from += mostAsked) {
      const some = args.slice(from, from + mostAsked)
      const data = concatBytes(selected, toWord(32n), toWord(BigInt(some.length)), ...some)
      found.push(...(await this.#call(data, { count: some.length, width }, at)))
    }
    return found
  }

  async #call(data: Uint8Array, { count, width }: { count: number; width: number }, at: BlockName): Promise<Row[]> {
    const block = at === 'latest' ? at : `0x${at.toString(16)}`
    const call = { from: this.#wallet.address, to: this.#address, data: `0x${bytesToHex(data)}` }
    // Before the rows: where the array begins, and how long it is. Where no contract is, nothing is answered.
    const [, length, ...words] = decodeWords(await this.#rpc.ask('eth_call', call, block), this.#address)
    if (length !== BigInt(count) || words.length !== count * width) {
      const told = `${length ?? 'no'} answers to ${count} questions`
      throw new WattError('evm/refused', `${this.#address}: ${told}: is the contract there?`)
    }
    return Array.from({ length: count }, (_, i) => words.slice(i * width, (i + 1) * width))
  }
}

type Row = readonly bigint[]

interface Question {
  readonly selected: Uint8Array
  readonly args: readonly Uint8Array[]
  readonly width: number
}

const registerMask = (1n << 56n) - 1n

function toHead([status = 0n, books = 0n, head = 0n]: readonly bigint[]): ChainHead {
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
