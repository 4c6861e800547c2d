import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { addressOf, makeSigner, WattError } from '@wattline/protocol'
import test from 'ava'
import { Command } from 'commander'
import { addr } from 'micro-eth-signer'
import { Chain } from '../../test/chain.ts'
import { whileMining } from '../../test/relay-rig.ts'
import { tempDir } from '../../test/rig.ts'
import { addPaying } from '../wallet/paying.ts'
import { createWallet } from '../wallet/wallet-store.ts'
import { PaymentFolder } from './payment-folder.ts'
import { ChainPayments, type PaymentParts } from './payments.ts'
import { makeRpc, type Rpc } from './rpc.ts'
import { WattToken } from './watt-token.ts'

const chain = await Chain.start()
test.after.always(() => chain.stop())
const shop = `0x${'5a'.repeat(20)}`
const gwei = 10n ** 9n

let keys = 0
/** Somebody with 10 WATT and ether on the chain, whose node can be made to fail. */
async function openPayer(t: Parameters<typeof tempDir>[0]) {
  const secretKey = new Uint8Array(32).fill(0x60 + ++keys)
  const address = addressOf(makeSigner(secretKey).publicKey).toLowerCase()
  await chain.anvil.rpc('anvil_setBalance', address, '0x56bc75e2d63100000')
  await chain.as(chain.attestation, 'Watt', 'book', { owner: address, mintWh: 10_000n, burnWh: 0n })
  const wallet = join(tempDir(t), 'wallet')
  const folder = new PaymentFolder(wallet)
  const node = makeRpc(chain.anvil.url)
  const line: { fault: 'none' | 'lose-sent' | 'lose-answer' | 'no-receipts'; sent: string[] } = {
    fault: 'none',
    sent: [],
  }
  const rpc: Rpc = {
    async ask(method, ...params) {
      const lost = () => new WattError('evm/unreachable', `${method}: the line is cut`, { retryable: true })
      if (method === 'eth_getTransactionReceipt' && line.fault === 'no-receipts') return null
      if (method !== 'eth_sendRawTransaction') return node.ask(method, ...params)
      if (line.fault === 'lose-sent') throw lost()
      line.sent.push(String(params[0]))
      const answer = await node.ask(method, ...params)
      if (line.fault === 'lose-answer') throw lost()
      return answer
    },
  }
  const open = (change: Partial<PaymentParts> = {}) =>
    new ChainPayments({
      rpc,
      folder,
      limits: { maxFeePerGas: 50n * gwei, tipPerGas: gwei },
      confirmations: 3n,
      pause: () => chain.anvil.mine(),
      looks: 40,
      ...change,
    })
  const token = new WattToken(rpc, chain.watt)
  const payer = { address, secretKey }
  return {
    ...{ payer, token, line, folder, wallet, open },
    pay: (amount: bigint, change: Partial<PaymentParts> = {}) => open(change).pay(payer, token, { to: shop, amount }),
    has: () => token.balanceOf(address),
  }
}

/** As EIP-55 spells it: a person's typing error is found by that. */
const addressIn = (hex: string) => addr.addChecksum(hex)

const stuck = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof WattError ? `${error.code}: ${error.message}` : String(error)),
  )

test.serial(
  'SPEC-158: a payment on a chain is told once nothing can take it back, and is one ERC-20 transfer',
  async (t) => {
    const { pay, has, token, payer, wallet } = await openPayer(t)
    const before = await token.balanceOf(shop)
    const result = await pay(2500n)
    t.is(result.final?.fate, 'paid')
    t.is(await has(), 7500n)
    t.is((await token.balanceOf(shop)) - before, 2500n)
    const head = Number(await chain.anvil.rpc('eth_blockNumber'))
    t.true(head - (result.final?.block ?? 0) >= 3)
    t.deepEqual(readdirSync(`${wallet}.payments`).length, 2)
    t.is((await pay(1n)).payment.nonce, result.payment.nonce + 1n)
    t.regex(await stuck(pay(10_000n)), /^transfer\/insufficient: .* has 7499 on the chain/)
    t.regex(await stuck(pay(1n, { chainId: 1n })), /^config\/invalid: the node is on chain 31337, 1 expected/)
    t.regex(
      await stuck(pay(1n, { limits: { maxFeePerGas: 1n, tipPerGas: 1n } })),
      /^evm\/too-dear: the chain asks for more/,
    )
    await chain.anvil.rpc('anvil_setBalance', payer.address, '0x1')
    t.regex(await stuck(pay(1n)), /^(transfer\/insufficient: .* has 1 wei|evm\/refused)/)
  },
)

test.serial('SPEC-158: repeated after a cut line, before or after it went out, a payment is made once', async (t) => {
  const { pay, has, line, open, payer } = await openPayer(t)
  line.fault = 'lose-sent'
  t.regex(await stuck(pay(500n)), /^evm\/unreachable/)
  t.is(await has(), 10_000n)
  line.fault = 'lose-answer'
  t.regex(await stuck(pay(500n)), /^evm\/unreachable/)
  line.fault = 'none'
  await chain.anvil.mine()
  t.is(await has(), 9500n)
  t.regex(await stuck(pay(500n)), /^transfer\/pending: .* was open; it is paid\. Nothing new was paid/)
  t.is(await has(), 9500n)
  t.is(new Set(line.sent).size, 1, 'the very same bytes')
  t.is((await pay(500n)).final?.fate, 'paid')
  t.is(await has(), 9000n)
  t.deepEqual(await open().settle(payer), [])
})

test.serial('SPEC-158: a payment that a reorg has taken back is sent again, and counts once', async (t) => {
  const { pay, has, open, payer } = await openPayer(t)
  const early = await pay(700n, { looks: 2 })
  t.is(early.final, undefined, 'mined, and not deep enough')
  t.is(await has(), 9300n)
  await chain.anvil.rpc('anvil_reorg', 2, [])
  t.is(await has(), 10_000n)
  const [again] = await open().settle(payer)
  t.is(again?.final?.fate, 'paid')
  t.deepEqual(again?.hashes, early.hashes)
  t.is(await has(), 9300n)
})

test.serial(
  'SPEC-158: what waits too long is raised under its nonce; what another program has replaced is told',
  async (t) => {
    const { pay, has, open, payer, token, folder } = await openPayer(t)
    // No block takes it: the wallet raises its offer, and stops at the limit.
    const idle = () => Promise.resolve()
    const waiting = await pay(100n, { pause: idle, looks: 25 })
    t.is(waiting.hashes.length, 3)
    t.is(waiting.final, undefined)
    const [kept] = folder.open(31_337n, payer.address)
    t.deepEqual(kept?.signed.length, 3)
    const [paid] = await open().settle(payer)
    t.is(paid?.final?.fate, 'paid')
    t.is(await has(), 9900n)

    await chain.anvil.rpc('anvil_dropAllTransactions')
    const left = await pay(200n, { pause: idle, looks: 1 })
    await chain.anvil.rpc('anvil_dropAllTransactions')
    await chain.anvil.rpc('anvil_impersonateAccount', payer.address)
    await chain.transact(shop, '0x', payer.address)
    const [replaced] = await open().settle(payer)
    t.is(replaced?.payment.nonce, left.payment.nonce)
    t.is(replaced?.final?.fate, 'replaced')
    t.is(await has(), 9900n)
    t.is((await open().pay(payer, token, { to: shop, amount: 200n })).final?.fate, 'paid')
    t.is(await has(), 9700n)
  },
)

test.serial('SPEC-158: a node that only lacks the receipt does not make a payment look replaced', async (t) => {
  const { pay, has, line, open, payer } = await openPayer(t)
  // A node that lags behind the one that was asked before it, or has forgotten what is old.
  line.fault = 'no-receipts'
  t.regex(await stuck(pay(300n)), /^evm\/refused: the node tells no receipt .*: ask another node/)
  t.is(await has(), 9700n, 'it is paid')
  t.regex(await stuck(pay(300n)), /^evm\/refused/, 'and not paid again')
  line.fault = 'none'
  const [paid] = await open().settle(payer)
  t.is(paid?.final?.fate, 'paid')
  t.is(await has(), 9700n)
})

test.serial('an address where no WATT is, is refused before anything is signed', async (t) => {
  const { open, payer, folder } = await openPayer(t)
  const nothing = new WattToken(makeRpc(chain.anvil.url), shop)
  t.regex(await stuck(open().pay(payer, nothing, { to: shop, amount: 1n })), /^evm\/refused: 0x5a.*decimals untold/)
  t.deepEqual(folder.open(31_337n, payer.address), [])
})

test.serial('SPEC-158: by command, with the key that a wallet has everywhere', async (t) => {
  const folder = tempDir(t)
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, 'correct horse\n', { mode: 0o600 })
  const place = { wallet: join(folder, 'wallet'), passwordFile }
  const { address } = await createWallet(place, 12, join(folder, 'words'))
  await chain.anvil.rpc('anvil_setBalance', address, '0x56bc75e2d63100000')
  await chain.as(chain.attestation, 'Watt', 'book', { owner: address, mintWh: 10_000n, burnWh: 0n })
  const run = async (...args: string[]) => {
    const [printed, noted]: [string[], string[]] = [[], []]
    const command = (on: Command, name: string) =>
      on.command(name).requiredOption('--wallet <file>').option('--password-file <file>')
    const program = new Command().exitOverride()
    addPaying(program, {
      command,
      print: (text) => printed.push(text),
      note: (text) => noted.push(text),
      parseCount: () => Number,
    })
    const own = ['--wallet', place.wallet, '--password-file', passwordFile, '--rpc', chain.anvil.url]
    await whileMining(chain, () => program.parseAsync([...args, ...own], { from: 'user' }))
    return { printed: printed.join(), noted: noted.join() }
  }
  const watt = ['--watt', addressIn(chain.watt)]
  const paid = await run('transfer', ...watt, '--to', addressIn(shop), '--amount', '2.5', '--confirmations', '1')
  t.regex(paid.printed, /^paid for good in block \d+: 2\.500 WATT to 0x5a/)
  t.is(paid.noted, '')
  t.is((await run('balance', ...watt)).printed, `${address} on the chain at ${chain.watt}\n7.500 WATT`)
})
