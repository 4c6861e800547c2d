import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { decodeWith, integerBetween, WattError } from '@wattline/protocol'
import { type Command, InvalidArgumentError } from 'commander'
import * as v from 'valibot'
import { look } from '../commands.ts'
import { loadConfig } from '../config.ts'
import { readKeyFile } from '../ledger-key.ts'
import { Registry } from '../points/registry.ts'
import { ChainDesk } from './chain-desk.ts'
import { makeRpc } from './rpc.ts'
import { toDeviceAddress } from './settlement.ts'
import { Wallet } from './wallet.ts'

// What the commands at a chain have in common: the file that names the contracts, and the way to a node.

const gwei = 1_000_000_000n
const address = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{40}$/, 'an address of 40 lower-case hex digits expected'))
const deploymentShape = v.strictObject({
  version: v.literal(1),
  chainId: integerBetween(1, 2 ** 53 - 1),
  members: v.array(address),
  threshold: integerBetween(1, 1000),
  council: v.exactOptional(address),
  watt: v.exactOptional(address),
  attestation: v.exactOptional(address),
})
export type Deployment = v.InferOutput<typeof deploymentShape>

export interface Access {
  readonly rpc: string
  readonly key: string
  readonly maxFeeGwei: number
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new WattError('config/unreadable', `${path}: cannot be read`, { cause })
  }
}

// The whole new content or the whole old one: a paper with signatures is not made again.
export function writeText(path: string, text: string): void {
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

export function readDeployment(path: string): Required<Deployment> {
  const { council, watt, attestation, ...facts } = parseDeployment(path)
  if (council === undefined || watt === undefined || attestation === undefined) {
    throw new WattError('config/invalid', `${path}: not everything is deployed: run chain deploy again`)
  }
  return { ...facts, council, watt, attestation }
}

export function parseDeployment(path: string): Deployment {
  let content: unknown
  try {
    content = JSON.parse(readText(path))
  } catch (cause) {
    if (cause instanceof WattError) throw cause
    throw new WattError('config/invalid', `${path}: no JSON`, { cause })
  }
  return decodeWith(deploymentShape, content, path, 'config/invalid')
}

export function openDesk({ rpc: url, key, maxFeeGwei }: Access): ChainDesk {
  const rpc = makeRpc(url)
  const limits = { maxFeePerGas: BigInt(maxFeeGwei) * gwei, tipPerGas: gwei }
  return new ChainDesk(rpc, new Wallet(rpc, readKeyFile(key), limits))
}

export function withAccess(command: Command): Command {
  return withNode(command)
    .requiredOption('--key <file>', 'who pays the gas: 64 hex digits, mode 0600')
    .option('--max-fee-gwei <number>', 'send nothing above this', parseCount, 50)
}

export function withNode(command: Command): Command {
  return command.requiredOption('--rpc <url>', "the node's HTTP address")
}

export function withDeployment(command: Command): Command {
  return command.requiredOption('--file <file>', 'what chain deploy has written')
}

export function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('a whole number expected')
  return Number(text)
}

export function parseAddress(text: string): string {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) throw new InvalidArgumentError('an address of 40 hex digits expected')
  return text.toLowerCase()
}

/** The metering points of a ledger with the names that their keys have on a chain. */
export function readDevices(config: string): readonly (readonly [id: string, device: string])[] {
  return look(loadConfig(config), (db) =>
    new Registry(db).all().flatMap(({ id, keys }) => keys.map(({ key }) => [id, toDeviceAddress(key)] as const)),
  )
}
