import { hexToBytes } from '@noble/hashes/utils.js'
import {
  asciiToBytes,
  type Certificate,
  makeCertificate,
  makeGatewayId,
  makeMeterId,
  makePointId,
  type OcmfTemplate,
  parseDocument,
  parseOcmfText,
  type Registers,
  type SignedRecord,
  type Signer,
} from '@wattline/protocol'
import { addr, signTyped } from 'micro-eth-signer'
import {
  encodeSettle,
  packPlace,
  packRegisters,
  type Settlement,
  toCompactSignature,
  toContractTemplate,
  toDeviceAddress,
  toSettlement,
} from '../src/evm/settlement.ts'
import { Anvil, type Log, type TransactionReceipt } from './anvil.ts'
import {
  type ContractName,
  decodeAnswer,
  decodeLogs,
  encodeCall,
  encodeDeployment,
  hex,
  type Settled,
  toNamedError,
} from './contracts.ts'

/** Terms of a point to enrol. */
export interface PointTerms {
  readonly owner: number
  readonly books: number
  readonly maxPowerW?: number
  readonly rolloverWh?: bigint
  readonly behind?: string
  /** `after`: the last record that does not count any more. */
  readonly first?: {
    readonly at: number
    readonly registers: Registers
    readonly after?: { readonly epoch: number; readonly sequence: number }
  }
}

const zeroAddress = `0x${'0'.repeat(40)}`

/** A wallet from a number. */
export function walletOf(number: number): { readonly secret: string; readonly address: string } {
  const secret = (number + 0x1000).toString(16).padStart(64, '0')
  return { secret, address: addr.fromPrivateKey(secret).toLowerCase() }
}

interface Act {
  readonly name: ContractName
  readonly method: string
  readonly args?: unknown
  readonly salt?: bigint
  readonly deadline?: bigint
}

/** The contracts on a chain of their own, with a council of three, any two of whom act. */
export class Chain {
  readonly anvil: Anvil
  readonly council: string
  readonly watt: string
  attestation: string
  readonly relayer: string
  readonly #templates = new Map<string, number>()
  #salt = 0n

  private constructor(
    anvil: Anvil,
    relayer: string,
    addresses: { council: string; watt: string; attestation: string },
  ) {
    this.anvil = anvil
    this.relayer = relayer
    this.council = addresses.council
    this.watt = addresses.watt
    this.attestation = addresses.attestation
  }

  static async start(): Promise<Chain> {
    const anvil = await Anvil.start()
    const [relayer = ''] = await anvil.rpc<string[]>('eth_accounts')
    const members = councillors.map(({ address }) => address)
    const council = await deploy(anvil, relayer, 'Council', { members_: members, threshold_: 2n })
    const watt = await deploy(anvil, relayer, 'Watt', council)
    const attestation = await deploy(anvil, relayer, 'Attestation', { watt_: watt, predecessor_: zeroAddress })
    const chain = new Chain(anvil, relayer, { council, watt, attestation })
    await chain.act('Watt', 'nameBooker', attestation)
    await chain.impersonate(council)
    return chain
  }

  stop(): Promise<void> {
    return this.anvil.stop()
  }

  /** Another attestation contract, to take over from this one. */
  succeed(): Promise<string> {
    return deploy(this.anvil, this.relayer, 'Attestation', { watt_: this.watt, predecessor_: this.attestation })
  }

  /** Lets another attestation contract take over, as an upgrade does: named, seven days, changed. */
  async upgrade(): Promise<void> {
    const next = await this.succeed()
    await this.act('Watt', 'nameBooker', next)
    const { timestamp } = await this.anvil.rpc<{ timestamp: string }>('eth_getBlockByNumber', 'latest', false)
    await this.anvil.mine(Number(timestamp) + 7 * 86_400)
    await this.send('Watt', 'changeBooker')
    this.move(next)
  }

  addressOf(name: ContractName): string {
    return { Council: this.council, Watt: this.watt, Attestation: this.attestation }[name]
  }

  /** Sends one transaction, makes a block of it, and tells what a revert said. */
  async send(name: ContractName, method: string, args?: unknown, from = this.relayer): Promise<TransactionReceipt> {
    return this.transact(this.addressOf(name), encodeCall(name, method, args), from)
  }

  async transact(to: string, data: string, from = this.relayer): Promise<TransactionReceipt> {
    // A dry run first: it alone tells the reason of a revert.
    await this.anvil.call(to, data, from).catch((error: unknown) => {
      throw toNamedError(error)
    })
    const sent = await this.anvil.send({ from, to, data })
    await this.anvil.mine()
    const receipt = await this.anvil.receipt(sent)
    if (receipt.status !== '0x1') throw new Error(`${to}: reverted after it passed in a dry run`)
    return receipt
  }

  async impersonate(account: string): Promise<void> {
    await this.anvil.rpc('anvil_impersonateAccount', account)
    await this.anvil.rpc('anvil_setBalance', account, '0x56bc75e2d63100000')
  }

  /** Sends as an account that no key is known of. */
  async as(account: string, name: ContractName, method: string, args?: unknown): Promise<TransactionReceipt> {
    await this.impersonate(account)
    return this.send(name, method, args, account)
  }

  async read<T>(name: ContractName, method: string, args?: unknown): Promise<T> {
    const answer = await this.anvil
      .call(this.addressOf(name), encodeCall(name, method, args))
      .catch((error: unknown) => {
        throw toNamedError(error)
      })
    return decodeAnswer(name, method, answer) as T
  }

  /** An act of the council, signed by two of three unless told otherwise. */
  act(name: ContractName, method: string, args?: unknown, signers = councillors.slice(0, 2)) {
    return this.transact(this.council, this.actCall({ name, method, args, signers }))
  }

  /** What the council is asked to do. */
  actTyped({ name, method, args, salt = this.#salt++, deadline = 4_000_000_000n }: Act) {
    return { target: this.addressOf(name), data: hexToBytes(encodeCall(name, method, args).slice(2)), salt, deadline }
  }

  actCall({ signers = councillors.slice(0, 2), ...act }: Act & { signers?: typeof councillors }): string {
    const content = this.actTyped(act)
    const message = { ...content, data: hex(content.data) }
    const typed = this.#typed({ name: 'Wattline Council', at: this.council, types: actTypes, message })
    const signatures = signers.map(({ secret }) => hexToBytes(signTyped(typed, secret, false).slice(2)))
    return encodeCall('Council', 'act', { ...content, signatures })
  }

  /** Goes on with another attestation contract, which knows no templates yet. */
  move(attestation: string): void {
    this.attestation = attestation
    this.#templates.clear()
  }

  #typed({ name, at, types, message }: { name: string; at: string; types: object; message: object }) {
    const domain = { name, version: '1', chainId: 31_337n, verifyingContract: at }
    const [primaryType = ''] = Object.keys(types)
    return { domain, types: { EIP712Domain: domainType, ...types }, primaryType, message } as never
  }

  deviceOf({ publicKey }: Signer): string {
    return toDeviceAddress(publicKey)
  }

  /** What goes into `enrol`, with the owner's signature. */
  enrolment(signer: Signer, terms: PointTerms) {
    const owner = walletOf(terms.owner)
    const certificate = certificateOf(signer)
    const content = {
      owner: owner.address,
      books: BigInt(terms.books),
      maxPowerW: BigInt(terms.maxPowerW ?? 43_000),
      rolloverWh: terms.rolloverWh ?? 0n,
      behind: terms.behind ?? zeroAddress,
      firstAt: BigInt(terms.first?.at ?? 0),
      firstPlace: packPlace(terms.first?.after ?? { epoch: 0, sequence: 0 }),
      firstRegisters: packRegisters(terms.first?.registers ?? {}),
    }
    const message = { device: toDeviceAddress(signer.publicKey), ...content, certificate: `0x${certificate.hash}` }
    const typed = this.#typed({ name: 'Wattline Attestation', at: this.attestation, types: enrolTypes, message })
    const ownerSignature = hexToBytes(signTyped(typed, owner.secret, false).slice(2))
    return { ...content, ...signedBody(certificate, signer), ownerSignature }
  }

  /** Enrols a point in the council's name: its own signatures cost time, and have tests of their own. */
  async enrol(signer: Signer, terms: PointTerms): Promise<string> {
    await this.send('Attestation', 'enrol', this.enrolment(signer, terms), this.council)
    return toDeviceAddress(signer.publicKey)
  }

  async templateId(template: OcmfTemplate): Promise<number> {
    const key = JSON.stringify(template)
    const known = this.#templates.get(key)
    if (known !== undefined) return known
    await this.send('Attestation', 'registerTemplate', toContractTemplate(template))
    const id = Number(await this.read<bigint>('Attestation', 'templateCount'))
    this.#templates.set(key, id)
    return id
  }

  async toSettlement({ text }: SignedRecord, signer: Signer): Promise<Settlement> {
    const parsed = parseOcmfText(text)
    return toSettlement(parsed, signer.publicKey, await this.templateId(parsed.record.template))
  }

  /** Settles in one transaction; what was counted, and why the rest was not. */
  async settle(settlements: readonly Settlement[]) {
    const receipt = await this.transact(this.attestation, hex(encodeSettle(settlements)))
    return { ...decodeLogs(receipt.logs), gas: Number(receipt.gasUsed) }
  }

  /** Everything that counted, on the chain as it stands. */
  async settled(): Promise<readonly Settled[]> {
    const logs = await this.anvil.rpc<Log[]>('eth_getLogs', { fromBlock: '0x0', address: this.attestation })
    return decodeLogs(logs).settled
  }

  async balanceOf(owner: number): Promise<bigint> {
    return await this.read<bigint>('Watt', 'balanceOf', walletOf(owner).address)
  }

  async shortfallOf(owner: number): Promise<bigint> {
    return await this.read<bigint>('Watt', 'shortfallOf', walletOf(owner).address)
  }
}

/** The members of the council in the order of their addresses. */
export const councillors = [1, 2, 3].map(walletOf).sort((a, b) => (a.address < b.address ? -1 : 1))

const domainType = [
  { name: 'name', type: 'string' },
  { name: 'version', type: 'string' },
  { name: 'chainId', type: 'uint256' },
  { name: 'verifyingContract', type: 'address' },
]
const actTypes = {
  Act: [
    { name: 'target', type: 'address' },
    { name: 'data', type: 'bytes' },
    { name: 'salt', type: 'uint256' },
    { name: 'deadline', type: 'uint256' },
  ],
}
const enrolTypes = {
  Enrol: [
    { name: 'device', type: 'address' },
    { name: 'owner', type: 'address' },
    { name: 'books', type: 'uint8' },
    { name: 'maxPowerW', type: 'uint32' },
    { name: 'rolloverWh', type: 'uint56' },
    { name: 'behind', type: 'address' },
    { name: 'firstAt', type: 'uint48' },
    { name: 'firstPlace', type: 'uint88' },
    { name: 'firstRegisters', type: 'uint256' },
    { name: 'certificate', type: 'bytes32' },
  ],
}

/** A certificate of a key for a roof. */
export function certificateOf(signer: Signer): Certificate {
  const facts = {
    point: makePointId(makeGatewayId('gw-1'), makeMeterId('roof')),
    role: 'producer',
    meter: { vendor: 'Eastron', model: 'SDM630-Modbus V2', serial: '10223344' },
    maxPowerW: 43_000,
    issuedAt: 1,
  } as const
  return makeCertificate(facts, signer)
}

const toWord = (number: bigint) => hexToBytes(number.toString(16).padStart(64, '0'))

/** The signed bytes of a certificate, and the signature on them as the contract takes it. */
export function signedBody({ text }: Certificate, { publicKey }: Signer) {
  const { body, signature } = parseDocument('WATT-CERT', text, 'certificate/invalid')
  const bytes = asciiToBytes(body)
  const { r, vs } = toCompactSignature(bytes, signature, publicKey)
  return { certificate: bytes, r: toWord(r), vs: toWord(vs) }
}

/** Two records of one key as `proveEquivocation` takes them. */
export function signedPair(a: SignedRecord | undefined, b: SignedRecord | undefined, { publicKey }: Signer) {
  const signed = [a, b].map((record) => {
    const bytes = asciiToBytes(record?.payload ?? '')
    const { r, vs } = toCompactSignature(bytes, record?.signature ?? new Uint8Array(64), publicKey)
    return { bytes, signature: [toWord(r), toWord(vs)] }
  })
  return { a: signed[0]?.bytes, sigA: signed[0]?.signature, b: signed[1]?.bytes, sigB: signed[1]?.signature }
}

/** A settlement as the ABI coder takes it. */
export function toItem({ numbers, previousHash, registers, r, vs }: Settlement) {
  return { numbers, previousHash: toWord(previousHash), registers, r: toWord(r), vs: toWord(vs) }
}

async function deploy(anvil: Anvil, from: string, name: ContractName, args: unknown): Promise<string> {
  const sent = await anvil.send({ from, data: encodeDeployment(name, args) })
  await anvil.mine()
  const { contractAddress, status } = await anvil.receipt(sent)
  if (contractAddress === null || status !== '0x1') throw new Error(`${name} was not deployed`)
  return contractAddress
}
