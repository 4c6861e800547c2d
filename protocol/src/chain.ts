import { nobleVerifier, type PublicKey, type SignatureVerifier, verifyParsed, verifyRecord } from './attestation.ts'
import { type ErrorCode, WattError } from './errors.ts'
import { type ParsedOcmf, parseOcmfText } from './ocmf.ts'

/** What a range must be. */
export interface RangeExpectation {
  /** CI of the metering point; a record of another one is foreign. */
  readonly pointText: string
  /** The key that signed an epoch, or undefined where none is known. */
  keyOf(epoch: number): PublicKey | undefined
  /** The sequence that the range begins with; the lowest one present where it is left out. */
  readonly firstSequence?: number
  /** The hash that the first record must name: of its predecessor or of the provisioning certificate. */
  readonly previousHash?: string
  /** The sequence that the range ends with; what comes last where it is left out. */
  readonly lastSequence?: number
}

/** Either the range is complete, or the first place where it is not, and how. */
export type RangeVerdict =
  | {
      readonly ok: true
      readonly count: number
      readonly firstSequence: number
      readonly lastSequence: number
      readonly headHash: string
    }
  | {
      readonly ok: false
      readonly code: ErrorCode
      /** Position in the list, from 0, of the record that is wrong or before which one is missing. */
      readonly index: number
      /** The sequence that was expected there. */
      readonly expectedSequence: number
      readonly message: string
    }

interface Entry {
  readonly parsed: ParsedOcmf
  readonly index: number
}

/**
 * Checks that a list of records is one unbroken chain: every signature, every link, nothing missing, inserted,
 * reordered, doubled, altered or foreign. Says where the first fault is (SPEC-35).
 */
export function verifyRange(
  texts: readonly string[],
  expected: RangeExpectation,
  verifier: SignatureVerifier = nobleVerifier,
): RangeVerdict {
  const entries = texts.map((text, index) => readEntry(text, index))
  const good = entries.filter((entry): entry is Entry => 'parsed' in entry)
  const ours = good.filter(({ parsed }) => parsed.record.template.pointText === expected.pointText)
  const first =
    expected.firstSequence ?? ours.reduce((low, { parsed }) => Math.min(low, parsed.record.sequence), Infinity)
  let sequence = Number.isFinite(first) ? first : 1
  let link = expected.previousHash
  let epoch = 0
  const fail = (code: ErrorCode, index: number, problem: string): RangeVerdict => ({
    ok: false,
    code,
    index,
    expectedSequence: sequence,
    message: `position ${index}: ${problem}`,
  })
  for (const [index, entry] of entries.entries()) {
    if (!('parsed' in entry)) return fail(entry.code, index, entry.message)
    const { record, hash } = entry.parsed
    if (record.template.pointText !== expected.pointText) {
      return fail('chain/foreign', index, `a record of '${record.template.pointText}', not of '${expected.pointText}'`)
    }
    const key = expected.keyOf(record.epoch)
    if (key === undefined) return fail('record/wrong-key', index, `no key is known for epoch ${record.epoch}`)
    const verdict = verifyParsed(entry.parsed, key, verifier)
    if (!verdict.ok) return fail(verdict.code, index, verdict.message)
    if (record.sequence !== sequence) {
      const code = classify(entry.parsed, sequence, ours)
      return fail(code, index, `record ${record.sequence} where ${sequence} was expected (${explain[code]})`)
    }
    if ((link !== undefined && record.previousHash !== link) || record.epoch < epoch) {
      return fail('chain/inserted', index, `record ${sequence} does not follow from the one before it`)
    }
    link = hash
    epoch = record.epoch
    sequence++
  }
  if (expected.lastSequence !== undefined && sequence <= expected.lastSequence) {
    return fail('chain/missing', entries.length, `record ${sequence} is missing at the end`)
  }
  if (entries.length === 0) return fail('chain/missing', 0, 'no record at all')
  return { ok: true, count: entries.length, firstSequence: first, lastSequence: sequence - 1, headHash: link ?? '' }
}

type Displacement = 'chain/duplicate' | 'chain/inserted' | 'chain/missing' | 'chain/reordered'

const explain: Readonly<Record<Displacement, string>> = {
  'chain/duplicate': 'the same record stands in the list twice',
  'chain/inserted': 'it does not belong into this range',
  'chain/missing': 'the expected one is not in the list',
  'chain/reordered': 'the expected one stands elsewhere in the list',
}

// A record stands where another was expected. Which fault is it?
function classify(found: ParsedOcmf, expected: number, all: readonly Entry[]): Displacement {
  const same = all.filter(({ parsed }) => parsed.record.sequence === found.record.sequence)
  if (same.filter(({ parsed }) => parsed.hash === found.hash).length > 1) return 'chain/duplicate'
  if (same.length > 1) return 'chain/inserted'
  const present = all.some(({ parsed }) => parsed.record.sequence === expected)
  if (!present) return 'chain/missing'
  const sequences = new Set(all.map(({ parsed }) => parsed.record.sequence))
  const gapless = sequences.size === all.length && contiguousFrom(expected, found.record.sequence, sequences)
  return gapless && isLinked(found, all) ? 'chain/reordered' : 'chain/inserted'
}

// A record that is only displaced still follows the one before its own place, and is followed by the one after it.
function isLinked({ hash, record }: ParsedOcmf, all: readonly Entry[]): boolean {
  return all.every(({ parsed: other }) => {
    if (other.record.sequence === record.sequence - 1) return record.previousHash === other.hash
    return other.record.sequence !== record.sequence + 1 || other.record.previousHash === hash
  })
}

function contiguousFrom(a: number, b: number, sequences: ReadonlySet<number>): boolean {
  for (let sequence = Math.min(a, b); sequence <= Math.max(a, b); sequence++) {
    if (!sequences.has(sequence)) return false
  }
  return true
}

function readEntry(text: string, index: number): Entry | { readonly code: ErrorCode; readonly message: string } {
  try {
    return { parsed: parseOcmfText(text), index }
  } catch (error) {
    if (error instanceof WattError) return { code: error.code, message: error.message }
    throw error
  }
}

/** Two records that exclude each other: anyone with the public key can check it (SPEC-36). */
export interface EquivocationProof {
  readonly publicKey: PublicKey
  readonly first: string
  readonly second: string
}

/** Whether two texts prove that their signer told two stories: same key, epoch and sequence, different payload. */
export function isEquivocation(proof: EquivocationProof, verifier: SignatureVerifier = nobleVerifier): boolean {
  const [a, b] = [proof.first, proof.second].map((text) => verifyRecord(text, proof.publicKey, verifier))
  if (a === undefined || b === undefined || !a.ok || !b.ok) return false
  return (
    a.parsed.record.template.pointText === b.parsed.record.template.pointText &&
    a.parsed.record.epoch === b.parsed.record.epoch &&
    a.parsed.record.sequence === b.parsed.record.sequence &&
    a.parsed.hash !== b.parsed.hash
  )
}
