import { readFileSync } from 'node:fs'
import {
  addressOf,
  formatPublicKey,
  formatTopic,
  makeSigner,
  type OrderAction,
  parseOrder,
  parsePointId,
  type Signer,
  signConsent,
  signOrder,
  WattError,
} from '@wattline/protocol'
import { type Command, InvalidArgumentError } from 'commander'
import { change, look, readCertificate } from '../commands.ts'
import { type LedgerConfig, loadConfig } from '../config.ts'
import { readKeyFile } from '../ledger-key.ts'
import { formatTable, toJson } from '../reports.ts'
import type { Database } from '../store/database.ts'
import { systemClock } from '../system-clock.ts'
import type { Obeyed } from './owner-orders.ts'
import { type Place, toPointId } from './registry.ts'

// `wattline-ledger point`: owners sign what changes about their metering points, on any machine and without the
// ledger's data; whoever runs the ledger applies the documents. SPEC-93 to SPEC-96.

/** Where a command's answer goes. */
type Print = (text: string) => void

interface SignOptions {
  readonly keyFile: string
  readonly point: string
}

/** Adds the commands for owners and for their documents. */
export function addPointCommands(program: Command, print: Print): void {
  const point = program.command('point').description("owners' documents about metering points")
  const owned = (name: string, description: string) =>
    point
      .command(name)
      .description(description)
      .requiredOption('--key-file <file>', "the owner's secret key, 64 hex digits")
  const signing = (name: string, description: string) =>
    owned(name, description).requiredOption('--point <id>', '<gateway>/<meter>')
  owned('key', "print the owner's public key and the account that it names").action(({ keyFile }: SignOptions) => {
    const { publicKey } = readSigner(keyFile)
    print(`${toJson({ publicKeySpki: formatPublicKey(publicKey), address: addressOf(publicKey) })}\n`)
  })
  owned('accept', "accept a metering point's certificate: print the signed order")
    .requiredOption('--certificate <file>', 'what the gateway prints with `certificates`')
    .requiredOption('--owner <account>', 'whose WATT it mints and burns')
    .action(({ keyFile, certificate: file, owner }: SignOptions & { certificate: string; owner: string }) => {
      const { point: id, hash } = readCertificate(file)
      print(`${order(keyFile, id, { do: 'accept', certificate: hash, owner })}\n`)
    })
  signing('transfer', 'offer it to another owner; the offer counts with their consent')
    .requiredOption('--after <place>', 'the last record that is still yours, <epoch>/<sequence>', parsePlace)
    .requiredOption('--owner <account>', "the new owner's account")
    .requiredOption('--to <spki>', "the new owner's public key")
    .action((options: SignOptions & { after: Place; owner: string; to: string }) => {
      const { keyFile, point: id, after, owner, to } = options
      print(`${order(keyFile, id, { do: 'transfer', after, owner, to })}\n`)
    })
  signing('move', 'hang it behind another metering point, or behind none')
    .requiredOption('--after <place>', 'its last record at the old place, <epoch>/<sequence>', parsePlace)
    .option('--behind <id>', 'the metering point one level up; none if left out')
    .action(({ keyFile, point: id, after, behind }: SignOptions & { after: Place; behind?: string }) => {
      print(`${order(keyFile, id, { do: 'move', after, ...(behind === undefined ? {} : { behind }) })}\n`)
    })
  signing('cap', 'tell that its fuse was changed')
    .requiredOption('--max-power <watts>', 'the most that the new one lets through', parseWatts)
    .action(({ keyFile, point: id, maxPower }: SignOptions & { maxPower: number }) => {
      print(`${order(keyFile, id, { do: 'cap', maxPowerW: maxPower })}\n`)
    })
  signing('revoke', "end the validity of its device's key")
    .requiredOption('--after <place>', 'the last record that is valid, <epoch>/<sequence>', parsePlace)
    .action(({ keyFile, point: id, after }: SignOptions & { after: Place }) => {
      print(`${order(keyFile, id, { do: 'revoke', last: after })}\n`)
    })
  owned('consent', "agree to another owner's order")
    .requiredOption('--order <file>', 'the order')
    .action(({ keyFile, order: file }: SignOptions & { order: string }) => {
      const { point: id, hash } = parseOrder(findLine(file, 'WATT-ORDER'))
      print(`${signConsent({ point: id, order: hash, issuedAt: systemClock.now() }, readSigner(keyFile)).text}\n`)
    })
  addLedgerSide(point, print)
}

function addLedgerSide(point: Command, print: Print): void {
  point
    .command('apply <documents...>')
    .description(
      'apply the documents of one change: an order with its consents, or a rotation; certificates beside them',
    )
    .requiredOption('--config <file>', 'the ledger.yaml')
    .action(async (files: string[], { config }: { config: string }) => {
      print(`${toJson(await applyDocuments(loadConfig(config), files.map(readText)))}\n`)
    })
  point
    .command('history')
    .description('print everything that the journal says of a metering point, with the documents that prove it')
    .requiredOption('--config <file>', 'the ledger.yaml')
    .requiredOption('--point <id>', '<gateway>/<meter>')
    .option('--json', 'print JSON instead of text')
    .action(({ config, point: id, json }: { config: string; point: string; json?: true }) => {
      const entries = look(loadConfig(config), (db) => readHistory(db, toPointId(id)))
      if (json === true) return void print(`${toJson({ entries })}\n`)
      const rows = entries.map(({ entry, at, kind, note }) => [
        entry,
        new Date(at).toISOString(),
        kind,
        formatNote(note),
      ])
      print(formatTable(['entry', 'at', 'kind', 'what'], rows))
    })
}

/** Applies documents; what was held back for the point is processed again. */
export function applyDocuments(config: LedgerConfig, texts: readonly string[]): Promise<Obeyed> {
  return change(config, ({ orders, quarantine, remainders }) => {
    const done = orders.apply(texts)
    const ids = parsePointId(done.point)
    quarantine.release({
      certificate: formatTopic({ kind: 'certificate', ...ids }),
      record: formatTopic({ kind: 'record', ...ids }),
    })
    remainders.settleAll()
    return done
  })
}

/** Enrols a point by its certificate and its owner's acceptance. */
export function acceptPoint(
  config: LedgerConfig,
  {
    point,
    certificate,
    acceptance,
  }: { readonly point: string; readonly certificate?: string; readonly acceptance: string[] },
): Promise<Obeyed> {
  if (certificate === undefined) throw new WattError('order/invalid', '--acceptance goes with --certificate')
  const own = readCertificate(certificate, point)
  if (own.point !== point) {
    throw new WattError('certificate/invalid', `--certificate is of '${own.point}', not of '${point}'`)
  }
  return applyDocuments(config, [own.text, ...acceptance.map(readText)])
}

/** One entry about a metering point that moves no energy. */
export interface HistoryEntry {
  readonly entry: number
  readonly at: number
  readonly kind: string
  readonly note: Readonly<Record<string, unknown>>
}

/** What the journal says of a point besides its bookings, the oldest first. */
export function readHistory(db: Database, point: string): readonly HistoryEntry[] {
  const rows = db.prepare<[string], { entry: number; at: number; kind: string; note: string }>(
    'SELECT id AS entry, at, kind, note FROM entry WHERE point = ? AND claim IS NULL ORDER BY id',
  )
  return db.read(() => rows.all(point).map(({ note, ...row }) => ({ ...row, note: JSON.parse(note) })))
}

function formatNote({ documents, ...note }: HistoryEntry['note']): string {
  const proofs = Array.isArray(documents) ? `, ${documents.length} documents` : ''
  const shown = Object.entries(note).map(([name, value]) => `${name} ${shorten(value)}`)
  return `${shown.join(', ')}${proofs}`
}

function shorten(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 60 ? `...${text.slice(-16)}` : text
}

function order(keyFile: string, point: string, action: OrderAction): string {
  const id = toPointId(point)
  return signOrder({ point: id, action, issuedAt: systemClock.now() }, readSigner(keyFile)).text
}

function readSigner(path: string): Signer {
  return makeSigner(readKeyFile(path))
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new WattError('order/invalid', `${path}: cannot be read`, { cause })
  }
}

function findLine(path: string, kind: string): string {
  const line = readText(path)
    .split('\n')
    .find((each) => each.startsWith(`${kind}|`))
  if (line === undefined) throw new WattError('order/invalid', `${path}: holds no ${kind}`)
  return line.trim()
}

function parsePlace(text: string): Place {
  const [epoch, sequence] = /^(\d{1,15})\/(\d{1,15})$/.exec(text)?.slice(1).map(Number) ?? []
  if (epoch === undefined || sequence === undefined) throw new InvalidArgumentError('<epoch>/<sequence> expected')
  return { epoch, sequence }
}

function parseWatts(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('whole watts expected')
  return Number(text)
}
