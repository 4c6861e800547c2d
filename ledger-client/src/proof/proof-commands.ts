import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Anchor,
  makeSigner,
  type PublicKey,
  parseAnchor,
  parsePublicKey,
  type Signer,
  WattError,
} from '@wattline/protocol'
import { type Command, InvalidArgumentError } from 'commander'
import { look } from '../commands.ts'
import { type LedgerConfig, loadConfig } from '../config.ts'
import { readKeyFile } from '../ledger-key.ts'
import { toJson } from '../reports.ts'
import { pickVerifier } from '../verifiers/pick.ts'
import { readAnchors } from './anchors.ts'
import { answerChallenge } from './answer.ts'
import {
  challengeLimit,
  checkAnswers,
  detectionProbability,
  formatChallenge,
  makeChallenge,
  parseChallenge,
  sampleFor,
} from './challenge.ts'
import { makeConsistency } from './make-consistency.ts'
import { makeProof, parseProofSubject } from './make-proof.ts'

/** What a command tells the world. */
export interface Output {
  print(text: string): void
  /** A check found something wrong. */
  fault(): void
}

const configOption = ['--config <file>', 'the ledger.yaml'] as const
const keyOption = ['--ledger <spki>', "the ledger's public key, as you know it from elsewhere"] as const

/** Adds the commands of whoever has the data: anchors to publish, proofs, answers. */
export function addProofs(program: Command, output: Output): void {
  const { print } = output
  program
    .command('anchors')
    .description('print the signed anchors, one a line, oldest first: to be published elsewhere')
    .requiredOption(...configOption)
    .option('--json', 'print JSON instead of text')
    .action(({ config, json }: { config: string; json?: true }) => {
      const anchors = look(loadConfig(config), readAnchors)
      print(json === true ? `${toJson({ anchors })}\n` : anchors.map(({ text }) => `${text}\n`).join(''))
    })
  program
    .command('prove')
    .description('print a file that proves a booking, a record or a journal entry to anyone (wattline-verify)')
    .argument('<subject>', 'a claim or record <gateway>/<meter>#<epoch>/<sequence>, or the number of a journal entry')
    .requiredOption(...configOption)
    .action(async (subject: string, { config: path }: { config: string }) => {
      const config = loadConfig(path)
      const signer = readSigner(config)
      const verifier = await pickVerifier(config.ledger.verifier)
      print(look(config, (db) => makeProof(db, parseProofSubject(subject), { signer, verifier })))
    })
  program
    .command('consistency')
    .description('print a file that shows that nothing under an earlier anchor was changed since (wattline-verify)')
    .requiredOption(
      '--from <anchor>',
      'the earlier one: its day, or a file with anchors, of which the last one is taken',
    )
    .option('--to <anchor>', 'the later one; everything there is now if left out')
    .requiredOption(...configOption)
    .action(({ config: path, from, to }: { config: string; from: string; to?: string }) => {
      const config = loadConfig(path)
      const later = to === undefined ? {} : { to: toAnchorName(to) }
      const request = { from: toAnchorName(from), ...later, signer: readSigner(config) }
      print(look(config, (db) => makeConsistency(db, request)))
    })
  addPossession(program, output)
}

// The audit of possession: the auditor's two commands need no config, only what was published.
function addPossession(program: Command, output: Output): void {
  program
    .command('challenge')
    .description('auditor: ask a keeper for records at random places under an anchor')
    .requiredOption('--anchor <file>', 'anchors, one a line; the last one is taken')
    .option(...keyOption, parseKey)
    .option('--count <number>', 'how many records (if left out: 1 % missing is found with 99 %)', parseNumber)
    .option('--seed <hex>', '64 hex digits that nobody could know before (if left out: random ones)')
    .action((options: ChallengeOptions) => output.print(makeChallengeText(options)))
  program
    .command('answer')
    .description('keeper: show the records that a challenge asks for, with their paths')
    .requiredOption(...configOption)
    .requiredOption('--challenge <file>', 'what the auditor sent')
    .action(({ config, challenge: path }: { config: string; challenge: string }) => {
      const challenge = parseChallenge(read(path))
      look(loadConfig(config), (db) =>
        db.read(() => {
          for (const line of answerChallenge(db, challenge)) output.print(line)
        }),
      )
    })
  program
    .command('check')
    .description("auditor: check a keeper's answer and say what it shows")
    .requiredOption('--challenge <file>', 'what was sent')
    .requiredOption('--answer <file>', 'what came back')
    .option(...keyOption, parseKey)
    .option('--json', 'print JSON instead of text')
    .action((options: CheckOptions) => runCheck(options, output))
}

function readSigner({ ledger }: LedgerConfig): Signer | undefined {
  const key = join(ledger.dataDir, 'ledger.key')
  return existsSync(key) ? makeSigner(readKeyFile(key)) : undefined
}

// Whoever asks may hold an anchor that this ledger has forgotten, or that it denies.
function toAnchorName(text: string): string {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) ? text : readLastAnchor(text, undefined).text
}

interface ChallengeOptions {
  readonly anchor: string
  readonly ledger?: PublicKey
  readonly count?: number
  readonly seed?: string
}

function makeChallengeText({ anchor: path, ledger, count, seed }: ChallengeOptions): string {
  const anchor = readLastAnchor(path, ledger)
  const size = anchor.records.count
  const wanted = count ?? Math.min(challengeLimit, sampleFor(size, onePercentOf(size), 0.99))
  return formatChallenge(makeChallenge(anchor, seed ?? randomBytes(32).toString('hex'), wanted))
}

// At least one record: of a small archive nothing less can be missing.
function onePercentOf(size: number): number {
  return Math.max(1, Math.ceil(size / 100))
}

function readLastAnchor(path: string, ledger: PublicKey | undefined): Anchor {
  const last = read(path)
    .split('\n')
    .findLast((line) => line.startsWith('WATT-ANCHOR|'))
  if (last === undefined) throw new WattError('anchor/invalid', `${path}: no anchor in it`)
  return parseAnchor(last.trim(), ledger)
}

interface CheckOptions {
  readonly challenge: string
  readonly answer: string
  readonly ledger?: PublicKey
  readonly json?: true
}

function runCheck({ challenge: path, answer, ledger, json }: CheckOptions, { print, fault }: Output): void {
  const challenge = parseChallenge(read(path), ledger)
  const verdict = checkAnswers(challenge, read(answer).split('\n'))
  const { count: size } = challenge.anchor.records
  const missing = onePercentOf(size)
  const probability = detectionProbability(size, missing, challenge.count)
  if (!verdict.ok) fault()
  if (json === true) return void print(`${toJson({ ...verdict, size, probability, ofMissing: missing })}\n`)
  const { asked, shown, faults } = verdict
  const percent = (probability * 100).toFixed(2)
  print(
    verdict.ok
      ? `nothing missing: all ${asked} records that were asked for are there, unaltered, of ${size}. ` +
          `If ${missing} were missing, ${percent} % of such audits would have found it.\n`
      : `${faults.length} of ${asked} records are missing, ${shown} are there, of ${size}:\n` +
          faults.map(({ index, reason }) => `record number ${index + 1}: ${reason}\n`).join(''),
  )
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new WattError('message/unreadable', `${path}: cannot be read`, { cause })
  }
}

function parseKey(text: string): PublicKey {
  try {
    return parsePublicKey(text)
  } catch {
    throw new InvalidArgumentError('SPKI in hex expected')
  }
}

function parseNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('a number from 1 to 999999 expected')
  return Number(text)
}
