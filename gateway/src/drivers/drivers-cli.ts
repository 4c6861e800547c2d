import { statSync } from 'node:fs'
import { text as readAll } from 'node:stream/consumers'
import {
  decodeWith,
  integerBetween,
  makeOneTimeCode,
  makeTimestamp,
  oneTimeCodeSlot,
  parseDriverList,
  parsePublicKey,
  WattError,
} from '@wattline/protocol'
import { type Command, InvalidArgumentError } from 'commander'
import * as v from 'valibot'
import type { Output } from '../commands.ts'
import { loadConfig } from '../config.ts'
import { writeDurably } from '../store/atomic-file.ts'
import { openExistingStore } from '../store/database.ts'
import { loadDriverList } from '../store/driver-list.ts'
import type { DriverCommand } from './driver-commands.ts'
import {
  checkPrivate,
  type DriverEntry,
  type DriverFile,
  parseDriverFile,
  readDriverFile,
  readText,
  writeDriverFile,
} from './driver-file.ts'
import { tellPlace } from './tell-place.ts'

// Loaded only where it is used, as the other commands are.
const listMaker = () => import('./list-maker.ts')

const configOption = ['--config <file>', 'the configuration, in YAML'] as const
const fileOption = ['--file <file>', 'the drivers with their tokens, in YAML'] as const
const keyOption = ['--key <file>', 'the key that signs lists'] as const

interface AddOptions extends Omit<DriverEntry, 'token'> {
  readonly file: string
}

/** `drivers ...`: make, sign and look at lists of drivers. None of it needs a running gateway. */
export function addDriverCommands(program: Command, output: Output): void {
  const drivers = program.command('drivers').description('who may charge: make, sign and show lists of drivers')
  drivers
    .command('key')
    .description('make the key that signs lists, where there is none; print its public half, for drivers.listKey')
    .requiredOption(...keyOption)
    .action(async ({ key }: { key: string }) => void output.write(`${(await listMaker()).ensureListKey(key)}\n`))
  drivers
    .command('add')
    .description("add a driver's token; `-` reads it from the standard input, where no other user sees it")
    .argument('<token>', 'what the card, the vehicle or the keypad gives')
    .requiredOption(...fileOption)
    .option('--driver <account>', 'whose account pays')
    .option('--group <group>', 'the group; its cards may end what one of them began')
    .option('--type <type>', 'only as this idToken type of OCPP 2.x, such as ISO14443')
    .option('--until <time>', 'such as 2027-01-31T18:00:00Z')
    .option('--blocked', 'known, and refused')
    .action((token: string, options: AddOptions) => addDriver(token, options, output))
  drivers
    .command('list')
    .description('show a file with tokens, or the list that a gateway has in force')
    .option(...fileOption)
    .option(...configOption)
    .action((options: { file?: string; config?: string }) => showDrivers(options, output))
  drivers
    .command('sign')
    .description('make the list that gateways accept: hashes in place of the tokens, and a signature')
    .requiredOption(...fileOption)
    .requiredOption(...keyOption)
    .requiredOption('--out <file>', 'where the list goes; a list there is replaced by a newer one')
    .action(async ({ file, key, out }: { file: string; key: string; out: string }) => {
      const { loadListKey, signList } = await listMaker()
      const list = signList(readDriverFile(file), loadListKey(key), { path: out, nowMs: Date.now() })
      output.write(`${out}: ${list.drivers.length} drivers, ${list.groups.length} groups, serial ${list.serial}\n`)
    })
  drivers
    .command('code')
    .description('print the code that opens a reservation now')
    .requiredOption('--code-file <file>', 'what `ocpp reserve` has written')
    .action(({ codeFile }: { codeFile: string }) => printCode(codeFile, output))
}

async function addDriver(token: string, { file: path, ...terms }: AddOptions, output: Output): Promise<void> {
  const given = token === '-' ? (await readAll(process.stdin)).trim() : token
  const exists = statSync(path, { throwIfNoEntry: false }) !== undefined
  const before: DriverFile = exists ? readDriverFile(path) : { version: 1, groups: [], drivers: [] }
  const { group } = terms
  const isNewGroup = group !== undefined && before.groups.every(({ id }) => id.toLowerCase() !== group.toLowerCase())
  const next = {
    ...before,
    groups: isNewGroup ? [...before.groups, { id: group }] : before.groups,
    drivers: [...before.drivers, { token: given, ...terms }],
  }
  // Checked as what it will be read as.
  const checked = parseDriverFile(JSON.stringify(next), path)
  writeDriverFile(path, checked)
  output.write(`${path}: ${checked.drivers.length} drivers; sign the list to bring it into force\n`)
}

function showDrivers({ file, config }: { file?: string; config?: string }, output: Output): void {
  if ((file === undefined) === (config === undefined)) {
    throw new WattError('message/invalid', 'either --file or --config expected')
  }
  if (file !== undefined) {
    for (const { token, ...terms } of readDriverFile(file).drivers) {
      output.write(`${mask(token)} ${tellTerms(terms)}\n`)
    }
    return
  }
  const { gateway } = loadConfig(config ?? '')
  const store = openExistingStore(gateway.dataDir, 'read')
  try {
    const stored = store.read(() => loadDriverList(store))
    if (stored === undefined) {
      output.write('no list is in force: every card is refused\n')
      return
    }
    const list = parseDriverList(stored.text, parsePublicKey(stored.publicKey))
    output.write(`serial ${list.serial}, made ${new Date(list.issuedAt).toISOString()}\n`)
    for (const { hash, until, ...terms } of list.drivers) {
      const end = until === undefined ? {} : { until: new Date(until).toISOString() }
      output.write(`${hash.slice(0, 12)} ${tellTerms({ ...terms, ...end })}\n`)
    }
  } finally {
    store.close()
  }
}

// Enough to tell one's own cards apart, too little to copy one.
function mask(token: string): string {
  return token.length < 8 ? '*'.repeat(token.length) : `${'*'.repeat(token.length - 4)}${token.slice(-4)}`
}

function tellTerms({ driver, group, type, until, blocked }: Omit<DriverEntry, 'token'>): string {
  const words = [
    driver ?? 'no account',
    group && `group ${group}`,
    type && `only as ${type}`,
    until && `until ${until}`,
    blocked && 'blocked',
  ]
  return words.filter((word) => word !== undefined).join(', ')
}

const codeFileShape = v.strictObject({
  station: v.string(),
  connector: integerBetween(0, 100_000),
  until: integerBetween(0, Number.MAX_SAFE_INTEGER),
  code: v.strictObject({
    secret: v.string(),
    validitySeconds: integerBetween(1, 86_400),
    length: integerBetween(8, 32),
  }),
})

function printCode(path: string, output: Output): void {
  checkPrivate(path)
  const { code } = decodeWith(codeFileShape, parseJson(readText(path), path), path, 'drivers/invalid')
  const now = makeTimestamp(Date.now())
  const slot = oneTimeCodeSlot(now, code)
  const restMs = (slot + 1) * code.validitySeconds * 1000 - now
  output.write(`${makeOneTimeCode(code, slot)} (another in ${Math.ceil(restMs / 1000)} s)\n`)
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new WattError('drivers/invalid', `${path}: not what 'ocpp reserve' writes`, { cause })
  }
}

interface ByOptions {
  readonly config: string
  readonly token?: string
  readonly type?: string
  readonly driver?: string
  readonly code?: string
}

interface ReserveOptions {
  readonly config: string
  readonly minutes: number
  readonly driver?: string
  readonly group?: string
  readonly codeFile?: string
}

const wholeNumber = (text: string) => {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number expected')
  return Number(text)
}

/** `ocpp start`, `stop`, `reserve` and the like: done by the running gateway. */
export function addRemoteCommands(ocpp: Command, output: Output): void {
  const ask = async (config: string, command: DriverCommand) =>
    await (await import('../ocpp-command.ts')).askGateway(loadConfig(config), command)
  const tell = async (config: string, command: DriverCommand) => {
    const answer = decodeWith(wordsShape, await ask(config, command), 'answer of the gateway', 'control/unreachable')
    output.write(`${answer.words}\n`)
  }
  ocpp
    .command('start')
    .description('begin to charge from afar, in the name of a card, a driver, or whoever has the code of a reservation')
    .argument('<station>', "the station's identity")
    .argument('<connector>', 'its connector, or EVSE in OCPP 2.x', wholeNumber)
    .option('--token <token>', 'a card of the list')
    .option('--type <type>', 'with --token: its type in OCPP 2.x')
    .option('--driver <account>', 'a driver of the list')
    .option('--code <code>', 'the code that opens the reservation there')
    .requiredOption(...configOption)
    .action(async (station: string, connector: number, options: ByOptions) => {
      await tell(options.config, { command: 'start', station, connector, by: readStartedBy(options) })
    })
  ocpp
    .command('stop')
    .description('end a session: by its transaction id, or by where it is')
    .argument('<session-or-station>', "the transaction's id, or the station's identity")
    .argument('[connector]', 'with a station: its connector, or EVSE', wholeNumber)
    .requiredOption(...configOption)
    .action(async (what: string, connector: number | undefined, { config }: { config: string }) => {
      const where = connector === undefined ? { session: what } : { station: what, connector }
      await tell(config, { command: 'stop', ...where })
    })
  addReservationCommands(ocpp, output, { ask, tell })
}

interface Asking {
  readonly ask: (config: string, command: DriverCommand) => Promise<unknown>
  readonly tell: (config: string, command: DriverCommand) => Promise<void>
}

function addReservationCommands(ocpp: Command, output: Output, { ask, tell }: Asking): void {
  ocpp
    .command('reserve')
    .description('keep a place for somebody: everybody else is refused there, by whatever way they try')
    .argument('<station>', "the station's identity")
    .argument('<connector>', 'its connector, or EVSE; 0 for the whole station', wholeNumber)
    .requiredOption('--minutes <minutes>', 'how long', wholeNumber)
    .option('--driver <account>', "for a driver's cards; with a code: whose account pays")
    .option('--group <group>', 'for the cards of a group')
    .option('--code-file <file>', 'for whoever has the code: its secret is written here, for its owner alone')
    .requiredOption(...configOption)
    .action(async (station: string, connector: number, options: ReserveOptions) => {
      const { config, minutes, driver, group, codeFile } = options
      const answer = await ask(config, {
        command: 'reserve',
        station,
        connector,
        minutes,
        ...(driver === undefined ? {} : { driver }),
        ...(group === undefined ? {} : { group }),
        withCode: codeFile !== undefined,
      })
      const made = decodeWith(reservedShape, answer, 'answer of the gateway', 'control/unreachable')
      const { number, until, code } = made
      if (codeFile !== undefined && code !== undefined) {
        writeDurably(codeFile, `${JSON.stringify({ station, connector, until, code })}\n`, 'replace')
      }
      const place = tellPlace({ stationId: station, connectorId: connector })
      const end = new Date(until).toISOString()
      output.write(`${place}: reservation ${number} until ${end}; ${reservedWords[made.station]}\n`)
    })
  ocpp
    .command('cancel-reservation')
    .description('end a reservation')
    .argument('<number>', 'as `ocpp reservations` shows it', wholeNumber)
    .requiredOption(...configOption)
    .action(async (number: number, { config }: { config: string }) => {
      await tell(config, { command: 'cancel-reservation', number })
    })
  ocpp
    .command('reservations')
    .description('list the reservations in force')
    .requiredOption(...configOption)
    .action(async ({ config }: { config: string }) => {
      const answer = await ask(config, { command: 'reservations' })
      const list = decodeWith(reservationsShape, answer, 'answer of the gateway', 'control/unreachable')
      if (list.length === 0) output.write('no place is reserved\n')
      for (const one of list) {
        const place = tellPlace({ stationId: one.station, connectorId: one.connector })
        const holders = [
          one.driver,
          one.group && `group ${one.group}`,
          one.withCode ? 'whoever has the code' : undefined,
          one.byUpstream ? 'the card that upstream has named' : undefined,
        ].filter((holder) => holder !== undefined)
        const end = new Date(one.until).toISOString()
        output.write(`${place}: reservation ${one.number} until ${end}, for ${holders.join(', ')}\n`)
      }
    })
}

const reservedWords = {
  'keeps-it': 'the station keeps it too',
  cannot: 'the station knows no reservations: the gateway alone refuses everybody else there',
  'not-told-yet': 'the station is told when it is back; until then the gateway refuses everybody else there',
} as const

const wordsShape = v.object({ words: v.string() })
const reservedShape = v.object({
  number: v.number(),
  until: v.number(),
  station: v.picklist(['keeps-it', 'cannot', 'not-told-yet']),
  code: v.optional(v.object({ secret: v.string(), validitySeconds: v.number(), length: v.number() })),
})
const reservationsShape = v.array(
  v.object({
    number: v.number(),
    station: v.string(),
    connector: v.number(),
    until: v.number(),
    driver: v.optional(v.string()),
    group: v.optional(v.string()),
    withCode: v.boolean(),
    byUpstream: v.boolean(),
  }),
)

function readStartedBy({ token, type, driver, code }: ByOptions) {
  const given = [token, driver, code].filter((one) => one !== undefined)
  if (given.length !== 1) throw new WattError('message/invalid', 'one of --token, --driver and --code expected')
  if (token !== undefined) return { token, ...(type === undefined ? {} : { type }) }
  return driver !== undefined ? { driver } : { code: code ?? '' }
}
