import { bytesToHex } from '@noble/hashes/utils.js'
import { events } from 'micro-eth-signer/abi.js'
import { type Reason, reasons } from '../src/evm/attestation-contract.ts'
import { contracts, nameRevert } from '../src/evm/contract-abi.ts'
import { type Log, RpcError } from './anvil.ts'

/** One line of what a chain says happened. */
export interface Settled {
  readonly device: string
  readonly epoch: bigint
  readonly sequence: bigint
  readonly mintWh: bigint
  readonly burnWh: bigint
  readonly hash: string
}

interface Decoders {
  readonly [name: string]: {
    decode(topics: string[], data: string): unknown
    topics(values: unknown): (string | null)[]
  }
}

export { type ContractName, decodeAnswer, encodeCall, encodeDeployment, hex } from '../src/evm/contract-abi.ts'

const decoders = events(contracts.Attestation.abi) as unknown as Decoders

const fields = {
  Settled: ['device', 'epoch', 'sequence', 'mintWh', 'burnWh', 'hash'],
  Skipped: ['index', 'reason'],
} as const

function decodeEvent(event: keyof typeof fields, { topics, data }: Log): unknown {
  const decoder = decoders[event]
  const any = Object.fromEntries(fields[event].map((field) => [field, null]))
  return decoder !== undefined && decoder.topics(any)[0] === topics[0] ? decoder.decode(topics, data) : undefined
}

/** What the logs of an attestation contract say. */
export function decodeLogs(logs: readonly Log[]) {
  const settled: Settled[] = []
  const skipped: { index: number; reason: Reason }[] = []
  for (const log of logs) {
    const event = decodeEvent('Settled', log) as (Settled & { hash: Uint8Array }) | undefined
    if (event !== undefined) {
      settled.push({ ...event, device: event.device.toLowerCase(), hash: bytesToHex(event.hash) })
    }
    const skip = decodeEvent('Skipped', log) as { index: bigint; reason: bigint } | undefined
    if (skip !== undefined) {
      skipped.push({ index: Number(skip.index), reason: reasons[Number(skip.reason)] ?? 'Malformed' })
    }
  }
  return { settled, skipped }
}

/** A revert under the name of the contract's error. */
export function toNamedError(error: unknown): unknown {
  if (!(error instanceof RpcError) || error.data === undefined) return error
  const name = nameRevert(error.data)
  if (name !== undefined) return new Error(name, { cause: error })
  return error
}
