import { readFileSync } from 'node:fs'
import {
  type Currency,
  type Give,
  parseTransfer,
  type TransferAct,
  type TransferAsset,
  WattError,
} from '@wattline/protocol'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { exitCodes, toExitCode } from './exit-codes.ts'
import { parseAmount, parseAsset, parseCurrency } from './orders/amounts.ts'
import { tolerateClosedPipe, toPrintable } from './printable.ts'
import { lastAccount } from './wallet/accounts.ts'
import { LedgerLink, type SendResult, trustAuthorities } from './wallet/ledger-link.ts'
import { addLooking } from './wallet/looking.ts'
import { type MnemonicLength, mnemonicLengths } from './wallet/mnemonic.ts'
import { OrderFolder } from './wallet/order-folder.ts'
import { describeResult, order, orderOffline } from './wallet/ordering.ts'
import { addPaying } from './wallet/paying.ts'
import {
  createWallet,
  exportAccount,
  importWallet,
  listAddresses,
  readWords,
  recoverWallet,
  unlockAccount,
  type WalletPlace,
} from './wallet/wallet-store.ts'

const print = (text: string) => process.stdout.write(`${toPrintable(text)}\n`)
const note = (text: string) => process.stderr.write(`${toPrintable(text)}\n`)

const exitCodesText = `
Exit codes:
  0   done
  64  the command cannot be understood
  65  refused: what was ordered, a password, words, a file or an answer is not right
  69  no ledger answers
  70  a fault of this program
  75  nothing is lost: say the same again later
  78  an address or a certificate of a ledger cannot be used`

function command(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .requiredOption('--wallet <file>', "the wallet's file")
    .option('--password-file <file>', 'its password, mode 0600; asked for if left out')
}

function buildProgram(): Command {
  const program = new Command('wattline-wallet')
    .description('Keeps keys for WATT, EEA and money, and signs what a ledger is to do with them')
    .addHelpText('after', exitCodesText)
  addKeys(program)
  addFiles(program)
  addGiving(program)
  addSettling(program)
  addPaying(program.command('chain').description('where WATT is on a chain: what is there, and paying with it'), {
    command,
    print,
    note,
    parseCount,
  })
  addLooking((name, description) => command(program, name, description), { print, note, parseCount })
  return program
}

function addKeys(program: Command): void {
  command(program, 'create', 'make a new wallet, and show its words')
    .addOption(new Option('--words <count>', 'how many').choices(mnemonicLengths.map(String)).default('12'))
    .option('--words-file <file>', 'write the words there instead of showing them')
    .action(async ({ words: count, wordsFile, ...place }: WalletPlace & { words: string; wordsFile?: string }) => {
      const length: MnemonicLength = mnemonicLengths.find((known) => String(known) === count) ?? 12
      const { address, words } = await createWallet(place, length, wordsFile)
      if (words !== undefined) print(`${words}\n`)
      note('Write the words on paper: whoever has them has the wallet, and without them a lost file is lost.')
      print(address)
    })
  command(program, 'words', 'show the words again, at a terminal only')
    .option('--words-file <file>', 'write them into a new file instead')
    .action(async ({ wordsFile, ...place }: WalletPlace & { wordsFile?: string }) => {
      const words = await readWords(place, wordsFile)
      if (words !== undefined) print(words)
    })
  command(program, 'recover', 'make the wallet again from its words')
    .option('--words-file <file>', 'where they are, mode 0600; asked for if left out')
    .option('--passphrase-file <file>', 'the passphrase of BIP-39, where the words have one')
    .action(
      async ({
        wordsFile,
        passphraseFile,
        ...place
      }: WalletPlace & { wordsFile?: string; passphraseFile?: string }) => {
        const files = {
          ...(wordsFile === undefined ? {} : { wordsFile }),
          ...(passphraseFile === undefined ? {} : { passphraseFile }),
        }
        print(await recoverWallet(place, files))
      },
    )
  command(program, 'address', 'print the addresses of its accounts')
    .option('--count <number>', 'how many', parseCount(1, lastAccount + 1), 1)
    .action(async ({ count, ...place }: WalletPlace & { count: number }) => {
      for (const address of await listAddresses(place, count)) print(address)
    })
}

function addFiles(program: Command): void {
  command(program, 'export', "write one account's key as a keystore that Ethereum's wallets open")
    .requiredOption('--to <file>', 'a new file')
    .option('--new-password-file <file>', 'the password of that file; asked for if left out')
    .option('--number <account>', 'which account', parseCount(0, lastAccount), 0)
    .action(
      async ({
        to,
        number,
        newPasswordFile,
        ...place
      }: WalletPlace & { to: string; number: number; newPasswordFile?: string }) => {
        const file = newPasswordFile === undefined ? {} : { newPasswordFile }
        print(await exportAccount(place, { number, to, ...file }))
      },
    )
  command(program, 'import', 'make a wallet from a keystore, or from a copy of a wallet under a new password')
    .requiredOption('--from <file>', 'the keystore or the wallet')
    .option('--from-password-file <file>', 'the password of that file; asked for if left out')
    .action(async ({ from, fromPasswordFile, ...place }: WalletPlace & { from: string; fromPasswordFile?: string }) => {
      print(await importWallet(place, from, fromPasswordFile))
    })
}

/** Options of everything that is ordered. */
interface OrderOptions extends WalletPlace {
  readonly url?: string
  readonly ledger?: string
  readonly nonce?: number
  readonly as?: string
  readonly number: number
  readonly valid: number
}

function orderCommand(program: Command, name: string, description: string): Command {
  return command(program, name, description)
    .option('--url <url>', 'the ledger: https://host:port')
    .option('--ca <file>', 'the authority of its certificate, in PEM', trustAuthorities)
    .option('--ledger <address>', 'which ledger it must be')
    .option(
      '--nonce <number>',
      'without --url: sign only, with this nonce, and print the order',
      parseCount(1, Number.MAX_SAFE_INTEGER),
    )
    .option('--as <name>', 'for an owner who is bound to this wallet')
    .option('--number <account>', 'which account of the wallet', parseCount(0, lastAccount), 0)
    .option('--valid <seconds>', 'how long the order may be carried out', parseCount(1, 31_536_000), 600)
}

async function runOrder(act: TransferAct, options: OrderOptions): Promise<void> {
  const { url, ledger, nonce, as, number, valid } = options
  if ((url === undefined) === (nonce === undefined) || (url === undefined && ledger === undefined)) {
    throw new CommanderError(exitCodes.usage, 'wattline.order', 'error: either --url, or --ledger and --nonce expected')
  }
  const account = await unlockAccount(options, number)
  const terms = { account: as ?? account.address, expiresAt: Date.now() + valid * 1000 }
  if (url === undefined)
    return void print(orderOffline(act, terms, account, { ledger: ledger ?? '', nonce: nonce ?? 0 }).text)
  const parts = { link: new LedgerLink(url, ledger), folder: new OrderFolder(options.wallet) }
  const [signed, result] = await order(act, terms, account, parts)
  report(signed.id, result)
}

function report(id: string, result: SendResult): void {
  if ('answer' in result && 'entry' in result.answer) return void print(`${id} ${describeResult(result)}`)
  note(`wattline-wallet: ${id} ${describeResult(result)}`)
  process.exitCode = exitCodes.data
}

interface WithdrawOptions {
  readonly asset: Currency
  readonly amount: string
  readonly payout: string
  readonly hold: number
}

function addGiving(program: Command): void {
  orderCommand(program, 'transfer', 'pay somebody, or reserve for somebody')
    .requiredOption('--to <account>', 'an address, or the name of an owner')
    .requiredOption('--amount <number>', 'WATT (kWh) with up to three decimals, whole EEA, or money as 12.50')
    .option('--asset <asset>', 'what: WATT, EEA, or a currency as EUR', parseAsset, 'WATT')
    .option('--hold <seconds>', 'reserve only: the receiver has so long to take it', parseCount(1, 31_536_000))
    .action(async (options: OrderOptions & { to: string; amount: string; asset: TransferAsset; hold?: number }) => {
      const { to, amount, asset, hold } = options
      const give = { asset, to, amount: parseAmount(amount, asset) }
      const act: Give =
        hold === undefined
          ? { kind: 'pay', ...give }
          : { kind: 'reserve', ...give, heldUntil: Date.now() + hold * 1000 }
      await runOrder(act, options)
    })
  orderCommand(program, 'withdraw', "get money paid out: the ledger's operator pays it outside, from what is held here")
    .requiredOption('--asset <currency>', 'which money: its ISO 4217 code, as EUR', parseCurrency)
    .requiredOption('--amount <number>', 'how much, as 12.50')
    .requiredOption('--payout <text>', 'where to, as agreed with the operator; auditors read it: no account number')
    .option('--hold <days>', 'the operator has so long to pay it', parseCount(1, 365), 14)
    .action(async ({ asset, amount, payout, hold, ...options }: OrderOptions & WithdrawOptions) => {
      const units = parseAmount(amount, asset)
      const heldUntil = Date.now() + hold * 86_400_000
      await runOrder({ kind: 'withdraw', asset, amount: units, payout, heldUntil }, options)
    })
  program
    .command('send')
    .description('send orders from a file, as often as one likes: each counts once')
    .argument('<file>', 'orders, one a line')
    .requiredOption('--url <url>', 'the ledger')
    .option('--ca <file>', 'the authority of its certificate, in PEM', trustAuthorities)
    .action(async (file: string, { url }: { url: string }) => {
      const link = new LedgerLink(url)
      const lines = readText(file)
        .split(/\r?\n/)
        .filter((line) => line.startsWith('WATT-TRANSFER|'))
      if (lines.length === 0) throw new WattError('message/unreadable', `${file}: no order in it`)
      for (const line of lines) {
        const signed = parseTransfer(line.trim())
        const result = await link.send(signed)
        if ('answer' in result) print(result.answer.text)
        report(signed.id, result)
      }
    })
}

function addSettling(program: Command): void {
  orderCommand(program, 'post', 'take what was reserved for this account, or a part; the rest goes back')
    .requiredOption('--reservation <id>', 'the order that reserved')
    .option('--amount <number>', 'how much; all of it if left out')
    .option('--asset <asset>', 'of what, for the amount: WATT, EEA, or a currency as EUR', parseAsset, 'WATT')
    .action(async (options: OrderOptions & { reservation: string; amount?: string; asset: TransferAsset }) => {
      const { reservation, amount, asset } = options
      await runOrder(
        { kind: 'post', reservation, ...(amount === undefined ? {} : { amount: parseAmount(amount, asset) }) },
        options,
      )
    })
  orderCommand(program, 'void', 'let go what was reserved for this account')
    .requiredOption('--reservation <id>', 'the order that reserved')
    .action((options: OrderOptions & { reservation: string }) =>
      runOrder({ kind: 'void', reservation: options.reservation }, options),
    )
}

function parseCount(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (number >= least && number <= most) return number
    throw new InvalidArgumentError(`a whole number from ${least} to ${most} expected`)
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch (cause) {
    throw new WattError('message/unreadable', `${path}: cannot be read`, { cause })
  }
}

async function main(): Promise<void> {
  const program = buildProgram().exitOverride()
  for (const sub of program.commands.flatMap((each) => [each, ...each.commands])) sub.exitOverride()
  try {
    await program.parseAsync()
  } catch (error) {
    process.exitCode = fail(error)
  }
}

function fail(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.code.startsWith('wattline.')) note(error.message)
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  }
  const stack = error instanceof Error ? error.stack : String(error)
  note(`wattline-wallet: ${error instanceof WattError ? `${error.code}: ${error.message}` : stack}`)
  return toExitCode(error)
}

tolerateClosedPipe()
await main()
