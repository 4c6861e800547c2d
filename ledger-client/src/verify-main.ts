import { readFileSync } from 'node:fs'
import { type PublicKey, parsePublicKey, WattError } from '@wattline/protocol'
import { Command, CommanderError } from 'commander'
import { exitCodes } from './exit-codes.ts'
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
  if (content.startsWith('WATT-ANCHOR|')) return verifyAnchors(content, options)
  const known: KnownKeys = {
    ...(key === undefined ? {} : { any: key }),
    byMeter: keys === undefined ? new Map() : readKeys(read(keys), keys),
  }
  const findings = verifyFile(content, known, await pickVerifier('auto'))
  if (findings.length === 0) throw unreadable(`${path}: no record in it`)
  for (const { subject, ok, text } of findings)
    process.stdout.write(`${ok ? 'proven' : 'FAULT '}  ${subject}: ${text}\n`)
  return findings.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.faulty
}

async function verifyProof(content: string, { key, ledger }: Options): Promise<number> {
  const trusted = {
    ...(ledger === undefined ? {} : { ledger: readAnyKey(ledger) }),
    ...(key === undefined ? {} : { point: readAnyKey(key) }),
  }
  const { ok, findings, notProven } = checkProofFile(content, trusted, await pickVerifier('auto'))
  printFindings(findings)
  for (const text of notProven) process.stdout.write(`open    not proven by this file: ${text}\n`)
  return ok ? exitCodes.ok : exitCodes.faulty
}

async function verifyAnchors(content: string, { ledger }: Options): Promise<number> {
  const key = ledger === undefined ? undefined : readAnyKey(ledger)
  const findings = checkAnchors(content, key, await pickVerifier('auto'))
  printFindings(findings)
  return findings.every(({ ok }) => ok) ? exitCodes.ok : exitCodes.faulty
}

function printFindings(findings: readonly ProofFinding[]): void {
  for (const { ok, subject, code, text } of findings) {
    process.stdout.write(`${ok ? 'proven' : 'FAULT '}  ${subject}: ${text}${code === undefined ? '' : ` (${code})`}\n`)
  }
}

// Lines `<meterId> <SPKI>`, as the gateway prints them.
function readKeys(content: string, path: string): ReadonlyMap<string, PublicKey> {
  const lines = content.split(/\r?\n/).filter((line) => line.trim() !== '')
  return new Map(
    lines.map((line, index) => {
      const [meter = '', spki = ''] = line.trim().split(/\s+/)
      if (spki === '') throw unreadable(`${path}: line ${index + 1}: <meterId> <SPKI> expected`)
      return [meter, parsePublicKey(spki)]
    }),
  )
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

async function main(): Promise<void> {
  const program = new Command('wattline-verify')
    .description('Checks exported records, and proofs of a ledger; trusts nothing but the file and the keys')
    .argument(
      '<file>',
      'OCMF records, one a line, and certificates before them if there are any; a proof, of a booking or of two anchors; or anchors, one a line',
    )
    .option('--key <spki>', 'the public key of every record in the file, SPKI in hex or base64')
    .option('--ledger <spki>', "proofs: the ledger's public key, as you know it from elsewhere")
    .option('--keys <file>', 'lines <meterId> <SPKI>, as wattline-gateway keys prints them')
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
  if (!(error instanceof WattError)) throw error
  process.stderr.write(`wattline-verify: ${error.code}: ${error.message}\n`)
  return error.code === 'key/unreadable' ? exitCodes.usage : exitCodes.data
}

await main()
