import {
  bytesToAscii,
  decodeWith,
  fromHex,
  integerBetween,
  type MerkleHash,
  toUpperHex,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'

// SPEC-180: one file that holds everything a proof needs but trust. It runs through this module in a browser too.

const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits expected'))
/** Hashes one after the other in lower-case hex, lowest first. At most 53 levels: a tree of safe integers. */
const path = v.pipe(v.string(), v.regex(/^([0-9a-f]{64}){0,53}$/, 'hashes of 64 lower-case hex digits expected'))
const text = v.pipe(v.string(), v.maxLength(16_384))
const index = integerBetween(0, Number.MAX_SAFE_INTEGER)

const record = v.strictObject({ index, text, path })
/** A journal entry: the very text that its hash covers, and the hash of the entry before it. */
const entry = v.strictObject({ content: v.pipe(v.string(), v.maxLength(65_536)), previous: hash, path })

const shape = v.strictObject({
  wattline: v.literal('proof'),
  v: v.literal(1),
  /** A day's anchor, or a head (SPEC-98). */
  anchor: text,
  /** What is proven to be in the journal. */
  entry: v.exactOptional(entry),
  /** The enrolment whose terms the entry was booked by. */
  terms: v.exactOptional(entry),
  /** What was stated of the point before, as far as keys or counting rest on it; oldest first. */
  earlier: v.exactOptional(v.pipe(v.array(entry), v.maxLength(32))),
  /** The metering point of the records. */
  point: v.exactOptional(v.pipe(v.string(), v.maxLength(81))),
  /** The record that the entry books. */
  record: v.exactOptional(record),
  /** The record that counting went on from. */
  from: v.exactOptional(record),
  /** The records between the two, all of them or none. */
  between: v.exactOptional(v.pipe(v.array(text), v.maxLength(10_000))),
  /** Of the keys that signed the records. */
  certificates: v.exactOptional(v.pipe(v.array(text), v.maxLength(8))),
})

export type ProofFile = v.InferOutput<typeof shape>
export type RecordProof = v.InferOutput<typeof record>
export type EntryProof = v.InferOutput<typeof entry>

/** SPEC-185: what shows that one anchor extends another. */
const consistencyShape = v.strictObject({
  wattline: v.literal('consistency'),
  v: v.literal(1),
  /** The earlier anchor or head, and the later one. */
  from: text,
  to: text,
  /** From the earlier tree to the later one, in both trees. */
  records: path,
  entries: path,
})

export type ConsistencyFile = v.InferOutput<typeof consistencyShape>

/** The longest file that is looked at: records between are what makes one long, and there are at most 10,000 of them. */
const longestProof = 2 ** 25

/** Whether a file wants to be a proof of either kind, however it is written: nothing else that is checked is JSON. */
export function looksLikeProof(content: string): boolean {
  return content.trimStart().startsWith('{') || content.slice(0, 100).includes('"wattline"')
}

/** Whether it wants to show that one anchor extends another. */
export function looksLikeConsistency(content: string): boolean {
  return content.startsWith('{\n "wattline": "consistency"')
}

export function formatProof(proof: ProofFile): string {
  return format(decodeWith(shape, proof, 'proof', 'proof/malformed'))
}

/** Reads a proof. Whatever is written in any other way is refused: then no byte of the file can change without being seen. */
export function parseProof(content: string): ProofFile {
  return parse(shape, content)
}

export function formatConsistency(proof: ConsistencyFile): string {
  return format(decodeWith(consistencyShape, proof, 'proof', 'proof/malformed'))
}

export function parseConsistency(content: string): ConsistencyFile {
  return parse(consistencyShape, content)
}

// As it stands in a file: one way to write each.
function format(ordered: object): string {
  const json = JSON.stringify(ordered, null, 1)
  return `${json.replace(/[\u007f-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`
}

function parse<TSchema extends v.GenericSchema<unknown, object>>(
  schema: TSchema,
  content: string,
): v.InferOutput<TSchema> {
  if (content.length > longestProof) {
    throw new WattError('proof/malformed', `at most ${longestProof} characters expected, got ${content.length}`)
  }
  let json: unknown
  try {
    json = JSON.parse(content)
  } catch (cause) {
    throw new WattError(
      'proof/malformed',
      `it is no proof: no JSON: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
  const proof = decodeWith(schema, json, 'proof', 'proof/malformed')
  if (format(proof) !== content) {
    throw new WattError(
      'proof/malformed',
      'it is not written as proofs are: one field a line, in their order, in ASCII',
    )
  }
  return proof
}

/** A path as it stands in a file. */
export function formatPath(hashes: readonly MerkleHash[]): string {
  return hashes.map(toUpperHex).join('').toLowerCase()
}

/** The hashes of a path whose form is checked. */
export function parsePath(hex: string): readonly MerkleHash[] {
  const bytes = fromHex(hex) ?? new Uint8Array()
  return Array.from({ length: bytes.length / 32 }, (_, at) => bytes.subarray(at * 32, at * 32 + 32))
}

/** The text of a file's bytes; anything beyond ASCII is not ours. */
export function readProofBytes(bytes: Uint8Array): string {
  const content = bytesToAscii(bytes)
  if (content === undefined) throw new WattError('proof/malformed', 'a byte is not ASCII')
  return content
}
