import { appendFileSync } from 'node:fs'
import type { Command } from 'commander'
import { describeAct } from '../orders/order-words.ts'
import { toPrintableLine } from '../printable.ts'
import { lastAccount } from './accounts.ts'
import { type HistoryLine, readHistory } from './history.ts'
import { describeHoldings, describeTrust, formatLine } from './history-words.ts'
import { type Asker, LedgerLink, type ProvenOrder, trustAuthorities } from './ledger-link.ts'
import { describeResult } from './ordering.ts'
import { unlockAccount, type WalletPlace } from './wallet-store.ts'

/** What the commands need of the program. */
export interface Surface {
  readonly print: (text: string) => void
  readonly note: (text: string) => void
  readonly parseCount: (least: number, most: number) => (text: string) => number
}

/** A command that has a wallet and its password: what an account holds is told to its key alone (SPEC-156). */
export type AddCommand = (name: string, description: string) => Command

interface LookOptions extends WalletPlace {
  readonly url: string
  readonly ledger?: string
  readonly as?: string
  readonly number: number
}

interface HistoryOptions extends LookOptions {
  readonly last: number
  readonly all?: true
  readonly json?: true
  readonly keep?: string
}

/** Adds what only looks: what an account holds, what moved it, what was ordered. */
export function addLooking(command: AddCommand, { print, note, parseCount }: Surface): void {
  const look = (name: string, description: string) =>
    command(name, description)
      .requiredOption('--url <url>', 'the ledger')
      .option('--ca <file>', 'the authority of its certificate, in PEM', trustAuthorities)
      .option('--ledger <address>', 'which ledger it must be')
      .option('--as <name>', 'for an owner who is bound to this wallet')
      .option('--number <account>', 'which account of the wallet', parseCount(0, lastAccount), 0)
  look('balance', 'print what the account has').action(async (options: LookOptions) => {
    const { link, ledger, asker } = await open(options)
    const { statement } = await link.state({ ledger, kind: 'balance', from: 0 }, asker)
    print(`${asker.account} at ledger ${ledger}`)
    print(describeHoldings(statement.holdings))
  })
  look('history', 'print what moved the account, newest first, each entry checked')
    .option('--last <count>', 'at most so many', parseCount(1, 1_000_000), 50)
    .option('--all', 'everything, and add it up')
    .option('--json', 'print JSON, an entry a line')
    .option('--keep <file>', "append the ledger's signed statements: `wattline-ledger verify --witness` compares them")
    .action(async ({ last, all, json, keep, ...options }: HistoryOptions) => {
      const { link, ledger, asker } = await open(options)
      const history = await readHistory(link, ledger, asker, all === true ? undefined : last)
      if (keep !== undefined) appendFileSync(keep, `${history.evidence.join('\n')}\n`, { mode: 0o600 })
      for (const line of history.lines) {
        print(json === true ? toJson(line) : toPrintableLine(formatLine(line, asker.account)))
      }
      note(describeTrust(history))
    })
  look('orders', 'print the orders of and to the account, each with its answer, and whether one is missing').action(
    async (options: LookOptions) => {
      const { link, asker } = await open(options)
      const orders = await link.orders(await link.account(asker.account), asker)
      for (const each of orders) print(toPrintableLine(formatOrder(each)))
    },
  )
}

async function open({ url, ledger: expected, as, number, ...place }: LookOptions) {
  const { address, signer } = await unlockAccount(place, number)
  const asker: Asker = { account: as ?? address, signer }
  const link = new LedgerLink(url, expected)
  const { ledger } = await link.account(asker.account)
  return { link, ledger, asker }
}

function formatOrder({ order: each, answer }: ProvenOrder): string {
  const at = new Date(answer.at).toISOString()
  return `${at} ${each.account} ${each.nonce}: ${describeAct(each)}: ${describeResult({ answer })} ${each.id}`
}

// Amounts as decimal strings: a reader's numbers may be too small for them.
function toJson({ entry, hash, moved, after, order, records }: HistoryLine): string {
  const ordered = order === undefined ? {} : { order: order.order.text, answer: order.answer.text }
  const line = { ...entry, hash, moved, after, ...ordered, records }
  return JSON.stringify(line, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))
}
