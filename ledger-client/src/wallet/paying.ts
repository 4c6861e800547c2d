import type { Command } from 'commander'
import type { ChainOptions } from '../evm/pay-commands.ts'
import type { PaymentResult } from '../evm/payments.ts'
import { exitCodes } from '../exit-codes.ts'
import { parseAmount } from '../orders/amounts.ts'
import { lastAccount } from './accounts.ts'
import type { Surface } from './looking.ts'
import { firstAddress, unlockAccount, type WalletPlace } from './wallet-store.ts'

// The wallet's key is one of every EVM chain: where a contract counts, WATT is held and paid there (SPEC-158).

interface PayOptions extends WalletPlace, ChainOptions {
  readonly number: number
}

/** Adds what a wallet does on a chain. Only these load what signs transactions. */
export function addPaying(
  chain: Command,
  { command, print, note, parseCount }: Surface & { command: (on: Command, name: string, what: string) => Command },
): void {
  const load = () => import('../evm/pay-commands.ts')
  const onChain = (name: string, what: string) =>
    command(chain, name, what)
      .requiredOption('--rpc <url>', "the HTTP address of the chain's node")
      .option('--number <account>', 'which account of the wallet', parseCount(0, lastAccount), 0)
  const paying = (name: string, what: string) =>
    onChain(name, what)
      .option('--chain-id <number>', 'which chain it must be', parseCount(1, 9_999_999_999))
      .option('--max-fee-gwei <number>', 'send nothing above this', parseCount(1, 100_000), 50)
      .option('--confirmations <number>', 'blocks after which nothing is taken back', parseCount(0, 10_000), 12)
      .option('--wait <seconds>', 'how long to wait for that', parseCount(0, 86_400), 600)
  const tell = async (results: readonly PaymentResult[]) => {
    const { describePayment } = await load()
    for (const result of results) {
      const text = describePayment(result)
      if (result.final?.fate === 'paid') print(text)
      else note(`wattline-wallet: ${text}`)
      if (result.final === undefined) process.exitCode = exitCodes.temporary
      else if (result.final.fate !== 'paid') process.exitCode = exitCodes.data
    }
  }
  onChain('balance', 'print what the account has on the chain')
    .requiredOption('--watt <address>', 'the contract of WATT')
    .action(async ({ rpc, watt, number, ...place }: PayOptions) => {
      // A chain tells everybody: no password is needed for an address that the file tells.
      const { wallet } = place
      const address = number === 0 ? firstAddress(wallet) : (await unlockAccount(place, number)).address
      print(await (await load()).tellBalance({ rpc, watt }, address))
    })
  paying('transfer', 'pay on the chain, and wait until nothing can take it back')
    .requiredOption('--watt <address>', 'the contract of WATT')
    .requiredOption('--to <address>', 'who gets it')
    .requiredOption('--amount <number>', 'WATT (kWh) with up to three decimals')
    .action(async (options: PayOptions & { to: string; amount: string }) => {
      const { to, amount, number } = options
      const act = { to, amount: parseAmount(amount, 'WATT') }
      await tell([await (await load()).payOnChain(options, await unlockAccount(options, number), act)])
    })
  paying('payments', 'tell what became of payments that were left open, and send again what was lost').action(
    async (options: PayOptions) => {
      await tell(await (await load()).settleOnChain(options, await unlockAccount(options, options.number)))
    },
  )
}
