import { existsSync } from 'node:fs'
import { parseCertificate, WattError } from '@wattline/protocol'
import { Argument, type Command } from 'commander'
import { readKeyFile } from '../ledger-key.ts'
import { formatTable } from '../reports.ts'
import { systemClock } from '../system-clock.ts'
import { AttestationContract } from './attestation-contract.ts'
import {
  type Access,
  type Deployment,
  openDesk,
  parseAddress,
  parseCount,
  parseDeployment,
  readDeployment,
  readDevices,
  readText,
  withAccess,
  withDeployment,
  withNode,
  writeText,
} from './chain-deployment.ts'
import { ChainDesk } from './chain-desk.ts'
import { addUpgrade } from './chain-upgrade.ts'
import { encodeCall } from './contract-abi.ts'
import {
  booksOfRole,
  checkSignatures,
  type Deed,
  describePaper,
  deviceOf,
  encodeAct,
  encodeHashAct,
  formatPaper,
  makePaper,
  type Paper,
  parsePaper,
  signPaper,
  zeroAddress,
} from './papers.ts'
import { makeRpc } from './rpc.ts'
import { Wallet } from './wallet.ts'

type Print = (text: string) => void

// `wattline-gateway certificates` prints one of each point.
function readCertificate(path: string, id: string | undefined): string {
  const lines = readText(path).split('\n')
  const texts = lines.map((line) => line.trim()).filter((line) => line.startsWith('WATT-CERT|'))
  const named = texts.map((text) => parseCertificate(text)).filter(({ point }) => id === undefined || point === id)
  const [certificate] = named
  if (certificate !== undefined && named.length === 1) return certificate.text
  const wanted = id === undefined ? 'one certificate expected, or --id' : `one certificate of '${id}' expected`
  throw new WattError('certificate/invalid', `${path}: ${wanted}, got ${named.length}`)
}

/** `chain`: deploys the contracts and governs them. */
export function addChain(program: Command, print: Print): void {
  const chain = program.command('chain').description('deploy the contracts, enrol points there, act as the council')
  addDeploy(chain, print)
  addDraft(chain, print)
  addPapers(chain, print)
  addOwners(chain, print)
  addUpgrade(chain, print)
  addStatus(chain, print)
}

function addDeploy(chain: Command, print: Print): void {
  const command = chain
    .command('deploy')
    .description('deploy Council, Watt and Attestation; again, go on where it ended')
  withAccess(command)
    .requiredOption('--file <file>', 'where the addresses are kept: chain.json')
    .requiredOption('--members <addresses>', "the council's, separated by commas", parseAddresses)
    .requiredOption('--threshold <number>', 'how many of them act together', parseCount)
    .action(async (options: Access & { file: string; members: string[]; threshold: number }) => {
      const { file, members, threshold } = options
      const desk = openDesk(options)
      const stated: Deployment = { version: 1, chainId: await desk.chainId(), members, threshold }
      const known: Deployment = existsSync(file) ? parseDeployment(file) : stated
      for (const name of ['chainId', 'threshold', 'members'] as const) {
        if (JSON.stringify(known[name]) === JSON.stringify(stated[name])) continue
        throw new WattError('config/invalid', `${file}: ${name} is ${known[name]} there, and ${stated[name]} now`)
      }
      let deployment = known
      const place = async (name: 'council' | 'watt' | 'attestation', args: unknown): Promise<string> => {
        const contract = { council: 'Council', watt: 'Watt', attestation: 'Attestation' } as const
        const note = (at: string) => {
          deployment = { ...deployment, [name]: at }
          writeText(file, `${JSON.stringify(deployment, null, 2)}\n`)
        }
        const placed = await desk.deploy(contract[name], args, { at: deployment[name], note })
        print(`${contract[name]} ${placed.address}${placed.isNew ? '' : ', there already'}\n`)
        return placed.address
      }
      const council = await place('council', { members_: members, threshold_: BigInt(threshold) })
      const watt = await place('watt', council)
      const attestation = await place('attestation', { watt_: watt, predecessor_: zeroAddress })
      const booker = (await desk.read<string>('Watt', watt, 'booker')).toLowerCase()
      if (booker === attestation) print('nothing left to do\n')
      else print(`the council has to say that it books: chain draft name-booker --file ${file}\n`)
    })
}

interface DraftOptions {
  readonly file: string
  readonly out: string
  readonly days: number
  readonly point?: string
  readonly to?: string
  readonly certificate?: string
  readonly id?: string
  readonly owner?: string
  readonly behind?: string
  readonly epoch?: number
  readonly sequence?: number
  readonly firstAt?: number
  readonly firstImport?: number
  readonly firstExport?: number
}

const deeds = ['enrol', 'rotate-key', 'revoke', 'offer-point', 'pause', 'unpause', 'name-booker'] as const

function addDraft(chain: Command, print: Print): void {
  const command = chain
    .command('draft')
    .description('write down what the council is to do, for its members to sign; needs no node')
    .addArgument(new Argument('<deed>').choices(deeds))
  withDeployment(command)
    .requiredOption('--out <file>', 'the paper')
    .option('--days <number>', 'how long it may be brought', parseCount, 30)
    .option('--certificate <file>', 'enrol, rotate-key: the provisioning certificate')
    .option('--id <point>', 'enrol, rotate-key: <gateway>/<meter>, where the file holds several')
    .option('--owner <address>', 'enrol: who gets the WATT, and signs first', parseAddress)
    .option('--behind <address>', 'enrol: the point one level up', parseAddress)
    .option('--first-at <ms>', 'enrol: when counting begins', parseCount)
    .option('--first-import <Wh>', 'enrol: the register then', parseCount)
    .option('--first-export <Wh>', 'enrol: the register then', parseCount)
    .option('--point <address>', 'which point', parseAddress)
    .option('--epoch <number>', 'revoke: the last place that counts; enrol: that does not', parseCount)
    .option('--sequence <number>', 'revoke: the last place that counts; enrol: that does not', parseCount)
    .option('--to <address>', 'offer-point: the next owner', parseAddress)
    .action((name: (typeof deeds)[number], options: DraftOptions) => {
      const { chainId, council, watt, attestation } = readDeployment(options.file)
      const deadline = Math.floor(systemClock.now() / 1000) + options.days * 86_400
      const target = name === 'name-booker' ? watt : attestation
      const paper = makePaper({ chainId, council, target, deed: toDeed(name, options, attestation), deadline })
      writeText(options.out, formatPaper(paper))
      print(formatTable(['', ''], describePaper(paper)))
    })
}

function toDeed(name: (typeof deeds)[number], options: DraftOptions, attestation: string): Deed {
  const need = <Name extends keyof DraftOptions>(option: Name): NonNullable<DraftOptions[Name]> => {
    const value = options[option]
    if (value === undefined || value === null) throw new WattError('config/invalid', `${name}: --${option} expected`)
    return value
  }
  if (name === 'enrol') return toEnrolment(options, need('certificate'), need('owner'))
  if (name === 'rotate-key') {
    return { do: name, device: need('point'), certificate: readCertificate(need('certificate'), options.id) }
  }
  if (name === 'revoke') return { do: name, device: need('point'), epoch: need('epoch'), sequence: need('sequence') }
  if (name === 'offer-point') return { do: name, device: need('point'), to: need('to') }
  return name === 'name-booker' ? { do: name, booker: attestation } : { do: name }
}

function toEnrolment(options: DraftOptions, path: string, owner: string): Deed {
  const certificate = readCertificate(path, options.id)
  const { role, maxPowerW, rolloverWh } = parseCertificate(certificate)
  const { firstImport, firstExport } = options
  return {
    do: 'enrol',
    certificate,
    owner,
    books: booksOfRole[role],
    maxPowerW,
    rolloverWh: Number(rolloverWh ?? 0n),
    behind: options.behind ?? zeroAddress,
    firstAt: options.firstAt ?? 0,
    firstAfter: { epoch: options.epoch ?? 0, sequence: options.sequence ?? 0 },
    firstRegisters: {
      ...(firstImport === undefined ? {} : { import: firstImport }),
      ...(firstExport === undefined ? {} : { export: firstExport }),
    },
  }
}

function addPapers(chain: Command, print: Print): void {
  const paper = new Argument('<paper>', 'what chain draft has written')
  const describe = (text: Paper) => print(formatTable(['', ''], describePaper(text)))
  const read = (path: string) => {
    const found = parsePaper(readText(path), path)
    checkSignatures(found)
    return found
  }
  const show = chain.command('show').description('tell what a paper says and who has signed it; needs no node')
  show.addArgument(paper).action((path: string) => describe(read(path)))
  const sign = chain.command('sign').description('sign a paper: the owner of an enrolment first; needs no node')
  sign
    .addArgument(paper)
    .requiredOption('--key <file>', "the member's or the owner's: 64 hex digits, mode 0600")
    .action((path: string, { key }: { key: string }) => {
      const signed = signPaper(read(path), readKeyFile(key))
      writeText(path, formatPaper(signed))
      describe(signed)
    })
  const bring = chain.command('bring').description('bring a paper to the chain; anyone may, and twice does it once')
  withAccess(bring.addArgument(paper)).action(async (path: string, options: Access) => {
    const found = read(path)
    const desk = openDesk(options)
    if ((await desk.chainId()) !== found.chainId) {
      throw new WattError('config/invalid', `${path} is for chain ${found.chainId}, the node is on another one`)
    }
    const { council } = found
    const act = await desk.call<Uint8Array>('Council', council, 'hashAct', encodeHashAct(found))
    const isDone = () => desk.read<boolean>('Council', council, 'isSpent', act)
    const isNew = await desk.ensure(isDone, { to: council, data: encodeAct(found) })
    print(`${found.deed.do} ${deviceOf(found.deed) ?? ''}: ${isNew ? 'done' : 'was done already'}\n`)
  })
}

function addOwners(chain: Command, print: Print): void {
  const offer = chain.command('offer').description('offer a point to another owner; the owner does')
  withAccess(withDeployment(offer))
    .requiredOption('--point <address>', 'which point', parseAddress)
    .requiredOption('--to <address>', 'the next owner', parseAddress)
    .action(async ({ file, point, to, ...access }: Access & { file: string; point: string; to: string }) => {
      const { attestation } = readDeployment(file)
      const desk = openDesk(access)
      const isOffered = async () => (await readPoint(desk, attestation, point)).offeredTo.toLowerCase() === to
      const data = encodeCall('Attestation', 'offerPoint', { device: point, to })
      const isNew = await desk.ensure(isOffered, { to: attestation, data })
      print(`${point}: ${isNew ? 'offered' : 'was offered already'} to ${to}, who has to accept\n`)
    })
  const accept = chain.command('accept').description('take an offered point; the next owner does')
  withAccess(withDeployment(accept))
    .requiredOption('--point <address>', 'which point', parseAddress)
    .action(async ({ file, point, ...access }: Access & { file: string; point: string }) => {
      const { attestation } = readDeployment(file)
      const rpc = makeRpc(access.rpc)
      const me = new Wallet(rpc, readKeyFile(access.key), { maxFeePerGas: 0n, tipPerGas: 0n }).address
      const desk = openDesk(access)
      const isMine = async () => (await readPoint(desk, attestation, point)).owner.toLowerCase() === me
      const isNew = await desk.ensure(isMine, {
        to: attestation,
        data: encodeCall('Attestation', 'acceptPoint', point),
      })
      print(`${point}: ${isNew ? 'is' : 'was already'} ${me}'s\n`)
    })
}

interface PointOnChain {
  readonly owner: string
  readonly offeredTo: string
}

function readPoint(desk: ChainDesk, attestation: string, point: string): Promise<PointOnChain> {
  return desk.read<PointOnChain>('Attestation', attestation, 'pointOf', point)
}

function addStatus(chain: Command, print: Print): void {
  const status = chain.command('status').description('tell what stands on the chain, and how far it has counted')
  withNode(withDeployment(status))
    .option('--config <file>', 'the ledger.yaml whose points are told')
    .action(async ({ file, rpc: url, config }: { file: string; rpc: string; config?: string }) => {
      const { council, watt, attestation } = readDeployment(file)
      const rpc = makeRpc(url)
      // Whoever only looks pays nothing.
      const wallet = new Wallet(rpc, new Uint8Array(32).fill(1), { maxFeePerGas: 0n, tipPerGas: 0n })
      const desk = new ChainDesk(rpc, wallet)
      const members = await desk.read<string[]>('Council', council, 'members')
      const threshold = await desk.read<bigint>('Council', council, 'threshold')
      const booker = (await desk.read<string>('Watt', watt, 'booker')).toLowerCase()
      const rows = [
        ['council', `${council}, ${threshold} of ${members.length}`],
        ['watt', `${watt}, ${await desk.read<bigint>('Watt', watt, 'totalSupply')} Wh`],
        ['attestation', `${attestation}${booker === attestation ? '' : ', which does not book'}`],
        ['paused', String(await desk.read<boolean>('Attestation', attestation, 'paused'))],
      ]
      print(formatTable(['what', 'where'], rows))
      if (config === undefined) return
      const keys = readDevices(config)
      const contract = new AttestationContract(rpc, wallet, { address: attestation, confirmations: 0 })
      const points = []
      const devices = keys.map(([, device]) => device)
      for (const [i, head] of (await contract.headsOf(devices, 'latest')).entries()) {
        const [id = '', device = ''] = keys[i] ?? []
        const { owner } = await readPoint(desk, attestation, device)
        const { import: imported, export: exported } = head.registers
        points.push([id, device, head.status, owner, `${head.epoch}/${head.sequence}`, imported, exported])
      }
      print(`\n${formatTable(['point', 'key', 'state', 'owner', 'counted', 'import kWh', 'export kWh'], points)}`)
    })
}

function parseAddresses(text: string): string[] {
  return text.split(',').map((each) => parseAddress(each.trim()))
}
