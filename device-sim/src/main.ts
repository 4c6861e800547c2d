import { WattError } from '@wattline/protocol'
import { Command } from 'commander'
import { pino } from 'pino'
import { stringify } from 'yaml'
import { runSim } from './run.ts'
import { loadSimConfig } from './scenario.ts'

/** sysexits.h: a config that is wrong, and anything else that keeps the program from its work. */
const exitConfig = 78
const exitUnavailable = 69

interface Options {
  readonly config: string
  readonly scenario: readonly string[]
  readonly checkConfig?: true
}

function fail(error: unknown): never {
  if (!(error instanceof WattError)) throw error
  process.stderr.write(`wattline-sim: ${error.code}\n${error.message}\n`)
  process.exit(error.code.startsWith('config/') ? exitConfig : exitUnavailable)
}

async function main(options: Options): Promise<void> {
  const checked = loadSimConfig(options.config, options.scenario)
  if (options.checkConfig) {
    process.stdout.write(stringify(checked.config))
    return
  }
  const log = pino({
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
  })
  // Signals are heard before anything tells that the program runs: whoever waits for that may send one at once.
  const running = runSim(checked, log, fail)
  const stop = () => void running.then((sim) => sim.stop()).then(() => process.exit(0), fail)
  process.on('SIGUSR2', () => void running.then((sim) => sim.logRegisters(), fail))
  process.on('SIGHUP', () => void running.then((sim) => sim.hold(), fail))
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  await running
}

const program = new Command('wattline-sim')
  .description('Stands in for meters on serial lines and Modbus TCP.')
  .requiredOption('--config <file>', 'what to simulate')
  .option(
    '--scenario <file>',
    'lay a named situation over the config; may be repeated',
    (file, files: string[]) => [...files, file],
    [],
  )
  .option('--check-config', 'check the config, print it with its defaults, and end')
  .action((options: Options) => main(options).catch(fail))

await program.parseAsync()
