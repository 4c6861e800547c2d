import { makeSigner, parseOcmfText, type SignedRecord, type Signer, WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { roof, signerOf } from '../../../protocol/test/arbitraries.ts'
import { genesisSeconds } from '../../test/anvil.ts'
import { Chain, certificateOf, signedBody } from '../../test/chain.ts'
import { genesisMs, type Reading, signReadings } from '../../test/chain-records.ts'
import { AttestationContract, hashTemplate } from './attestation-contract.ts'
import { type Lane, Relayer } from './relayer.ts'
import { makeRpc, type Rpc } from './rpc.ts'
import { toDeviceAddress } from './settlement.ts'
import { Wallet } from './wallet.ts'

const gwei = 1_000_000_000n
const secretKey = Buffer.from('5e'.repeat(32), 'hex')
const producer = 2
let chain: Chain
let number = 0

test.before(async () => {
  chain = await Chain.start()
  await chain.anvil.mine(genesisSeconds + 86_400)
  await chain.anvil.rpc('anvil_setBalance', new Wallet(failing(), secretKey, limits).address, '0x56bc75e2d63100000')
})
test.after.always(() => chain?.stop())

const limits = { maxFeePerGas: 100n * gwei, tipPerGas: gwei }

function failing(): Rpc {
  return { ask: () => Promise.reject(new WattError('evm/unreachable', 'no node', { retryable: true })) }
}

/** A relayer as it is after a start: it remembers nothing. */
function startRelayer(options: { rpc?: Rpc; limits?: typeof limits; confirmations?: number } = {}) {
  const rpc = options.rpc ?? makeRpc(chain.anvil.url)
  const wallet = new Wallet(rpc, secretKey, options.limits ?? limits)
  const { confirmations = 3 } = options
  return new Relayer(new AttestationContract(rpc, wallet, { address: chain.attestation, confirmations }), wallet)
}

/** Records of one key, as the ledger's database would give them. */
class MemoryLane implements Lane {
  readonly publicKey: Uint8Array
  readonly records: readonly SignedRecord[]
  /** How many are there by now. */
  length: number

  constructor(records: readonly SignedRecord[], signer: Signer) {
    this.publicKey = signer.publicKey
    this.records = records
    this.length = records.length
  }

  after(place: { epoch: number; sequence: number }, limit: number): readonly string[] {
    const later = ({ text }: SignedRecord) => {
      const { epoch, sequence } = parseOcmfText(text).record
      return epoch > place.epoch || (epoch === place.epoch && sequence > place.sequence)
    }
    return this.records
      .slice(0, this.length)
      .filter(later)
      .slice(0, limit)
      .map(({ text }) => text)
  }
}

async function enrolLane(readings: readonly Reading[], terms: { rolloverWh?: bigint; maxPowerW?: number } = {}) {
  const signer = signerOf(300 + ++number)
  const owner = 40_000 + number
  await chain.enrol(signer, { owner, books: producer, first: { at: genesisMs, registers: { export: 0n } }, ...terms })
  return { owner, signer, lane: new MemoryLane(signReadings(readings, signer), signer) }
}

const exported = (wh: number): Reading => ({ registers: { export: BigInt(wh) } })

/** Steps until nothing is left to do. */
async function drain(relayer: Relayer, lanes: readonly Lane[]): Promise<number> {
  let transactions = 0
  for (let idle = 0; idle < 3; ) {
    const outcome = await relayer.step(lanes)
    if (outcome === 'sent') transactions++
    idle = outcome === 'idle' ? idle + 1 : 0
    await chain.anvil.mine()
  }
  return transactions
}

test.serial('many records of many points take one transaction, and the texts one before it', async (t) => {
  const own = { ...roof, gatewayVersion: 'first seen here' }
  const points = []
  for (let i = 0; i < 3; i++) {
    const readings = Array.from({ length: 30 }, (_, n) => ({ ...exported(100 * (n + 1)), template: own }))
    points.push(await enrolLane(readings))
  }
  const lanes = points.map(({ lane }) => lane)
  t.is(await drain(startRelayer(), lanes), 2)
  for (const { owner } of points) t.is(await chain.balanceOf(owner), 3000n)
  t.is(await drain(startRelayer(), lanes), 0, 'a relayer that was started anew finds nothing to do')
})

test.serial('records at which a register began anew are not left out', async (t) => {
  const { owner, lane } = await enrolLane(
    [
      exported(500),
      { ...exported(90), state: 'roll-over' },
      exported(95),
      { ...exported(3), state: 're-based' },
      { registers: {}, state: 'no-answer' },
      exported(13),
    ],
    { rolloverWh: 1000n },
  )
  await drain(startRelayer(), [lane])
  t.is(await chain.balanceOf(owner), 500n + 590n + 5n + 10n, 'from 95 to the re-base nothing is known')
})

test.serial("a record that does not count is not paid for, and stands in nobody's way", async (t) => {
  const { owner, lane } = await enrolLane([exported(500), exported(9_000_000), { ...exported(600), minute: 5 }])
  const other = await enrolLane([exported(70)])
  lane.length = 2
  t.is(await drain(startRelayer(), [lane, other.lane]), 2)
  t.is(await chain.balanceOf(other.owner), 70n)
  t.is(await chain.balanceOf(owner), 500n, 'what was sound before it counts')
  lane.length = 3
  await drain(startRelayer(), [lane, other.lane])
  t.is(await chain.balanceOf(owner), 600n)
})

test.serial('what is too much in one step counts in those that the ledger counted', async (t) => {
  // A kilowatt lets 16.7 Wh through in a minute, and 100 Wh more are forgiven: once for each record.
  const { owner, lane } = await enrolLane(
    Array.from({ length: 20 }, (_, n) => exported(100 * (n + 1))),
    { maxPowerW: 1000 },
  )
  t.is(await drain(startRelayer(), [lane]), 1)
  t.is(await chain.balanceOf(owner), 2000n)
})

test.serial('a register that begins anew does not overtake what its predecessor tells', async (t) => {
  const steps = Array.from({ length: 20 }, (_, n) => exported(100 * (n + 1)))
  const rest: Reading[] = [{ ...exported(7), state: 're-based' }, exported(9)]
  const slow = await enrolLane([...steps, ...rest], { maxPowerW: 1000 })
  await drain(startRelayer(), [slow.lane])
  t.is(await chain.balanceOf(slow.owner), 2002n)
  // Neither does one that is ahead of the chain's time, until that time has come.
  const now = Number(
    BigInt((await chain.anvil.rpc<{ timestamp: string }>('eth_getBlockByNumber', 'latest', false)).timestamp),
  )
  const minute = Math.floor((now - genesisSeconds) / 60)
  const early = await enrolLane([
    { ...exported(500), minute: minute + 30 },
    { ...exported(7), state: 're-based', minute: minute + 1 },
    { ...exported(9), minute: minute + 2 },
  ])
  t.is(await drain(startRelayer(), [early.lane]), 0)
  await chain.anvil.mine(now + 1800)
  await drain(startRelayer(), [early.lane])
  t.is(await chain.balanceOf(early.owner), 502n)
})

test.serial('a key that the contract does not count costs nothing', async (t) => {
  const unknown = makeSigner(Buffer.alloc(32, 9))
  t.is(await drain(startRelayer(), [new MemoryLane(signReadings([exported(5)], unknown), unknown)]), 0)
  const { lane, signer } = await enrolLane([exported(100)])
  const next = signerOf(300 + ++number)
  const device = toDeviceAddress(signer.publicKey)
  await chain.act('Attestation', 'rotateKey', { device, ...signedBody(certificateOf(next), next) })
  const after = new MemoryLane(signReadings([{ ...exported(250), minute: 4 }], next), next)
  t.is(await drain(startRelayer(), [lane, after]), 1)
})

test.serial('nothing is sent while gas costs more than is allowed', async (t) => {
  const { owner, lane } = await enrolLane([exported(100)])
  await chain.anvil.rpc('anvil_setNextBlockBaseFeePerGas', `0x${(200n * gwei).toString(16)}`)
  await chain.anvil.mine()
  const relayer = startRelayer()
  t.is(await relayer.step([lane]), 'too-dear')
  await chain.anvil.rpc('anvil_setNextBlockBaseFeePerGas', `0x${gwei.toString(16)}`)
  await chain.anvil.mine()
  t.is(await relayer.step([lane]), 'sent')
  await chain.anvil.mine()
  t.is(await chain.balanceOf(owner), 100n)
})

test.serial(
  'a transaction that got stuck at the highest fee allowed, and was forgotten, is not waited for',
  async (t) => {
    const { owner, lane } = await enrolLane([exported(100)])
    const baseFee = (fee: bigint) => chain.anvil.rpc('anvil_setNextBlockBaseFeePerGas', `0x${fee.toString(16)}`)
    await baseFee(gwei)
    await chain.anvil.mine()
    const relayer = startRelayer({ limits: { maxFeePerGas: 3n * gwei, tipPerGas: gwei } })
    t.is(await relayer.step([lane]), 'sent')
    for (let i = 0; i < 5; i++) {
      await baseFee(9n * gwei)
      await chain.anvil.mine()
    }
    t.is(await relayer.step([lane]), 'too-dear')
    await chain.anvil.rpc('anvil_dropAllTransactions')
    await baseFee(gwei)
    await chain.anvil.mine()
    t.is(await relayer.step([lane]), 'sent')
    await chain.anvil.mine()
    t.is(await chain.balanceOf(owner), 100n)
  },
)

test.serial(
  'a transaction that nobody takes is sent again with a higher fee, also by one that knows nothing of it',
  async (t) => {
    const { owner, lane } = await enrolLane([exported(100)])
    const more = await enrolLane([exported(40)])
    const relayer = startRelayer()
    t.is(await relayer.step([lane]), 'sent')
    t.is(await relayer.step([lane]), 'waiting')
    t.is(await startRelayer().step([lane]), 'sent', 'the same bytes, which the node has already')
    await chain.anvil.rpc('anvil_dropAllTransactions')
    t.is(await startRelayer().step([lane]), 'sent')
    t.is(await startRelayer().step([lane, more.lane]), 'sent', 'other bytes at the same nonce: with a higher fee')
    await chain.anvil.mine()
    t.is(await chain.balanceOf(owner), 100n)
    t.is(await chain.balanceOf(more.owner), 40n)
  },
)

test.serial('the name of a template is the one that the contract gives it', async (t) => {
  const template = { ...roof, meterSerial: '', pointType: 'EVSEID' as const, pointText: 'DE*WAT*E1' }
  const id = await chain.templateId(template)
  t.is(Number(await chain.read('Attestation', 'templateOf', hashTemplate(template))), id)
})

test.serial('more points than one question holds keep their order, and a missing contract is told', async (t) => {
  const { signer } = await enrolLane([exported(5)])
  const wallet = new Wallet(makeRpc(chain.anvil.url), secretKey, limits)
  const at = (address: string) =>
    new AttestationContract(makeRpc(chain.anvil.url), wallet, { address, confirmations: 0 })
  const devices = Array.from({ length: 1100 }, (_, i) => `0x${(i + 1).toString(16).padStart(40, '0')}`)
  devices[777] = toDeviceAddress(signer.publicKey)
  const heads = await at(chain.attestation).headsOf(devices, 'latest')
  t.is(heads.length, 1100)
  t.deepEqual(
    heads.flatMap(({ status }, i) => (status === 'unknown' ? [] : [[i, status]])),
    [[777, 'active']],
  )
  for (const elsewhere of [chain.watt, `0x${'77'.repeat(20)}`]) {
    await t.throwsAsync(at(elsewhere).headsOf(devices, 'latest'), { code: 'evm/refused' }, elsewhere)
  }
})

test.serial('a node that is away, or talks nonsense, is told apart', async (t) => {
  const away = startRelayer({ rpc: makeRpc('http://127.0.0.1:1') })
  const { lane } = await enrolLane([exported(1)])
  const error = await t.throwsAsync<WattError>(away.step([lane]), { code: 'evm/unreachable' })
  t.true(error?.retryable)
  for (const answer of [undefined, null, 7, '0xzz', '0x01']) {
    const relayer = startRelayer({ rpc: { ask: async () => answer } })
    await t.throwsAsync(relayer.step([lane]), { code: 'evm/refused' })
  }
})

test.serial('whatever is cut, lost, killed or taken back, what is booked is what the registers rose by', async (t) => {
  const event = fc.oneof(
    { weight: 8, arbitrary: fc.constant('step' as const) },
    { weight: 5, arbitrary: fc.constant('mine' as const) },
    { weight: 5, arbitrary: fc.constant('more' as const) },
    { weight: 2, arbitrary: fc.constant('kill' as const) },
    { weight: 2, arbitrary: fc.constant('cut' as const) },
    { weight: 1, arbitrary: fc.constant('drop' as const) },
    { weight: 1, arbitrary: fc.constant('reorg' as const) },
  )
  const [plan = []] = fc.sample(fc.array(event, { minLength: 90, maxLength: 90 }), { numRuns: 1, seed: 5 })
  const points = []
  for (let i = 0; i < 3; i++) {
    const readings = Array.from({ length: 25 }, (_, n) => exported(37 * (n + 1) + i))
    points.push(await enrolLane(readings))
  }
  const lanes = points.map(({ lane }) => lane)
  for (const lane of lanes) lane.length = 0
  const floor = Number(await chain.anvil.rpc<string>('eth_blockNumber'))
  const link = new Link(makeRpc(chain.anvil.url))
  let relayer = startRelayer({ rpc: link })
  let [steps, cuts] = [0, 0]
  for (const [i, what] of plan.entries()) {
    if (what === 'step')
      await relayer.step(lanes).then(
        () => steps++,
        () => cuts++,
      )
    if (what === 'mine') await chain.anvil.mine()
    if (what === 'more') for (const lane of lanes) lane.length += 1
    if (what === 'kill') relayer = startRelayer({ rpc: link })
    // The request after so many is the last that the node hears, or whose answer is heard.
    if (what === 'cut') link.cutAfter(1 + (i % 9), i % 2 === 0)
    if (what === 'drop') await chain.anvil.rpc('anvil_dropAllTransactions')
    if (what === 'reorg') {
      const height = Number(await chain.anvil.rpc<string>('eth_blockNumber'))
      if (height > floor) await chain.anvil.rpc('anvil_reorg', Math.min(2, height - floor), [])
    }
  }
  t.true(steps > 10 && cuts > 1, `${steps} steps, ${cuts} cut`)
  await chain.anvil.rpc('anvil_dropAllTransactions')
  for (const lane of lanes) lane.length = lane.records.length
  await drain(startRelayer(), lanes)
  for (const [i, { owner }] of points.entries()) t.is(await chain.balanceOf(owner), BigInt(37 * 25 + i))
})

/** A line to the node that can be cut before a question arrives, or before its answer does. */
class Link implements Rpc {
  readonly #rpc: Rpc
  #left = Number.POSITIVE_INFINITY
  #answered = false

  constructor(rpc: Rpc) {
    this.#rpc = rpc
  }

  cutAfter(requests: number, answered: boolean): void {
    this.#left = requests
    this.#answered = answered
  }

  async ask(method: string, ...params: readonly unknown[]): Promise<unknown> {
    if (this.#left-- > 0) return this.#rpc.ask(method, ...params)
    this.#left = Number.POSITIVE_INFINITY
    if (this.#answered) await this.#rpc.ask(method, ...params)
    throw new WattError('evm/unreachable', `${method}: cut`, { retryable: true })
  }
}
