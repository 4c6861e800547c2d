import { makeTimestamp, type ParsedOcmf, type PointId, parseOcmfText } from '@wattline/protocol'
import fc from 'fast-check'
import { AttestationContract, type ChainHead } from '../src/evm/attestation-contract.ts'
import { type Advance, Finality } from '../src/evm/finality.ts'
import { prepareLanes } from '../src/evm/ledger-lanes.ts'
import { type Lane, Relayer } from '../src/evm/relayer.ts'
import { makeRpc, type Rpc } from '../src/evm/rpc.ts'
import { isSettleable, toDeviceAddress } from '../src/evm/settlement.ts'
import { Wallet } from '../src/evm/wallet.ts'
import { isAfter, type Place } from '../src/points/registry.ts'
import { FinalPlaces } from '../src/store/final-places.ts'
import type { Chain } from './chain.ts'
import { Device, openRig, startMs } from './rig.ts'

// A ledger with `backend: evm` without its timers and its network: a relayer, a chain, and gateways that forget what a
// receipt has named.

interface Teardown {
  teardown(fn: () => void): void
}

const gwei = 1_000_000_000n
const secretKey = Buffer.from('6f'.repeat(32), 'hex')
const producer = 2
const widthWh = 1_000_000n
const start: Place = { epoch: 0, sequence: 0 }
let serial = 0

/** How a ledger may get it wrong: the check must notice. */
export type Mutant = 'none' | 'receipt at commit' | 'receipt at first sight'

/** What happens between gateways, ledger and chain. */
export const events = fc.array(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({
        do: fc.constant('read' as const),
        point: fc.nat(1),
        wh: fc.integer({ min: 0, max: 400 }),
        kind: fc.constantFrom('ok', 'ok', 'ok', 'ok', 'still', 'no-answer', 're-based', 'jump'),
      }),
    },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('relay' as const) }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('mine' as const) }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('look' as const) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('reorg' as const), depth: fc.integer({ min: 1, max: 2 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const) }) },
  ),
  { minLength: 60, maxLength: 60 },
)
type Happening = typeof events extends fc.Arbitrary<(infer E)[]> ? E : never

/** No reorg of the histories is deeper than this many blocks. */
const confirmations = 2

export async function fundPayer(chain: Chain): Promise<void> {
  const { wallet } = openParts(chain, 0)
  await chain.anvil.rpc('anvil_setBalance', wallet.address, '0x56bc75e2d63100000')
}

function openParts(chain: Chain, depth: number, rpc: Rpc = makeRpc(chain.anvil.url)) {
  const wallet = new Wallet(rpc, secretKey, { maxFeePerGas: 1000n * gwei, tipPerGas: gwei })
  const contract = new AttestationContract(rpc, wallet, { address: chain.attestation, confirmations: depth })
  return { wallet, contract, relayer: new Relayer(contract, wallet) }
}

/** A metering point whose gateway keeps only what no receipt has named yet. */
export class KeepingDevice extends Device {
  readonly owner: number
  /** So far on that it comes around on the way. */
  registerWh = widthWh - 1500n
  kept: string[] = []

  constructor(options: { meter: string; owner: number; role?: 'producer' | 'charger' | 'storage'; behind?: string }) {
    const { meter, owner, role = 'producer', behind } = options
    super({ meter, role, rolloverWh: widthWh, maxPowerW: 1_000_000, ...(behind === undefined ? {} : { behind }) })
    this.owner = owner
  }

  override sign(options: Parameters<Device['sign']>[0]): string {
    const text = super.sign(options)
    this.kept.push(text)
    return text
  }

  forget(place: Place): void {
    this.kept = this.kept.filter((text) => isAfter(parseOcmfText(text).record, place))
  }
}

/** One ledger on a chain. */
export class FinalityRig {
  readonly chain: Chain
  readonly engine: ReturnType<typeof openRig>['engine']
  readonly devices: KeepingDevice[] = []
  readonly receipts = new Map<PointId, Place>()
  readonly #mutant: Mutant
  readonly #places: FinalPlaces
  #parts: ReturnType<typeof openParts>
  #finality: Finality

  constructor(t: Teardown, chain: Chain, mutant: Mutant = 'none') {
    this.chain = chain
    this.engine = openRig(t).engine
    this.#mutant = mutant
    this.#places = new FinalPlaces(this.engine.db)
    this.#places.begin()
    this.#parts = openParts(chain, this.#depth)
    this.#finality = new Finality(this.#places, this.engine.registry, this.#parts.contract)
  }

  get #depth(): number {
    return this.#mutant === 'receipt at first sight' ? 0 : confirmations
  }

  /** A point whose count begins at its register's first reading, at the ledger as on the chain. */
  async add(options: ConstructorParameters<typeof KeepingDevice>[0], books: number | 'not on the chain' = producer) {
    const device = new KeepingDevice(options)
    this.devices.push(device)
    this.engine.ingest([device.certificateMessage()])
    if (books === 'not on the chain') return device
    const registers = { import: device.registerWh, export: device.registerWh }
    const first = { at: makeTimestamp(startMs + 60_000), registers }
    const terms = { owner: options.owner, books, maxPowerW: 1_000_000, rolloverWh: widthWh, first }
    await this.chain.enrol(device.signer, terms)
    return device
  }

  /** The chain from here on by another way to the node. */
  use(rpc: Rpc): void {
    this.#parts = openParts(this.chain, this.#depth, rpc)
    this.#finality = new Finality(this.#places, this.engine.registry, this.#parts.contract)
  }

  /** A process that was killed and started again remembers what the database holds. */
  restart(): void {
    this.#parts = openParts(this.chain, this.#depth)
    this.#finality = new Finality(this.#places, this.engine.registry, this.#parts.contract)
  }

  relay(lanes: readonly Lane[] = prepareLanes(this.engine.db)()) {
    return this.#parts.relayer.step(lanes)
  }

  /** What is final, and what gateways forget by it. */
  async look(): Promise<Advance> {
    const advance = await this.#finality.advance()
    for (const { id } of this.devices) {
      const point = this.engine.registry.get(id)
      const place = this.#mutant === 'receipt at commit' ? point?.head : point && this.#places.of(point)
      const told = this.receipts.get(id) ?? start
      if (place === undefined || !isAfter(place, told)) continue
      this.receipts.set(id, place)
      this.devices.find((device) => device.id === id)?.forget(place)
    }
    return advance
  }

  receiptOf({ id }: Device): number {
    return this.receipts.get(id)?.sequence ?? 0
  }

  async headOf(device: Device): Promise<ChainHead> {
    const [head] = await this.#parts.contract.headsOf([toDeviceAddress(device.signer.publicKey)], 'latest')
    return head as ChainHead // one for each
  }

  /** Relays what there is and lets so many blocks pass. */
  async settle(blocks: number = confirmations): Promise<void> {
    for (let i = 0; i < 4; i++) {
      await this.relay()
      await this.chain.anvil.mine()
    }
    for (let i = 0; i < blocks; i++) await this.chain.anvil.mine()
  }
}

/** Whether a history, cut off anywhere, has left every kilowatt-hour either on the chain or at a gateway. */
export async function losesNothing(
  t: Teardown,
  chain: Chain,
  plan: readonly Happening[],
  mutant: Mutant = 'none',
): Promise<boolean> {
  const rig = new FinalityRig(t, chain, mutant)
  for (let i = 0; i < 2; i++) await rig.add({ meter: `roof-${i}`, owner: 70_000 + ++serial })
  for (const device of rig.devices) rig.engine.ingest([device.read({ export: device.registerWh })])
  const floor = await height(chain)
  for (const what of plan) {
    await perform(rig, what, floor)
    if (!(await keepsReceipts(rig))) return false
  }
  // The ledger's database is lost now, and the last blocks with it. What is left: the chain, and what gateways keep.
  await perform(rig, { do: 'reorg', depth: confirmations }, floor)
  await perform(rig, { do: 'drop' }, floor)
  rig.restart()
  const lanes = rig.devices.map(toLane)
  for (let idle = 0; idle < 3; ) {
    idle = (await rig.relay(lanes)) === 'idle' ? idle + 1 : 0
    await chain.anvil.mine()
  }
  for (const { id, owner } of rig.devices) {
    if ((await chain.balanceOf(owner)) !== rig.engine.registry.get(id)?.mintedWh) return false
  }
  return true
}

// The register that a receipt has told is never ahead of what the chain has counted: up to there nothing is left to tell.
async function keepsReceipts(rig: FinalityRig): Promise<boolean> {
  for (const device of rig.devices) {
    const receipt = rig.receipts.get(device.id)
    const owed = device.texts
      .map((text) => parseOcmfText(text))
      .findLast((parsed) => receipt && !isAfter(parsed.record, receipt) && isSettleable(parsed) && isLikely(parsed))
    if (owed === undefined) continue
    const head = await rig.headOf(device)
    if (isAfter(owed.record, head) && owed.record.registers.export !== head.registers.export) return false
  }
  return true
}

// A jump that no fuse allows counts nowhere.
const jumpWh = 400_000_000n
const isLikely = ({ record }: ParsedOcmf) => (record.registers.export ?? 0n) < jumpWh

async function perform(rig: FinalityRig, what: Happening, floor: number): Promise<void> {
  const { chain, engine, devices } = rig
  if (what.do === 'read') {
    const device = devices[what.point]
    if (device !== undefined) engine.ingest([readAs(device, what.kind, BigInt(what.wh))])
  }
  if (what.do === 'relay') await rig.relay()
  if (what.do === 'mine') await chain.anvil.mine()
  if (what.do === 'look') await rig.look()
  if (what.do === 'restart') rig.restart()
  if (what.do === 'reorg') {
    const depth = Math.min(what.depth, (await height(chain)) - floor)
    if (depth > 0) await chain.anvil.rpc('anvil_reorg', depth, [])
  }
  if (what.do === 'drop') await chain.anvil.rpc('anvil_dropAllTransactions')
}

function readAs(device: KeepingDevice, kind: string, wh: bigint) {
  if (kind === 'no-answer') return device.read({}, { state: 'no-answer' })
  if (kind === 'still') return device.read({ export: device.registerWh })
  if (kind === 'jump') return device.read({ export: device.registerWh + jumpWh })
  const total = kind === 're-based' ? wh : device.registerWh + wh
  const wraps = total >= widthWh
  device.registerWh = wraps ? total - widthWh : total
  const state = kind === 're-based' ? 're-based' : wraps ? 'roll-over' : 'ok'
  return device.read({ export: device.registerWh }, { state })
}

async function height(chain: Chain): Promise<number> {
  return Number(await chain.anvil.rpc<string>('eth_blockNumber'))
}

// What a gateway keeps, brought by whoever likes to.
function toLane(device: KeepingDevice): Lane {
  return {
    publicKey: device.signer.publicKey,
    after: (place, limit) => device.kept.filter((text) => isAfter(parseOcmfText(text).record, place)).slice(0, limit),
  }
}
