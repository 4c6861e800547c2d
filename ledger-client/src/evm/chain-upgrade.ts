import { existsSync } from 'node:fs'
import { WattError } from '@wattline/protocol'
import type { Command } from 'commander'
import { AttestationContract } from './attestation-contract.ts'
import {
  type Access,
  openDesk,
  parseDeployment,
  readDeployment,
  readDevices,
  withAccess,
  withDeployment,
  writeText,
} from './chain-deployment.ts'
import type { ChainDesk } from './chain-desk.ts'
import { encodeCall } from './contract-abi.ts'
import { zeroAddress } from './papers.ts'
import { makeRpc } from './rpc.ts'
import { Wallet } from './wallet.ts'

// Another contract takes over from one that books: deployed, named by the council, and after seven days put in its place.

/** Points that one transaction adopts: each takes about 100,000 gas. */
const adoptedAtOnce = 50

/** Adds the commands of an upgrade. */
export function addUpgrade(chain: Command, print: (text: string) => void): void {
  const succeed = chain.command('succeed').description('deploy what takes over from the contract that books')
  withAccess(withDeployment(succeed))
    .requiredOption('--out <file>', 'where the addresses are kept: next.json')
    .action(async ({ file, out, ...access }: Access & { file: string; out: string }) => {
      const { attestation: predecessor, ...shared } = readDeployment(file)
      const known = existsSync(out) ? parseDeployment(out) : shared
      if (known.watt !== shared.watt) throw new WattError('config/invalid', `${out}: another WATT than in ${file}`)
      const note = (at: string) => writeText(out, `${JSON.stringify({ ...shared, attestation: at }, null, 2)}\n`)
      const desk = openDesk(access)
      const args = { watt_: shared.watt, predecessor_: predecessor }
      const at = 'attestation' in known ? known.attestation : undefined
      const { address, isNew } = await desk.deploy('Attestation', args, { at, note })
      print(`Attestation ${address}${isNew ? '' : ', there already'}\n`)
      print(`the council has to name it: chain draft name-booker --file ${out}\n`)
    })
  const takeOver = chain.command('take-over').description('after the notice: book from here on, and adopt the points')
  withAccess(withDeployment(takeOver))
    .requiredOption('--config <file>', 'the ledger.yaml whose points are adopted')
    .action(async ({ file, config, ...access }: Access & { file: string; config: string }) => {
      const { watt, attestation } = readDeployment(file)
      const desk = openDesk(access)
      const books = async () => (await desk.read<string>('Watt', watt, 'booker')).toLowerCase() === attestation
      const isNew = await desk.ensure(books, { to: watt, data: encodeCall('Watt', 'changeBooker') })
      print(`${attestation} ${isNew ? 'books' : 'booked already'}\n`)
      const devices = readDevices(config).map(([, device]) => device)
      const adoptable = await findAdoptable(desk, access.rpc, { attestation, devices })
      for (let from = 0; from < adoptable.length; from += adoptedAtOnce) {
        const some = adoptable.slice(from, from + adoptedAtOnce)
        const isAdopted = async () => (await knownTo(access.rpc, attestation, some)).length === some.length
        await desk.ensure(isAdopted, { to: attestation, data: encodeCall('Attestation', 'adopt', some) })
      }
      print(`adopted: ${adoptable.length}\n`)
    })
}

// The points that a contract before this one knows, and this one does not yet.
async function findAdoptable(
  desk: ChainDesk,
  rpc: string,
  { attestation, devices }: { readonly attestation: string; readonly devices: readonly string[] },
): Promise<readonly string[]> {
  const here = new Set(await knownTo(rpc, attestation, devices))
  const found = new Set<string>()
  const before = async (at: string) => (await desk.read<string>('Attestation', at, 'predecessor')).toLowerCase()
  for (let at = await before(attestation); at !== zeroAddress; at = await before(at)) {
    for (const device of await knownTo(rpc, at, devices)) if (!here.has(device)) found.add(device)
  }
  return [...found]
}

async function knownTo(url: string, address: string, devices: readonly string[]): Promise<readonly string[]> {
  const rpc = makeRpc(url)
  // Whoever only looks pays nothing.
  const wallet = new Wallet(rpc, new Uint8Array(32).fill(1), { maxFeePerGas: 0n, tipPerGas: 0n })
  const heads = await new AttestationContract(rpc, wallet, { address, confirmations: 0 }).headsOf(devices, 'latest')
  return devices.filter((_, i) => heads[i]?.status !== 'unknown')
}
