import { readFileSync } from 'node:fs'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import {
  type ContractABI,
  createContract,
  decodeError,
  deployContract,
  events,
  type ParsedABI,
} from 'micro-eth-signer/abi.js'
import { type Artifacts, artifactsPath } from '../contracts/compile.ts'
import { type Reason, reasons } from '../src/evm/attestation-contract.ts'
import { type Log, RpcError } from './anvil.ts'

const artifacts = JSON.parse(readFileSync(artifactsPath, 'utf8')) as Artifacts

/** One line of what a chain says happened. */
export interface Settled {
  readonly device: string
  readonly epoch: bigint
  readonly sequence: bigint
  readonly mintWh: bigint
  readonly burnWh: bigint
  readonly hash: string
}

interface Methods {
  readonly [name: string]: { encodeInput(args?: unknown): Uint8Array; decodeOutput(bytes: Uint8Array): unknown }
}

interface Decoders {
  readonly [name: string]: {
    decode(topics: string[], data: string): unknown
    topics(values: unknown): (string | null)[]
  }
}

function contractOf(name: string) {
  const { abi, bytecode } = artifacts.contracts[name] ?? { abi: [], bytecode: '' }
  const parsed = abi as unknown as ParsedABI
  return { abi: parsed, bytecode, methods: createContract(parsed) as Methods, events: events(parsed) as Decoders }
}

const contracts = { Council: contractOf('Council'), Watt: contractOf('Watt'), Attestation: contractOf('Attestation') }
export type ContractName = keyof typeof contracts

export const hex = (bytes: Uint8Array) => `0x${bytesToHex(bytes)}`

function methodOf(name: ContractName, method: string) {
  const found = contracts[name].methods[method]
  if (found === undefined) throw new Error(`${name} has no function ${method}`)
  return found
}

/** The call data of a contract's function. */
export function encodeCall(name: ContractName, method: string, args?: unknown): string {
  return hex(args === undefined ? methodOf(name, method).encodeInput() : methodOf(name, method).encodeInput(args))
}

/** What a contract's function answered. */
export function decodeAnswer(name: ContractName, method: string, answer: string): unknown {
  return methodOf(name, method).decodeOutput(hexToBytes(answer.slice(2)))
}

/** What is sent to deploy a contract. */
export function encodeDeployment(name: ContractName, args: unknown): string {
  return deployContract(contracts[name].abi, contracts[name].bytecode, args)
}

const fields = {
  Settled: ['device', 'epoch', 'sequence', 'mintWh', 'burnWh', 'hash'],
  Skipped: ['index', 'reason'],
} as const

function decodeEvent(event: keyof typeof fields, { topics, data }: Log): unknown {
  const decoder = contracts.Attestation.events[event]
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
  for (const { abi } of Object.values(contracts)) {
    const decoded = decodeError(error.data, abi as unknown as ContractABI)
    if (decoded !== undefined) return new Error(decoded.name, { cause: error })
  }
  return error
}
