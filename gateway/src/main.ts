import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { stringify } from 'yaml'
import { loadConfig } from './config.ts'
import { addDriverCommands, addRemoteCommands } from './drivers/drivers-cli.ts'
import { exitCodes, toExitCode } from './exit-codes.ts'
import { defaultProfileFolder, loadProfiles } from './modbus/profiles.ts'
import { runGateway } from './run.ts'
import type { ScanCommand } from './scan/scan-command.ts'
import { parseUnitIds } from './scan/unit-ids.ts'
import { checkProfiles } from './setup.ts'
import type { FrameOutcome } from './store/ocpp-journal.ts'
import { gatewayVersion } from './version.ts'

// Loaded only where it is used: what a command takes in memory is not for the program that runs for years.
const commands = () => import('./commands.ts')
const ocppCommands = () => import('./ocpp-command.ts')

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
    .action(async ({ config, meter }: ConfigOption & { meter?: string }) =>
      (await commands()).exportRecords(loadConfig(config), stdout, meter),
    )
  withConfig(program.command('keys'))
    .description('print the public key of each meter and charging point: its id and SPKI in hex')
    .action(async ({ config }: ConfigOption) => (await commands()).printKeys(loadConfig(config), stdout))
  withConfig(program.command('certificates'))
    .description("print the certificate of each meter and charging point, for the ledger's operator to enrol")
    .action(async ({ config }: ConfigOption) => (await commands()).printCertificates(loadConfig(config), stdout))
  withConfig(program.command('accept-swap'))
    .description('accept a meter that was changed or reset: counting starts anew at its next reading')
    .requiredOption('--meter <id>', 'the meter')
    .action(async ({ config, meter }: ConfigOption & { meter: string }) =>
      (await commands()).acceptSwap(loadConfig(config), stdout, meter),
    )
  withConfig(program.command('rotate-key'))
    .description('give a meter or charging point another key: the old one names it; the gateway must be stopped')
    .requiredOption('--meter <id>', 'the meter or charging point')
    .action(async ({ config, meter }: ConfigOption & { meter: string }) =>
      (await import('./rotate-key.ts')).rotateKey(loadConfig(config), stdout, meter),
    )
  withConfig(program.command('drain'))
    .description('send what still waits and take the receipts, without reading a meter')
    .option('--timeout <seconds>', 'give up after this long', (text) => toSeconds(text), 60)
    .action(async ({ config, timeout }: ConfigOption & { timeout: number }) => {
      process.exitCode = await (await import('./drain.ts')).drainOutbox(loadConfig(config), stdout, timeout)
    })
  withConfig(program.command('recover'))
    .description('save what is readable of a damaged database, and put it aside')
    .action(async ({ config }: ConfigOption) => (await import('./recover.ts')).recover(loadConfig(config), stdout))
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
      process.exitCode = await (await import('./scan/scan-command.ts')).scan(
        command,
        loadProfiles(defaultProfileFolder()),
      )
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
      process.exitCode = await (await import('./live/live-command.ts')).watchMeter(options, stdout)
    })
}

function addOcpp(program: Command): void {
  const ocpp = program.command('ocpp').description('charging stations and their sessions')
  ocpp
    .command('stations')
    .description('list the stations since its start, also those that were turned away, and why')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .option('--json', 'print everything as JSON')
    .action(async ({ config, json }: ConfigOption & { json?: boolean }) =>
      (await ocppCommands()).listStations(loadConfig(config), stdout, json === true),
    )
  ocpp
    .command('sessions')
    .description('list running and past charging sessions; works on a stopped gateway as well')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .option('--json', 'print everything as JSON')
    .option('--most <count>', 'only the latest', (text) => toCount(text), 1000)
    .action(async ({ config, json, most }: ConfigOption & { json?: boolean; most: number }) =>
      (await import('./sessions-command.ts')).listSessions(loadConfig(config), stdout, { most, asJson: json === true }),
    )
  ocpp
    .command('session')
    .description("show a session, what the station's own meter has signed of it, and what the meter of its feeder says")
    .argument('<number>', 'as `ocpp sessions` shows it', (text) => toCount(text))
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .option('--json', 'print everything as JSON, with the signed texts and the keys')
    .action(async (id: number, { config, json }: ConfigOption & { json?: boolean }) =>
      (await import('./sessions-command.ts')).showSession(loadConfig(config), stdout, { id, asJson: json === true }),
    )
  ocpp
    .command('call')
    .description('send a request to a station, checked against its schema, and print the answer')
    .argument('<station>', "the station's identity")
    .argument('<action>', 'such as GetConfiguration or GetVariables')
    .argument('[json]', 'the payload', '{}')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .action(async (station: string, action: string, json: string, { config }: ConfigOption) =>
      (await ocppCommands()).callStation(
        loadConfig(config),
        { output: stdout, warnings: stderr },
        { station, action, json },
      ),
    )
  addRemoteCommands(ocpp, stdout)
  ocpp
    .command('messages')
    .description('what stations sent that tells of energy, was mended or put aside, and why')
    .argument('[station]', 'only of this station')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .addOption(new Option('--outcome <outcome>').choices(['accepted', 'mended', 'quarantined']))
    .option('--json', 'print each as one line of JSON, with the frame as it came')
    .action(async (station: string | undefined, options: ConfigOption & { outcome?: FrameOutcome; json?: boolean }) =>
      (await import('./ocpp-messages-command.ts')).listMessages(loadConfig(options.config), stdout, {
        station,
        outcome: options.outcome,
        asJson: options.json === true,
      }),
    )
  addAdoption(ocpp)
  addAuthority(ocpp.command('ca').description('the authority that gives stations their certificates'))
}

function addAdoption(ocpp: Command): void {
  const profile = new Option('--profile <level>', 'security profile to demand of it').choices(['0', '1', '2', '3'])
  ocpp
    .command('adopt')
    .description('let a station in, set its measurands, intervals and clock, and give it what its profile needs')
    .argument('<station>', "the station's identity")
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .addOption(profile)
    .option('--wait <seconds>', 'for a station that is not there', (text) => toSeconds(text), 120)
    .option('--json', 'print everything as JSON')
    .action(async (station: string, options: ConfigOption & { profile?: string; wait: number; json?: boolean }) => {
      const wanted = ([0, 1, 2, 3] as const).find((level) => String(level) === options.profile)
      const order = { station, waitSeconds: Math.ceil(options.wait), asJson: options.json === true }
      const profiled = wanted === undefined ? order : { ...order, profile: wanted }
      if (!(await (await ocppCommands()).adoptStation(loadConfig(options.config), stdout, profiled)))
        process.exitCode = exitCodes.findings
    })
  ocpp
    .command('abandon')
    .description('take an adoption back')
    .argument('<station>', "the station's identity")
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .action(async (station: string, { config }: ConfigOption) =>
      (await ocppCommands()).abandonStation(loadConfig(config), stdout, station),
    )
}

// Loaded only where it is used: the library for certificates takes its memory.
const authorityCommands = () => import('./ocpp-ca-command.ts')

function addAuthority(ca: Command): void {
  ca.command('init')
    .description('make the authority and the certificate of the TLS port, where they are missing')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .option('--host <names...>', 'names and addresses under which stations reach this gateway', [])
    .action(async ({ config, host }: ConfigOption & { host: string[] }) =>
      (await authorityCommands()).initAuthority(loadConfig(config), stdout, host),
    )
  ca.command('show')
    .description('what there is, and when it ends')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .action(async ({ config }: ConfigOption) => (await authorityCommands()).showAuthority(loadConfig(config), stdout))
  ca.command('sign')
    .description('sign a request for a certificate that came by hand, and print the chain')
    .argument('<station>', "the station's identity")
    .argument('<request>', 'a file: PKCS #10, PEM or DER')
    .requiredOption('--config <file>', 'the configuration, in YAML')
    .action(async (station: string, request: string, { config }: ConfigOption) =>
      (await authorityCommands()).signRequest(loadConfig(config), stdout, station, request),
    )
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
