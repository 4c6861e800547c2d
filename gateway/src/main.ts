import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { stringify } from 'yaml'
import { acceptSwap, exportRecords, printCertificates, printKeys } from './commands.ts'
import { loadConfig } from './config.ts'
import { drainOutbox } from './drain.ts'
import { addDriverCommands, addRemoteCommands } from './drivers/drivers-cli.ts'
import { exitCodes, toExitCode } from './exit-codes.ts'
import { watchMeter } from './live/live-command.ts'
import { defaultProfileFolder, loadProfiles } from './modbus/profiles.ts'
import { callStation, listStations } from './ocpp-command.ts'
import { recover } from './recover.ts'
import { runGateway } from './run.ts'
import { parseUnitIds, type ScanCommand, scan } from './scan/scan-command.ts'
import { listSessions } from './sessions-command.ts'
import { checkProfiles } from './setup.ts'
import { gatewayVersion } from './version.ts'

interface ConfigOption {
  readonly config: string
}

const { stdout, stderr } = process

async function run({ config, checkConfig }: ConfigOption & { readonly checkConfig?: boolean }): Promise<void> {
  const loaded = loadConfig(config)
  const profiles = loadProfiles(defaultProfileFolder())
  checkProfiles(loaded, profiles, config)
  // Nothing to mask: secrets stand in files, and the configuration only names them.
  if (checkConfig === true) {
    for (const { message } of profiles.broken.values()) stderr.write(`not in use, but broken: ${message}\n`)
    stdout.write(stringify(loaded))
  } else process.exitCode = await runGateway(loaded, profiles)
}

function toSeconds(text: string): number {
  const seconds = Number(text)
  if (!(seconds > 0)) throw new InvalidArgumentError('seconds above 0 expected')
  return seconds
}

function toCount(text: string): number {
  const count = Number(text)
  if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError('a whole number above 0 expected')
  return count
}

function buildProgram(): Command {
  const program = new Command('wattline-gateway')
    .description('Reads meters, signs every reading and relays it to the ledger')
    .version(gatewayVersion)
    .enablePositionalOptions()
    .exitOverride()
  const withConfig = (command: Command) => command.requiredOption('--config <file>', 'the configuration, in YAML')
  withConfig(program.command('run', { isDefault: true }))
    .description('run the gateway: what happens where no command is given')
    .option('--check-config', 'check the configuration, print it complete with defaults, and end')
    .action(run)
  withConfig(program.command('export'))
    .description('print the signed records, one OCMF text a line, in the order of their sequence')
    .option('--meter <id>', 'only this meter or charging point')
    .action(({ config, meter }: ConfigOption & { meter?: string }) => exportRecords(loadConfig(config), stdout, meter))
  withConfig(program.command('keys'))
    .description('print the public key of each meter and charging point: its id and SPKI in hex')
    .action(({ config }: ConfigOption) => printKeys(loadConfig(config), stdout))
  withConfig(program.command('certificates'))
    .description("print the certificate of each meter and charging point, for the ledger's operator to enrol")
    .action(({ config }: ConfigOption) => printCertificates(loadConfig(config), stdout))
  withConfig(program.command('accept-swap'))
    .description('accept a meter that was changed or reset: counting starts anew at its next reading')
    .requiredOption('--meter <id>', 'the meter')
    .action(({ config, meter }: ConfigOption & { meter: string }) => acceptSwap(loadConfig(config), stdout, meter))
  withConfig(program.command('drain'))
    .description('send what still waits and take the receipts, without reading a meter')
    .option('--timeout <seconds>', 'give up after this long', (text) => toSeconds(text), 60)
    .action(async ({ config, timeout }: ConfigOption & { timeout: number }) => {
      process.exitCode = await drainOutbox(loadConfig(config), stdout, timeout)
    })
  withConfig(program.command('recover'))
    .description('save what is readable of a damaged database, and put it aside')
    .action(({ config }: ConfigOption) => recover(loadConfig(config), stdout))
  addScan(program)
  addWatch(program)
  addOcpp(program)
  addDriverCommands(program, stdout)
  return program
}

function addScan(program: Command): void {
  const baudRate = (text: string) => {
    const rate = Number(text)
    if (!Number.isInteger(rate) || rate < 300 || rate > 921_600)
      throw new InvalidArgumentError('300 to 921600 expected')
    return rate
  }
  program
    .command('scan')
    .description('find the meters on a bus, tell what is wrong with it, and print a configuration; only reads')
    .option('--config <file>', 'scan the buses of this configuration')
    .option('--bus <id>', 'with --config: only this bus')
    .option('--serial <path>', 'scan a serial port')
    .option('--tcp <host:port>', 'scan behind a Modbus TCP address')
    .option('--rtu-over-tcp <host:port>', 'scan behind a serial device server')
    .option('--baud-rate <rate>', 'with --serial: what the line is set to', baudRate)
    .addOption(new Option('--parity <parity>', 'with --serial: its parity').choices(['none', 'even', 'odd']))
    .addOption(new Option('--stop-bits <bits>', 'with --serial: its stop bits').choices(['1', '2']))
    .option('--unit-ids <list>', 'only these, such as 1-16,40', (text) => parseUnitIds(text))
    .option('--quick', 'only the likely settings: under a minute')
    .option('--json', 'print everything as JSON')
    .option('--write <file>', 'write the configuration to a new file')
    .action(async ({ stopBits, ...rest }: Omit<ScanCommand, 'stopBits'> & { stopBits?: '1' | '2' }) => {
      const command =
        stopBits === undefined ? rest : { ...rest, stopBits: stopBits === '1' ? (1 as const) : (2 as const) }
      process.exitCode = await scan(command, loadProfiles(defaultProfileFolder()))
    })
}

function addWatch(program: Command): void {
  program
    .command('watch')
    .description("show a meter's registers as they are now; only reads, until Ctrl-C")
    .option('--config <file>', 'the configuration that names the meter')
    .option('--meter <id>', 'with --config: the meter')
    .option('--serial <path>', 'a meter on a serial port')
    .option('--tcp <host:port>', 'a meter behind a Modbus TCP address')
    .option('--rtu-over-tcp <host:port>', 'a meter behind a serial device server')
    .option('--baud, --baud-rate <rate>', "with --serial: the line's speed; its profile's default where absent")
    .option('--parity <parity>', 'with --serial: none, even or odd')
    .option('--stop-bits <bits>', 'with --serial: 1 or 2')
    .option('--unit, --unit-id <id>', 'without --config: 1 to 247')
    .option('--profile <id>', 'without --config: a file in hardware/meters')
    .option('--interval <seconds>', 'from one look to the next')
    .option('--once', 'look once and end; fails where nothing could be read')
    .option('--json', 'print each look as one line of JSON')
    .option('--trace', 'print every frame: direction, gap, bytes in hex, state of its CRC')
    .action(async (options: unknown) => {
      process.exitCode = await watchMeter(options, stdout)
    })
}

function addOcpp(program: Command): void {
  const ocpp = program.command('ocpp').description('charging stations and their sessions')
  ocpp
    .command('stations')
    .description('list the stations since its start, also those that were turned away, and why')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .option('--json', 'print everything as JSON')
    .action(({ config, json }: ConfigOption & { json?: boolean }) =>
      listStations(loadConfig(config), stdout, json === true),
    )
  ocpp
    .command('sessions')
    .description('list running and past charging sessions; works on a stopped gateway as well')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .option('--json', 'print everything as JSON')
    .option('--most <count>', 'only the latest', (text) => toCount(text), 1000)
    .action(({ config, json, most }: ConfigOption & { json?: boolean; most: number }) =>
      listSessions(loadConfig(config), stdout, { most, asJson: json === true }),
    )
  ocpp
    .command('call')
    .description('send a request to a station, checked against its schema, and print the answer')
    .argument('<station>', "the station's identity")
    .argument('<action>', 'such as GetConfiguration or GetVariables')
    .argument('[json]', 'the payload', '{}')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .action((station: string, action: string, json: string, { config }: ConfigOption) =>
      callStation(loadConfig(config), { output: stdout, warnings: stderr }, { station, action, json }),
    )
  addRemoteCommands(ocpp, stdout)
}

// Whoever reads our output may go before we are done, as `head` does.
stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.storage),
)

try {
  await buildProgram().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  else {
    stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = toExitCode(error)
  }
}
