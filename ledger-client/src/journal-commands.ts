import { type Command, InvalidArgumentError, Option } from 'commander'
import { correctEntry, look as lookAt, operatorKey, setLimit } from './commands.ts'
import { loadConfig } from './config.ts'
import { type EntryFilter, formatEntry, readEntries } from './entries.ts'
import type { Limit } from './ledger/bounds.ts'
import type { CorrectionOrder } from './ledger/corrections.ts'
import { entryKinds } from './ledger/entry-kinds.ts'
import { parseAsset } from './orders/amounts.ts'
import { toJson } from './reports.ts'
import type { TracedEntry } from './trace.ts'

/** How commands are added, and where their answers go. */
export interface Commands {
  readonly command: (name: string, description: string) => Command
  /** One that only looks, and can print JSON. */
  readonly look: (name: string, description: string) => Command
  readonly print: (text: string) => void
}

interface LookOptions {
  readonly config: string
  readonly json?: true
}

/** Adds what looks at the journal and what an operator says in it. */
export function addJournal({ command, look, print }: Commands): void {
  look('entries', 'print the entries of the journal')
    .option('--account <name>', 'only those that move one account, such as owner:alice')
    .addOption(new Option('--kind <kind>', 'only those of one kind, or of orders of that kind').choices(entryKinds))
    .action(({ config, json, ...filter }: LookOptions & EntryFilter) => {
      lookAt(loadConfig(config), (db) =>
        db.read(() => printEntries(readEntries(db, filter), { json: json === true, print })),
      )
    })
  command('correct', 'take back what an entry booked, whole or in part, by an entry that names it')
    .requiredOption('--entry <number>', 'the entry that is wrong', parseCount)
    .option('--amount <units>', 'base units (Wh, of money minor units); the whole if left out', parseUnits)
    .requiredOption('--reason <text>', 'why; it stays in the journal')
    .action(async ({ config, ...order }: CorrectionOrder & { config: string }) => {
      print(`${toJson(await correctEntry(loadConfig(config), order))}\n`)
    })
  command('limit', 'set the most that an owner may be sent, or lift it')
    .requiredOption('--owner <name>', 'whose')
    .option('--asset <asset>', 'of what: WATT, EEA, or a currency as EUR', parseAsset, 'WATT')
    .option('--most <units>', 'base units (Wh, of money minor units); no limit if left out', parseUnits)
    .action(async ({ config, ...limit }: Limit & { config: string }) => {
      print(`${toJson(await setLimit(loadConfig(config), limit))}\n`)
    })
  command('operator-key', "print the operator's public key, or hand over to another one")
    .option('--next <file>', 'the secret key that signs from now on, 64 hex digits, mode 0600')
    .action(async ({ config, next }: { config: string; next?: string }) => {
      print(`${toJson((await operatorKey(loadConfig(config), next)) ?? {})}\n`)
    })
}

function printEntries(
  entries: Iterable<TracedEntry>,
  { json, print }: Pick<Commands, 'print'> & { json: boolean },
): void {
  let separator = '{"entries":['
  for (const entry of entries) {
    if (json) print(`${separator}${toJson(entry)}`)
    else print(`${formatEntry(entry)}\n`)
    separator = ',\n'
  }
  if (json) print(separator === ',\n' ? ']}\n' : '{"entries":[]}\n')
}

/** Whole base units, never a decimal fraction: what was meant would be a guess. */
export function parseUnits(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('a whole number of base units expected')
  return BigInt(text)
}

function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('a whole number expected')
  return Number(text)
}
