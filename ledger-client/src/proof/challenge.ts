import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import {
  type Anchor,
  asciiToBytes,
  decodeWith,
  fromHex,
  integerBetween,
  type PublicKey,
  parseAnchor,
  rootFromPath,
  type SignatureVerifier,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'
import { recordLeaf } from './leaf.ts'
import { parsePath } from './proof-file.ts'

// SPEC-182 and SPEC-183: a keeper shows that it still has the whole archive, and the auditor downloads a sample of it.
// The indices follow from the seed and the anchor, so that a challenge is a line, and nobody can choose them afterwards.

/** What an auditor asks of a keeper. */
export interface Challenge {
  readonly anchor: Anchor
  /** 64 hex digits that the keeper cannot have known before. */
  readonly seed: string
  /** How many records are asked for. */
  readonly count: number
}

/** Records that one challenge may ask for. */
export const challengeLimit = 100_000

const challengeShape = v.strictObject({
  wattline: v.literal('challenge'),
  v: v.literal(1),
  anchor: v.pipe(v.string(), v.maxLength(16_384)),
  seed: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits expected')),
  count: integerBetween(1, challengeLimit),
})

/** Makes a challenge against an anchor that the auditor has from elsewhere. */
export function makeChallenge(anchor: Anchor, seed: string, count: number): Challenge {
  return parseChallenge(formatChallenge({ anchor, seed, count }))
}

/** A challenge as one line of JSON. */
export function formatChallenge({ anchor, seed, count }: Challenge): string {
  return `${JSON.stringify({ wattline: 'challenge', v: 1, anchor: anchor.text, seed, count })}\n`
}

/** Reads a challenge; the anchor must be signed by the ledger that is trusted, where one is given. */
export function parseChallenge(text: string, trusted?: PublicKey, verifier?: SignatureVerifier): Challenge {
  const { anchor, seed, count } = decodeWith(
    challengeShape,
    parseJson(text, 'challenge'),
    'challenge',
    'proof/malformed',
  )
  const parsed = parseAnchor(anchor, trusted, verifier)
  if (count > parsed.records.count) {
    throw new WattError('proof/malformed', `challenge: ${count} of ${parsed.records.count} records cannot be asked for`)
  }
  return { anchor: parsed, seed, count }
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new WattError('proof/malformed', `${what}: no JSON: '${text.slice(0, 80)}'`, { cause })
  }
}

/**
 * The records that are asked for, each once, in the order in which they were drawn: SHA-256 of
 * `<seed>/<hash of the anchor>/<n>` for n = 0, 1, 2, ... gives four numbers of 64 bits, big-endian, each. Those at or
 * above the greatest multiple of the number of records are passed over, so that none is likelier than another.
 */
export function challengedIndices({ anchor, seed, count }: Challenge): readonly number[] {
  return drawIndices(`${seed}/${anchor.hash}`, anchor.records.count, count)
}

/** Draws `count` different numbers below `size`. */
export function drawIndices(source: string, size: number, count: number): readonly number[] {
  const wide = BigInt(size)
  const end = (1n << 64n) - ((1n << 64n) % wide)
  const drawn = new Set<number>()
  for (let block = 0; drawn.size < count; block++) {
    const { buffer, byteOffset } = sha256(asciiToBytes(`${source}/${block}`))
    const view = new DataView(buffer, byteOffset, 32)
    for (let at = 0; at < 32 && drawn.size < count; at += 8) {
      const number = view.getBigUint64(at)
      if (number < end) drawn.add(Number(number % wide))
    }
  }
  return [...drawn]
}

/**
 * The probability that an audit of `count` out of `size` records meets at least one of `missing`, drawn without putting
 * back: 1 − Π (size − missing − i) / (size − i), i = 0 ... count − 1. Never less than 1 − (1 − missing / size)^count.
 */
export function detectionProbability(size: number, missing: number, count: number): number {
  let unseen = 1
  for (let at = 0; at < count && unseen > 0; at++) unseen *= missChance(size, missing, at)
  return 1 - unseen
}

// That the draw after `drawn` others, all of them there, meets one that is there too.
function missChance(size: number, missing: number, drawn: number): number {
  return Math.max(0, size - missing - drawn) / (size - drawn)
}

/** The least number of records to ask for, so that a share that is missing is found with at least that probability. */
export function sampleFor(size: number, missing: number, probability: number): number {
  let [unseen, count] = [1, 0]
  while (count < size && 1 - unseen < probability) unseen *= missChance(size, missing, count++)
  return count
}

const answerShape = v.strictObject({
  index: integerBetween(0, Number.MAX_SAFE_INTEGER),
  point: v.pipe(v.string(), v.maxLength(81)),
  /** The record as it was signed. */
  text: v.pipe(v.string(), v.maxLength(16_384)),
  path: v.pipe(v.string(), v.regex(/^([0-9a-f]{64}){0,53}$/, 'hashes of 64 lower-case hex digits expected')),
})

/** One record that a keeper shows. */
export type Answer = v.InferOutput<typeof answerShape>

/** An answer as one line of JSON. */
export function formatAnswer({ index, point, text, path }: Answer): string {
  return `${JSON.stringify({ index, point, text, path })}\n`
}

/** What an audit found. */
export interface AuditVerdict {
  readonly ok: boolean
  readonly asked: number
  readonly shown: number
  /** Asked for and not shown, or shown and not the one under the anchor. */
  readonly faults: readonly { readonly index: number; readonly reason: string }[]
}

/** Checks a keeper's answer: every record that is asked for must be shown and stand under the anchor. */
export function checkAnswers(challenge: Challenge, lines: Iterable<string>): AuditVerdict {
  const { root, count: size } = challenge.anchor.records
  const wanted = new Set(challengedIndices(challenge))
  const faults: { index: number; reason: string }[] = []
  let shown = 0
  for (const line of lines) {
    if (line.trim() === '') continue
    const answer = decodeWith(answerShape, parseJson(line, 'answer'), 'answer', 'proof/malformed')
    if (!wanted.delete(answer.index)) {
      throw new WattError('proof/malformed', `answer: record ${answer.index} is not asked for, or shown twice`)
    }
    const { index, point, text, path } = answer
    const found = rootFromPath({ leaf: leafOf(point, text), index, size, path: parsePath(path) })
    if (found !== undefined && bytesToHex(found) === root) shown++
    else faults.push({ index, reason: 'what is shown is not the record under the anchor' })
  }
  for (const index of wanted) faults.push({ index, reason: 'it is not shown' })
  return { ok: faults.length === 0, asked: challenge.count, shown, faults }
}

function leafOf(point: string, text: string): Uint8Array {
  try {
    return recordLeaf(point, text)
  } catch (error) {
    // Records are ASCII: anything else is no record, and leads nowhere.
    if (error instanceof WattError) return fromHex('00'.repeat(32)) ?? new Uint8Array(32)
    throw error
  }
}
