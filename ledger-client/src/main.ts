import { roles, WattError } from '@wattline/protocol'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import type { AuditReport } from './audit/report.ts'
import { type EnrolOptions, enrol, look, readHead, revoke, type VerifyOptions, verifyLedger } from './commands.ts'
import { formatConfig, loadConfig } from './config.ts'
import { exitCodes, toExitCode } from './exit-codes.ts'
import { addJournal } from './journal-commands.ts'
import { assetOf } from './ledger/accounts.ts'
import { addMoney } from './money-commands.ts'
import { formatAmount } from './orders/amounts.ts'
import { bindWallet, takeOrders } from './orders/order-commands.ts'
import { acceptPoint, addPointCommands } from './points/point-command.ts'
import { addProofs } from './proof/proof-commands.ts'
import {
  formatTable,
  type OwnerBalance,
  readBalances,
  readPoints,
  readQuarantine,
  readRecords,
  toJson,
} from './reports.ts'
import { type Trace, traceEntry, traceRecord } from './trace.ts'

const print = (text: string) => process.stdout.write(text)

/** Options that each command that looks has. */
interface LookOptions {
  readonly config: string
  readonly json?: true
}

function command(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).requiredOption('--config <file>', 'the ledger.yaml')
}

function lookCommand(program: Command, name: string, description: string): Command {
  return command(program, name, description).option('--json', 'print JSON instead of text')
}

function buildProgram(): Command {
  const program = new Command('wattline-ledger')
    .description('Verifies records of metering points and mints WATT for them')
    .option('--config <file>', 'the ledger.yaml')
    .option('--check-config', 'check the config, print what is in force, and end')
    // Each subcommand has its own --config.
    .enablePositionalOptions()
    .action((options: { config?: string; checkConfig?: true }) => run(options))
  addBalances(program)
  addRecords(program)
  addPoints(program)
  addChecks(program)
  addJournal({ command: command.bind(null, program), look: lookCommand.bind(null, program), print })
  addMoney({ command: command.bind(null, program), look: lookCommand.bind(null, program), print })
  addEnrolment(program)
  addWallets(program)
  addPointCommands(program, print)
  addRelay(program)
  addProofs(program, {
    print,
    fault: () => {
      process.exitCode = exitCodes.faulty
    },
  })
  return program
}

// Deploying takes the compiler's output and an ABI coder: nobody else loads them.
async function addChainCommands(program: Command): Promise<void> {
  if (process.argv[2] !== 'chain') program.command('chain').description('deploy the contracts, and govern them')
  else (await import('./evm/chain-commands.ts')).addChain(program, print)
}

function overrideExit(command: Command): void {
  command.exitOverride()
  for (const sub of command.commands) overrideExit(sub)
}

async function run({ config: path, checkConfig }: { config?: string; checkConfig?: true }): Promise<void> {
  if (path === undefined)
    throw new CommanderError(exitCodes.usage, 'wattline.config', 'error: --config <file> expected')
  const config = loadConfig(path)
  if (checkConfig === true) {
    print(formatConfig(config))
    return
  }
  // Only running needs a broker and a log; the commands that look start faster without.
  const [{ makeLogger }, { startLedger }, { pickVerifier }] = await Promise.all([
    import('./log.ts'),
    import('./program.ts'),
    import('./verifiers/pick.ts'),
  ])
  const log = makeLogger(config.ledger.logLevel)
  // Before the start, so that a stop that comes early is a clean one too.
  const signal = Promise.withResolvers<'stopped'>()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => signal.resolve('stopped'))
  const ledger = await startLedger(config, await pickVerifier(config.ledger.verifier), log)
  const end = await Promise.race([signal.promise, ledger.failed])
  await ledger.stop()
  if (end !== 'stopped') throw end
  log.info({ event: 'ledger.stopped' })
}

function addBalances(program: Command): void {
  lookCommand(program, 'balances', 'print what owners have and what each metering point booked').action(
    ({ config, json }: LookOptions) => {
      const balances = look(loadConfig(config), readBalances)
      if (json === true) return void print(`${toJson(balances)}\n`)
      print(
        formatTable(
          ['owner', 'WATT', 'reserved', 'grid', 'EEA', ...(balances.money.length > 0 ? ['money'] : [])],
          balances.owners.map((row) => [
            ...[row.owner, row.wattWh, row.reservedWh, row.gridWh, `${row.eea}`],
            ...(balances.money.length > 0 ? [describeMoney(row)] : []),
          ]),
        ),
      )
      print('\n')
      const head = [
        'point',
        'owner',
        'role',
        'state',
        'records',
        'minted kWh',
        'burned kWh',
        'carried kWh',
        'open kWh',
        'unsettled',
      ]
      const rows = balances.points.map((row) => [
        ...[row.point, row.owner, row.role, row.state, row.records],
        ...[row.mintedWh, row.burnedWh, row.carriedWh, row.openWh, row.unsettled],
      ])
      print(formatTable(head, rows))
      const { mintedWh, burnedWh, supplyWh, balanced, storages } = balances
      print('\n')
      if (storages.length > 0) {
        const columns = ['storage', 'put in kWh', 'given back kWh', 'difference kWh']
        print(
          formatTable(
            columns,
            storages.map((row) => Object.values(row)),
          ),
        )
        print('\n')
      }
      print(formatTable(['minted', 'burned', 'supply', 'balanced'], [[mintedWh, burnedWh, supplyWh, balanced]]))
      if (balances.money.length === 0) return
      const money = balances.money.map(({ currency, ...units }) =>
        [units.addedUnits, units.removedUnits, units.supplyUnits].map((each) => formatAmount(each, currency)),
      )
      print(`\n${formatTable(['added', 'removed', 'supply'], money)}`)
    },
  )
}

function describeMoney({ money }: OwnerBalance): string {
  const parts = money.map(({ currency, units, reservedUnits }) =>
    reservedUnits === 0n
      ? formatAmount(units, currency)
      : `${formatAmount(units, currency)}, ${formatAmount(reservedUnits, currency)} reserved`,
  )
  return parts.length === 0 ? '-' : parts.join(', ')
}

function addRecords(program: Command): void {
  lookCommand(program, 'records', 'print the accepted records')
    .option('--point <id>', 'only those of one metering point')
    .action(({ config, json, point }: LookOptions & { point?: string }) => {
      look(loadConfig(config), (db) =>
        db.read(() => {
          let separator = '{"records":['
          for (const record of readRecords(db, point === undefined ? {} : { point })) {
            if (json !== true) print(`${record.place}  ${record.outcome}  ${record.text}\n`)
            else print(`${separator}${toJson(record)}`)
            separator = ',\n'
          }
          if (json === true) print(separator === ',\n' ? ']}\n' : '{"records":[]}\n')
        }),
      )
    })
  lookCommand(program, 'trace', 'follow a record to its booking, or a journal entry back to its records')
    .addOption(new Option('--record <place>', '<gateway>/<meter>@<epoch>/<sequence>').conflicts('entry'))
    .addOption(new Option('--entry <number>', 'a journal entry').argParser(parseCount))
    .action(({ config, json, record, entry }: LookOptions & { record?: string; entry?: number }) => {
      if (record === undefined && entry === undefined) {
        throw new CommanderError(exitCodes.usage, 'wattline.trace', 'error: --record or --entry expected')
      }
      const trace = look(loadConfig(config), (db) =>
        record === undefined ? traceEntry(db, entry ?? 0) : traceRecord(db, record),
      )
      print(json === true ? `${toJson(trace)}\n` : formatTrace(trace))
    })
}

function formatTrace({ record, from, entry, below }: Trace): string {
  const records = [from, record].flatMap((each) =>
    each === null ? [] : [[each.place, each.outcome, each.importWh, each.exportWh, each.hash.slice(0, 16)]],
  )
  let text = formatTable(['record', 'outcome', 'import kWh', 'export kWh', 'hash'], records)
  if (entry === null) return `${text}\nnothing was booked\n`
  text += `\nentry ${entry.id}: ${entry.kind} ${entry.claim ?? entry.point} ${JSON.stringify(entry.note)}\n`
  text += formatTable(
    ['account', 'amount'],
    entry.postings.map(({ account, amount }) => [account, formatAmount(amount, assetOf(account))]),
  )
  if (below.length === 0) return text
  return `${text}\n${formatTable(
    ['below', 'booked kWh'],
    below.map(({ place, bookedWh }) => [place, bookedWh]),
  )}`
}

function addPoints(program: Command): void {
  lookCommand(program, 'points', 'print what is enrolled').action(({ config, json }: LookOptions) => {
    const points = look(loadConfig(config), readPoints)
    if (json === true) return void print(`${toJson({ points })}\n`)
    const rows = points.map((row) => [
      ...[row.point, row.state, row.owner, row.ownerKeySpki === null ? 'no' : 'yes', row.role, row.behind],
      ...[row.maxPowerW, row.held, row.pending?.entry],
    ])
    const head = ['point', 'state', 'owner', 'signed', 'role', 'behind', 'max W', 'held', 'waiting order']
    print(formatTable(head, rows))
  })
  lookCommand(program, 'quarantine', 'print what could not be used, and why').action(
    ({ config, json }: LookOptions) => {
      const report = look(loadConfig(config), readQuarantine)
      if (json === true) return void print(`${toJson(report)}\n`)
      const rows = report.messages.map((row) => [row.id, row.topic, row.code, row.count, row.length, row.reason])
      print(formatTable(['id', 'topic', 'code', 'count', 'bytes', 'reason'], rows))
      for (const { gateway, code, count } of report.countedOnly) print(`only counted: ${gateway} ${code} ${count}\n`)
    },
  )
}

function addChecks(program: Command): void {
  lookCommand(program, 'verify', 'check journal, chains, signatures and bookings again')
    .option('--every-signature', "check each signature, not only that of each epoch's last record")
    .option('--chains', 'only whether each record is authentic and in its place: quick, and nothing of bookings')
    .option('--threads <count>', 'threads that check signatures, 1 or 2', parseThreads)
    .option('--first', 'end as soon as it is certain which fault comes first')
    .option('--witness <file...>', 'signed heads, receipts and statements, one a line, that the ledger must still hold')
    .action(async ({ config, json, ...options }: LookOptions & VerifyOptions) => {
      const report = await verifyLedger(loadConfig(config), options, ({ code, message }) => {
        process.stderr.write(`${code}: ${message}\n`)
      })
      print(json === true ? `${toJson(report)}\n` : formatAudit(report))
      if (!report.ok) process.exitCode = exitCodes.faulty
    })
  lookCommand(program, 'head', 'print how far the ledger has come, signed: for who checks later').action(
    ({ config, json }: LookOptions) => {
      const head = readHead(loadConfig(config))
      print(json === true ? `${toJson({ head })}\n` : `${head}\n`)
    },
  )
}

function parseThreads(text: string): number {
  if (text === '1' || text === '2') return Number(text)
  throw new WattError('config/invalid', `--threads: 1 or 2 expected, got '${text.slice(0, 20)}'`)
}

function formatAudit({ ok, faults, counts, checks, operator }: AuditReport): string {
  const { points, records, entries, accounts, anchors } = counts
  const { signatures, byHash, witnesses } = checks
  const who =
    operator === undefined || (operator.key === null && operator.unsignedActs === 0)
      ? ''
      : `  the operator ...${operator.key?.slice(-16) ?? ' is unknown'} has signed ${operator.signedActs} acts; ${operator.unsignedActs} from before the first key are unsigned\n`
  const what =
    `${records} records of ${points} metering points, ${entries} journal entries, ${accounts} accounts, ${anchors} anchors\n` +
    `  ${signatures} signatures checked; ${byHash} records named by hash from those, and under seal as accepted\n` +
    `  compared with ${witnesses} signed heads, receipts and statements\n${who}`
  return ok
    ? `nothing wrong: ${what}`
    : `checked ${what}${formatTable(
        ['place', 'code', 'fault'],
        faults.map((fault) => [fault.place, fault.code, fault.message]),
      )}`
}

function addEnrolment(program: Command): void {
  const role = new Option('--role <role>', 'what it is for the ledger').choices(roles)
  command(program, 'enrol', 'add or change a metering point')
    .requiredOption('--point <id>', '<gateway>/<meter>')
    .option('--key <spki>', 'its public key, SPKI in hex')
    .option('--certificate <file>', 'its provisioning certificate')
    .addOption(
      new Option(
        '--acceptance <files...>',
        "its owner's order that accepts the certificate, and consents to it",
      ).conflicts([...['key', 'owner', 'role', 'behind', 'maxPower']]),
    )
    .option('--owner <name>', 'whose WATT it mints and burns')
    .addOption(role)
    .option('--behind <id>', 'the metering point one level up')
    .option('--max-power <watts>', 'the most that its fuse lets through', parseCount)
    .action(async ({ config, acceptance, ...options }: EnrolOptions & { config: string; acceptance?: string[] }) => {
      const done = await (acceptance === undefined
        ? enrol(loadConfig(config), options)
        : acceptPoint(loadConfig(config), { ...options, acceptance }))
      print(`${toJson(done)}\n`)
    })
  command(program, 'revoke', "end the validity of a metering point's key")
    .requiredOption('--point <id>', '<gateway>/<meter>')
    .requiredOption('--after-sequence <number>', 'the last sequence that is valid', parseCount)
    .option('--epoch <number>', 'its epoch; the current one if left out', parseCount)
    .action(
      async ({ config, ...options }: { config: string; point: string; afterSequence: number; epoch?: number }) => {
        print(`${toJson(await revoke(loadConfig(config), options))}\n`)
      },
    )
}

function addWallets(program: Command): void {
  command(program, 'transfer', "carry out wallets' signed orders, and print the answers")
    .requiredOption('--file <file>', 'orders, one a line, as wattline-wallet makes them')
    .action(async ({ config, file }: { config: string; file: string }) => {
      for (const taken of await takeOrders(loadConfig(config), file)) {
        if ('answer' in taken) print(`${taken.answer.text}\n`)
        else process.stderr.write(`wattline-ledger: ${taken.error.code}: ${taken.error.message}\n`)
        if (!('answer' in taken && 'entry' in taken.answer)) process.exitCode = exitCodes.data
      }
    })
  command(program, 'bind-wallet', 'let a wallet speak for an owner who has a name')
    .requiredOption('--owner <name>', 'the owner, as enrolled')
    .requiredOption('--address <address>', "the wallet's")
    .action(async ({ config, ...binding }: { config: string; owner: string; address: string }) => {
      print(`${toJson(await bindWallet(loadConfig(config), binding))}\n`)
    })
}

function addRelay(program: Command): void {
  command(program, 'relay', 'bring what was counted to the contract on a chain (section evm of the config)')
    .option('--once', 'end once there is nothing left to send')
    .action(async ({ config: path, once }: { config: string; once?: true }) => {
      const config = loadConfig(path)
      const { evm } = config
      if (evm === undefined) throw new WattError('config/invalid', `${path}: section evm expected`)
      const [{ makeLogger }, { runRelay }, { readKeyFile }] = await Promise.all([
        import('./log.ts'),
        import('./evm/relay.ts'),
        import('./ledger-key.ts'),
      ])
      const end = new AbortController()
      for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => end.abort())
      const log = makeLogger(config.ledger.logLevel)
      const { dataDir } = config.ledger
      const secretKey = readKeyFile(evm.keyFile)
      await runRelay({ dataDir, config: evm, secretKey, log, signal: end.signal, once: once === true })
    })
}

function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('a whole number expected')
  return Number(text)
}

async function main(): Promise<void> {
  const program = buildProgram()
  try {
    await addChainCommands(program)
    overrideExit(program)
    await program.parseAsync()
  } catch (error) {
    process.exitCode = fail(error)
  }
}

function fail(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.code.startsWith('wattline.')) process.stderr.write(`${error.message}\n`)
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  }
  const stack = error instanceof Error ? error.stack : String(error)
  const text = error instanceof WattError ? `${error.code}: ${error.message}` : stack
  process.stderr.write(`wattline-ledger: ${text}\n`)
  return toExitCode(error)
}

// Whoever reads only the first lines closes the pipe: that is no failure of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.software)
})
await main()
