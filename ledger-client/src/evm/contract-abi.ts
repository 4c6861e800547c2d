import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { WattError } from '@wattline/protocol'
import { type ContractABI, createContract, decodeError, deployContract, type ParsedABI } from 'micro-eth-signer/abi.js'
import artifacts from '../../contracts/artifacts.json' with { type: 'json' }

// What the compiler says of the contracts: for whoever deploys and governs them. Relaying packs its calls by hand.

interface Methods {
  readonly [name: string]: { encodeInput(args?: unknown): Uint8Array; decodeOutput(bytes: Uint8Array): unknown }
}

export type ContractName = keyof typeof artifacts.contracts

function contractOf(name: ContractName) {
  const { abi, bytecode } = artifacts.contracts[name]
  const parsed = abi as unknown as ParsedABI // what the compiler has written
  return { abi: parsed, bytecode, methods: createContract(parsed) as unknown as Methods }
}

export const contracts = {
  Council: contractOf('Council'),
  Watt: contractOf('Watt'),
  Attestation: contractOf('Attestation'),
}

export const hex = (bytes: Uint8Array) => `0x${bytesToHex(bytes)}`

function methodOf(name: ContractName, method: string) {
  const found = contracts[name].methods[method]
  if (found === undefined) throw new RangeError(`${name} has no function ${method}`)
  return found
}

/** The call data of a contract's function. */
export function encodeCall(name: ContractName, method: string, args?: unknown): string {
  return hex(args === undefined ? methodOf(name, method).encodeInput() : methodOf(name, method).encodeInput(args))
}

/** What a contract's function answered. */
export function decodeAnswer(name: ContractName, method: string, answer: unknown): unknown {
  if (typeof answer !== 'string' || !/^0x([0-9a-f]{2})+$/i.test(answer)) {
    throw new WattError('evm/refused', `${name}.${method}: no answer: is the contract at this address?`)
  }
  return methodOf(name, method).decodeOutput(hexToBytes(answer.slice(2)))
}

/** What is sent to deploy a contract. */
export function encodeDeployment(name: ContractName, args: unknown): string {
  return deployContract(contracts[name].abi, contracts[name].bytecode, args)
}

/** The name of the contract's error that a revert's data tells. */
export function nameRevert(data: string): string | undefined {
  for (const { abi } of Object.values(contracts)) {
    const decoded = decodeError(data, abi as unknown as ContractABI)
    if (decoded !== undefined) return decoded.name
  }
  return undefined
}
