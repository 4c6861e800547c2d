import { hash } from 'node:crypto'
import {
  type ErrorCode,
  type PublicKey,
  parseOcmfText,
  type SignatureVerifier,
  type Verdict,
  verifyParsed,
  WattError,
} from '@wattline/protocol'

/** A record of a range that is not what the chain wants there. */
export interface RangeFault {
  /** Position in the list, from 0. */
  readonly index: number
  readonly code: ErrorCode
  readonly message: string
}

/** What is known of a range; every record without a fault is authentic. */
export interface RangeReport {
  /** In the order of the list. */
  readonly faults: readonly RangeFault[]
  /** How many signatures that took: one, and one more for each place where the chain breaks. */
  readonly signatures: number
  /** What the first record names as its predecessor, and the hash of the last payload; empty where it is no record. */
  readonly firstPrevious: string
  readonly lastHash: string
}

/**
 * SPEC-54: authenticates records of one epoch, in the order of their sequence, by the signature of the last one: each
 * names its predecessor by hash. Where a record is not the one that is named, the range splits there: its own signature
 * tells whether it is false, or whether it is true and something is missing behind it.
 */
export function authenticateRange(texts: readonly string[], key: PublicKey, verifier: SignatureVerifier): RangeReport {
  const faults: RangeFault[] = []
  let signatures = 0
  let wanted: string | undefined
  let previous = ''
  let lastHash = ''
  for (let index = texts.length - 1; index >= 0; index--) {
    const text = texts[index] ?? ''
    const payload = payloadOf(text)
    previous = previousOf(payload)
    const digest = payload === '' ? '' : hash('sha256', payload)
    if (index === texts.length - 1) lastHash = digest
    if (wanted === digest && previous !== '') {
      wanted = previous
      continue
    }
    signatures++
    const verdict = verifyText(text, key, verifier)
    if (!verdict.ok) faults.push({ index, code: verdict.code, message: verdict.message })
    else if (wanted !== undefined) {
      const message = `names ${wanted.slice(0, 8)}, ${digest.slice(0, 8)} stands before it`
      faults.push({ index: index + 1, code: 'chain/missing', message })
    }
    // Behind a false record nothing is named any more: the one before it has to speak for itself.
    wanted = verdict.ok ? previous : undefined
  }
  return { faults: faults.toReversed(), signatures, firstPrevious: previous, lastHash }
}

// The sections of SPEC-10. Whatever else is wrong with a text, its payload has to have the hash that is named.
function payloadOf(text: string): string {
  const end = text.indexOf('|', 5)
  return text.startsWith('OCMF|') && end > 0 ? text.slice(5, end) : ''
}

const previousField = '"XP":"'

// No text field of a payload may hold a quotation mark (SPEC-11), so the name of the field stands there only once.
function previousOf(payload: string): string {
  const at = payload.indexOf(previousField)
  return at < 0 ? '' : payload.slice(at + previousField.length, at + previousField.length + 64)
}

function verifyText(text: string, key: PublicKey, verifier: SignatureVerifier): Verdict {
  try {
    return verifyParsed(parseOcmfText(text), key, verifier)
  } catch (error) {
    if (error instanceof WattError) return { ok: false, code: error.code, message: error.message }
    throw error
  }
}
