import * as v from 'valibot'
import {
  formatPublicKey,
  isLowS,
  type PublicKey,
  parsePublicKey,
  type SignatureVerifier,
  type Signer,
  samePublicKey,
} from './attestation.ts'
import { decodeWith, integerBetween } from './decode.ts'
import { isSignedBy, parseDocument, signDocument } from './document.ts'
import { WattError } from './errors.ts'

/** A Merkle tree as an anchor fixes it: everything up to a count. */
export interface TreeHead {
  readonly count: number
  /** The root over the first `count` leaves, in lower-case hex. */
  readonly root: string
}

/** What a ledger says of its whole past, signed: no record and no journal entry up to there can change unseen (SPEC-98). */
export interface Anchor {
  /** The key of the ledger that signed it. */
  readonly ledger: PublicKey
  /** The UTC day that it closes, as `2026-11-21`. Absent: a head, given on demand between two anchors. */
  readonly day?: string
  readonly records: TreeHead
  /** With the hash of the last entry, which names all before it. */
  readonly entries: TreeHead & { readonly head: string }
  /** The hash of the anchor before; of the first one, zeros. */
  readonly previous: string
  /** SHA-256 of the signed body. */
  readonly hash: string
  readonly text: string
}

/** What goes into an anchor; the key is the signer's. */
export type AnchorFacts = Omit<Anchor, 'ledger' | 'hash' | 'text'>

/** What the first anchor names as its predecessor, and the first journal entry as its own. */
export const noHash = '0'.repeat(64)

const hash = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))
const count = integerBetween(0, Number.MAX_SAFE_INTEGER)
const shape = v.strictObject({
  v: v.literal(1),
  /** SPKI hex of the ledger's key. */
  ledger: v.string(),
  day: v.exactOptional(v.pipe(v.string(), v.isoDate())),
  records: v.strictObject({ count, root: hash }),
  entries: v.strictObject({ count, root: hash, head: hash }),
  previous: hash,
})

/** Signs an anchor. The same facts and key always give the same text. */
export function formatAnchor({ day, records, entries, previous }: AnchorFacts, signer: Signer): string {
  const content = {
    v: 1,
    ledger: formatPublicKey(signer.publicKey),
    day,
    records: { count: records.count, root: records.root },
    entries: { count: entries.count, root: entries.root, head: entries.head },
    previous,
  }
  return signDocument('WATT-ANCHOR', content, signer)
}

/** Parses an anchor and checks that the key it names has signed it, and that this is the trusted one where one is given. */
export function parseAnchor(text: string, trusted?: PublicKey, verifier?: SignatureVerifier): Anchor {
  const document = parseDocument('WATT-ANCHOR', text, 'anchor/invalid')
  const content = decodeWith(shape, document.content, 'anchor', 'anchor/invalid')
  const name = content.day === undefined ? 'head' : `anchor of ${content.day}`
  const ledger = parsePublicKey(content.ledger)
  if (trusted !== undefined && !samePublicKey(ledger, trusted)) {
    throw new WattError('anchor/invalid', `${name}: not from the ledger that is trusted here`)
  }
  if (!isLowS(document.signature) || !isSignedBy(document, ledger, verifier)) {
    throw new WattError('anchor/invalid', `${name}: not signed by the key it names`)
  }
  const { v: _version, day, ...rest } = content
  return { ...rest, ledger, ...(day === undefined ? {} : { day }), hash: document.hash, text }
}
