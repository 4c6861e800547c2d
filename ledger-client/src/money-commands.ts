import { type Currency, WattError } from '@wattline/protocol'
import type { Command } from 'commander'
import { look as lookAt } from './commands.ts'
import { loadConfig } from './config.ts'
import type { LedgerEngine } from './engine.ts'
import type { Commands } from './journal-commands.ts'
import type { Receipt } from './ledger/transfers.ts'
import { formatAmount, parseAmount, parseCurrency } from './orders/amounts.ts'
import {
  deposit,
  type PaidReservation,
  postWithdrawal,
  readWithdrawals,
  voidWithdrawal,
  withdraw,
} from './orders/money-desk.ts'
import { withLedger } from './orders/order-commands.ts'
import { formatTable, toJson } from './reports.ts'
import { systemClock } from './system-clock.ts'

interface Config {
  readonly config: string
}

interface MoneyOptions extends Config {
  readonly id: string
  readonly owner: string
  readonly asset: Currency
  readonly amount: string
  readonly reference: string
}

interface WithdrawalOptions extends Config {
  readonly reservation: string
}

/** Adds what an operator does with money that comes from outside and goes there. */
export function addMoney({ command, look, print }: Commands): void {
  const money = (name: string, description: string) => {
    const added = command(name, description)
      .requiredOption('--id <id>', 'names it for ever: said again, it is done once')
      .requiredOption('--owner <name>', 'whose money: an address, or a name that the ledger knows')
      .requiredOption('--asset <currency>', 'which money: its ISO 4217 code, as EUR', parseCurrency)
      .requiredOption('--amount <number>', 'how much, as 12.50')
    return withReference(added)
  }
  money('deposit', 'book money that has come from outside for an owner').action(
    async ({ config, ...order }: MoneyOptions) => {
      const amount = parseAmount(order.amount, order.asset)
      if (loadConfig(config).evm !== undefined) {
        throw new WattError(
          'config/invalid',
          'section evm is there: such a ledger takes no orders, so money would be stuck',
        )
      }
      print(await act(config, (engine) => deposit(engine, { ...order, amount })))
    },
  )
  money('withdraw', 'book money that was paid out to an owner with a name')
    .requiredOption('--payout <text>', 'where to; it stays in the journal: no account number')
    .action(async ({ config, ...order }: MoneyOptions & { payout: string }) => {
      const amount = parseAmount(order.amount, order.asset)
      print(await act(config, (engine) => withdraw(engine, { ...order, amount })))
    })
  addWaiting({ command, look, print })
}

/** Does something in one transaction of the ledger's data, and tells what came of it. */
async function act(config: string, work: (engine: LedgerEngine) => Receipt): Promise<string> {
  const receipt = await withLedger(loadConfig(config), (engine) => engine.db.write(() => work(engine)))
  return `${toJson(receipt)}\n`
}

function withReference(command: Command): Command {
  return command.requiredOption('--reference <text>', 'what the payment is known by outside; it stays in the journal')
}

function addWaiting({ command, look, print }: Commands): void {
  look('withdrawals', 'print what wallets have ordered to be paid out, and until when it is held for that').action(
    ({ config, json }: Config & { json?: true }) => {
      const withdrawals = lookAt(loadConfig(config), (db) => readWithdrawals(db, systemClock.now()))
      if (json === true) return void print(`${toJson({ withdrawals })}\n`)
      const rows = withdrawals.map((row) => [
        ...[new Date(row.heldUntil).toISOString(), row.owner, formatAmount(row.amount, row.asset), row.payout],
        row.reservation,
      ])
      print(formatTable(['held until', 'owner', 'amount', 'payout', 'reservation'], rows))
    },
  )
  const waiting = (name: string, description: string) =>
    command(name, description).requiredOption('--reservation <id>', 'which, as `withdrawals` tells it')
  withReference(waiting('post-withdrawal', 'tell that a withdrawal was paid outside'))
    .option('--amount <number>', 'how much, as 12.50; all of it if left out, else the rest goes back')
    .action(async ({ config, ...paid }: Config & PaidReservation) => {
      print(await act(config, (engine) => postWithdrawal(engine, paid)))
    })
  waiting('void-withdrawal', 'give back what will not be paid').action(
    async ({ config, reservation }: WithdrawalOptions) => {
      print(await act(config, (engine) => voidWithdrawal(engine, reservation)))
    },
  )
}
