import type { SignedRecord, Signer, WattError } from '@wattline/protocol'
import { parseOcmfText } from '@wattline/protocol'
import test from 'ava'
import { pino } from 'pino'
import { signerOf } from '../../../protocol/test/arbitraries.ts'
import { genesisSeconds } from '../../test/anvil.ts'
import { Chain } from '../../test/chain.ts'
import { genesisMs, signReadings } from '../../test/chain-records.ts'
import { Health } from '../health.ts'
import { isAfter } from '../points/registry.ts'
import { AttestationContract } from './attestation-contract.ts'
import { ChainReporter } from './chain-reporter.ts'
import type { EvmConfig } from './evm-config.ts'
import { openChain } from './relay.ts'
import { type Lane, Relayer } from './relayer.ts'
import { makeRpc, type Rpc } from './rpc.ts'
import { Wallet } from './wallet.ts'

// Nodes that lie, lag or stand still, and keys that are poor or shared: each has a name, and nothing counts twice.

const gwei = 1_000_000_000n
const limits = { maxFeePerGas: 100n * gwei, tipPerGas: gwei }
const keyOf = (byte: number) => Buffer.alloc(32, byte)
const producer = 2
let chain: Chain
let number = 0

test.before(async () => {
  chain = await Chain.start()
  await chain.anvil.mine(genesisSeconds + 86_400)
})
test.after.always(() => chain?.stop())

type Ask = Rpc['ask']

/** A relayer with a key of its own, whose node answers some questions its own way. */
async function openRelayer(options: { lie?: (ask: Ask) => Ask; key?: number; isPoor?: true; most?: bigint } = {}) {
  const { lie = (ask) => ask, key = 0x40 + ++number, isPoor, most = limits.maxFeePerGas } = options
  const node = makeRpc(chain.anvil.url)
  const wallet = new Wallet({ ask: lie((...question) => node.ask(...question)) }, keyOf(key), {
    ...limits,
    maxFeePerGas: most,
  })
  if (isPoor === undefined) await chain.anvil.rpc('anvil_setBalance', wallet.address, '0x56bc75e2d63100000')
  const rpc: Rpc = { ask: lie((...question) => node.ask(...question)) }
  const contract = new AttestationContract(rpc, wallet, { address: chain.attestation, confirmations: 0 })
  return { relayer: new Relayer(contract, wallet), address: wallet.address, key }
}

async function openLane(wh: readonly number[]) {
  const signer = signerOf(60_000 + ++number)
  const owner = 120_000 + number
  await chain.enrol(signer, { owner, books: producer, first: { at: genesisMs, registers: { export: 0n } } })
  const records = signReadings(
    wh.map((each) => ({ registers: { export: BigInt(each) } })),
    signer,
  )
  return { owner, lane: toLane(records, signer) }
}

function toLane(records: readonly SignedRecord[], { publicKey }: Signer): Lane {
  const texts = records.map(({ text }) => text)
  return { publicKey, after: (place) => texts.filter((text) => isAfter(parseOcmfText(text).record, place)) }
}

async function drain(relayer: Relayer, lanes: readonly Lane[]): Promise<void> {
  for (let idle = 0; idle < 3; idle = (await relayer.step(lanes)) === 'idle' ? idle + 1 : 0) await chain.anvil.mine()
}

const mine = async (blocks: number) => {
  for (let i = 0; i < blocks; i++) await chain.anvil.mine()
}

test.serial('a node that calls a used nonce the next one is told, not waited for', async (t) => {
  let told: string | undefined = '0x0'
  const lie = (ask: Ask): Ask => {
    return async (method, ...rest) => (method === 'eth_getTransactionCount' && told) || ask(method, ...rest)
  }
  const { relayer } = await openRelayer({ lie })
  const { owner, lane } = await openLane([100])
  t.is(await relayer.step([lane]), 'sent', 'that was true')
  await mine(1)
  const more = await openLane([40])
  t.is(await relayer.step([lane, more.lane]), 'waiting')
  await mine(5)
  t.is(await relayer.step([more.lane]), 'sent', 'it may be a race')
  await mine(5)
  for (let i = 0; i < 2; i++) {
    const error = await t.throwsAsync<WattError>(relayer.step([more.lane]), { code: 'evm/refused' })
    t.regex(error?.message ?? '', /the next nonce of 0x\w+ is 0, and that it is used/)
  }
  told = undefined
  await drain(relayer, [lane, more.lane])
  t.is(await chain.balanceOf(owner), 100n)
  t.is(await chain.balanceOf(more.owner), 40n)
})

test.serial('a nonce that is never reached ends at the highest fee allowed, and heals', async (t) => {
  let ahead = 7
  const lie = (ask: Ask): Ask => {
    return async (method, ...rest) => {
      const answer = await ask(method, ...rest)
      return method === 'eth_getTransactionCount' ? `0x${(Number(answer) + ahead).toString(16)}` : answer
    }
  }
  const { relayer } = await openRelayer({ lie, most: 6n * gwei })
  const { owner, lane } = await openLane([100])
  await chain.anvil.rpc('anvil_setNextBlockBaseFeePerGas', `0x${gwei.toString(16)}`)
  await mine(1)
  const outcomes: string[] = []
  for (let i = 0; i < 8 && outcomes.at(-1) !== 'too-dear'; i++) {
    outcomes.push(await relayer.step([lane]))
    await mine(5)
  }
  t.is(outcomes.at(-1), 'too-dear', outcomes.join())
  ahead = 0
  await drain(relayer, [lane])
  t.is(await chain.balanceOf(owner), 100n)
})

test.serial('a node that is behind costs a fee at most', async (t) => {
  let behind = '0x0'
  const lie = (ask: Ask): Ask => {
    return (method, ...params) =>
      ask(method, ...params.map((each) => (each === 'latest' && behind !== '0x0' ? behind : each)))
  }
  const { relayer } = await openRelayer({ lie })
  const { owner, lane } = await openLane([100, 250])
  const old = await chain.anvil.rpc<string>('eth_blockNumber')
  await drain(relayer, [lane])
  behind = old
  // What it says has not been counted is sent once more, with a nonce that is used.
  t.is(await relayer.step([lane]), 'sent')
  behind = '0x0'
  await mine(5)
  await drain(relayer, [lane])
  t.is(await chain.balanceOf(owner), 250n)
})

test.serial('two relayers with one key, at once, count everything once', async (t) => {
  const one = await openRelayer()
  const other = await openRelayer({ key: one.key })
  const lanes = [await openLane([100, 200]), await openLane([30]), await openLane([7, 8, 9])]
  const half = lanes.slice(0, 2).map(({ lane }) => lane)
  for (let i = 0; i < 6; i++) {
    await Promise.all([one.relayer.step(half), other.relayer.step(lanes.map(({ lane }) => lane))])
    if (i % 2 === 1) await mine(1)
  }
  await drain(
    other.relayer,
    lanes.map(({ lane }) => lane),
  )
  const held = await Promise.all(lanes.map(({ owner }) => chain.balanceOf(owner)))
  t.deepEqual(held, [200n, 30n, 9n])
})

test.serial('a key without coin is refused by the node in its own words', async (t) => {
  const { relayer, address } = await openRelayer({ isPoor: true })
  const { owner, lane } = await openLane([100])
  const error = await t.throwsAsync<WattError>(relayer.step([lane]), { code: 'evm/refused' })
  t.regex(error?.message ?? '', /insufficient funds/i)
  await chain.anvil.rpc('anvil_setBalance', address, '0x56bc75e2d63100000')
  await drain(relayer, [lane])
  t.is(await chain.balanceOf(owner), 100n)
})

test.serial('a node on another chain than before, or than configured, is not asked anything', async (t) => {
  const config: EvmConfig = {
    ...{ rpcUrl: chain.anvil.url, attestation: chain.attestation, keyFile: '', confirmations: 0 },
    ...{ maxFeeGwei: 100, tipGwei: 1, everySeconds: 1 },
  }
  const open = (chainId?: number) =>
    openChain({ ...config, ...(chainId === undefined ? {} : { chainId }) }, keyOf(0x33), new AbortController().signal)
  await t.throwsAsync(open(1).check(), { code: 'evm/wrong-chain', message: 'the node is on chain 31337, 1 expected' })
  const { check, relayer, wallet } = open()
  await check()
  await chain.anvil.rpc('anvil_setBalance', wallet.address, '0x56bc75e2d63100000')
  const { owner, lane } = await openLane([100, 200])
  await chain.anvil.rpc('anvil_setChainId', 5)
  await t.throwsAsync(check(), { code: 'evm/wrong-chain' })
  await chain.anvil.rpc('anvil_setChainId', 31_337)
  await check()
  await drain(relayer, [lane])
  t.is(await chain.balanceOf(owner), 200n)
})

test('health tells gas that is too dear, a node that stands still and another chain, until it is over', (t) => {
  const health = new Health()
  const reporter = new ChainReporter(health, pino({ enabled: false }))
  const codes = () => health.troubles().map(({ code }) => code)
  const minuteMs = 60_000
  const advance = { moved: [], held: [], refused: [] }
  reporter.relayed('too-dear', { maxFeeGwei: 50 })
  t.deepEqual(codes(), ['evm/too-dear'])
  reporter.relayed('sent', { maxFeeGwei: 50 })
  for (const [newest, minute] of [
    [7n, 0],
    [7n, 14],
    [8n, 15],
    [8n, 29],
  ] as const) {
    reporter.advanced({ ...advance, newest }, minute * minuteMs)
    t.deepEqual(codes(), [], `minute ${minute}`)
  }
  reporter.advanced({ ...advance, newest: 8n }, 30 * minuteMs)
  t.deepEqual(codes(), ['evm/stalled'])
  reporter.advanced(advance, 31 * minuteMs)
  t.deepEqual(codes(), [], 'nothing waits')
})
