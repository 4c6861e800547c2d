import { readFileSync } from 'node:fs'
import { type PublicKey, parsePublicKey, WattError } from '@wattline/protocol'
import { Command, CommanderError } from 'commander'
import { exitCodes } from './exit-codes.ts'
import { tolerateClosedPipe, toPrintable } from './printable.ts'
import { checkAnchors } from './proof/anchor-list.ts'
import { checkProofFile } from './proof/check-consistency.ts'
import type { ProofFinding } from './proof/check-proof.ts'
import { looksLikeProof } from './proof/proof-file.ts'
import { pickVerifier } from './verifiers/pick.ts'
import { type KnownKeys, readAnyKey, verifyFile } from './verify-file.ts'

interface Options {
  readonly key?: string
  readonly keys?: string
  readonly ledger?: string
}

async function verify(path: string, options: Options): Promise<number> {
  const { key, keys } = options
  const content = read(path)
  if (looksLikeProof(content)) return verifyProof(content, options)
  if (content.trimStart().startsWith('WATT-ANCHOR|')) return verifyAnchors(content, options)
  const known: KnownKeys = {
    ...(key === undefined ? {} : { any: key }),
    byMeter: keys === undefined ? new Map() : readKeys(read(keys), keys),
  }
  const findings = verifyFile(content, known, await pickVerifier('auto'))
  if (findings.length === 0) throw unreadable(`${path}: no record in it`)
  printFindings(findings)
  return findings.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.faulty
}

async function verifyProof(content: string, { key, ledger }: Options): Promise<number> {
  const trusted = {
    ...(ledger === undefined ? {} : { ledger: readAnyKey(ledger, '--ledger') }),
    ...(key === undefined ? {} : { point: readAnyKey(key, '--key') }),
  }
  const { ok, findings, notProven } = checkProofFile(content, trusted, await pickVerifier('auto'))
  printFindings(findings)
  for (const text of notProven) print(`open    not proven by this file: ${text}`)
  return ok ? exitCodes.ok : exitCodes.faulty
}

async function verifyAnchors(content: string, { ledger }: Options): Promise<number> {
  const key = ledger === undefined ? undefined : readAnyKey(ledger, '--ledger')
  const findings = checkAnchors(content, key, await pickVerifier('auto'))
  printFindings(findings)
  return findings.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.faulty
}

function printFindings(findings: readonly ProofFinding[]): void {
  for (const { ok, subject, code, text } of findings) {
    print(`${ok ? 'proven' : 'FAULT '}  ${subject}: ${text}${code === undefined ? '' : ` (${code})`}`)
  }
}

function print(text: string): void {
  // Several problems of one thing stand below each other.
  process.stdout.write(`${toPrintable(text).replaceAll('\n', `\n${' '.repeat(8)}`)}\n`)
}

// Lines `<meterId> <SPKI>`, as the gateway prints them.
function readKeys(content: string, path: string): ReadonlyMap<string, PublicKey> {
  const lines = content.split(/\r?\n/).filter((line) => line.trim() !== '')
  return new Map(
    lines.map((line, index) => {
      const [meter = '', spki = ''] = line.trim().split(/\s+/)
      return [meter, readListedKey(spki, `${path}: line ${index + 1}`)]
    }),
  )
}

function readListedKey(spki: string, place: string): PublicKey {
  try {
    return parsePublicKey(spki)
  } catch (cause) {
    throw new WattError('key/unreadable', `${place}: <meterId> <SPKI in hex> expected`, { cause })
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw unreadable(`${path}: cannot be read`, cause)
  }
}

function unreadable(message: string, cause?: unknown): WattError {
  return new WattError('message/unreadable', message, { cause })
}

const exitCodesText = `
Exit codes:
  0   everything in the file is proven
  1   something in it is not: lines that begin with FAULT say what, and why
  64  the command or a key in it cannot be understood
  65  the file cannot be read, or holds nothing that could be checked
  70  a fault of this program`

async function main(): Promise<void> {
  const program = new Command('wattline-verify')
    .description('Checks exported records, and proofs of a ledger; trusts nothing but the file and the keys')
    .argument(
      '<file>',
      'OCMF records, one a line, with certificates if there are any; orders of wallets and answers to them; a proof, of a booking or of two anchors; or anchors, one a line',
    )
    .option('--key <spki>', 'the public key of every record in the file, SPKI in hex or base64')
    .option('--ledger <spki>', "proofs: the ledger's public key, as you know it from elsewhere")
    .option('--keys <file>', 'lines <meterId> <SPKI>, as wattline-gateway keys prints them')
    .addHelpText('after', exitCodesText)
    .exitOverride()
    .action(async (path: string, options: Options) => {
      process.exitCode = await verify(path, options)
    })
  try {
    await program.parseAsync()
  } catch (error) {
    process.exitCode = fail(error)
  }
}

function fail(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  if (!(error instanceof WattError)) {
    // A fault of ours says nothing of the file, so it must not look like one of the file's.
    process.stderr.write(`wattline-verify: ${error instanceof Error ? error.stack : String(error)}\n`)
    return exitCodes.software
  }
  process.stderr.write(`wattline-verify: ${toPrintable(`${error.code}: ${error.message}`)}\n`)
  return error.code === 'key/unreadable' ? exitCodes.usage : exitCodes.data
}

tolerateClosedPipe()
await main()
