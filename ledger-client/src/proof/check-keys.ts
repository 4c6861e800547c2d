import {
  formatPublicKey,
  isSuccessor,
  type PublicKey,
  parseCertificate,
  parsePublicKey,
  parseRotation,
  samePublicKey,
  WattError,
} from '@wattline/protocol'
import type { Place } from '../points/registry.ts'
import { type EntryContent, parseTerms } from './entry-content.ts'
import { attempt, Fault } from './fault.ts'

// SPEC-181, SPEC-184: which keys may have signed the records of a proof, and who says so. Runs in a browser too.

/** A key that speaks for the point. */
export interface KnownKey {
  readonly key: PublicKey
  /** In plain words, after "signed by". */
  readonly source: string
  /** The last place that it is valid for, where another key followed. */
  readonly last?: Place
  /** Whether the reader's own key vouches for it: it is that key, or one that it has led to. */
  readonly vouched: boolean
}

/** What a proof says of keys. */
export interface KeySources {
  readonly point: string
  /** Entries of the journal that state terms of the point, oldest first. */
  readonly stated: readonly EntryContent[]
  readonly certificates: readonly string[]
  /** The key that the reader knows from elsewhere. */
  readonly given: PublicKey | undefined
}

/** A key's own word on its successor, from the journal entry that followed from it. */
interface Succession {
  readonly from: PublicKey
  readonly to: PublicKey
  readonly last: Place
}

interface StatedKey {
  readonly key: PublicKey
  readonly entry: number
}

/**
 * The keys that the journal enrols, or the given one and those that the journal puts beside it. A certificate alone
 * makes no key: whoever has any key can sign one.
 */
export function gatherKeys({ point, stated, certificates, given }: KeySources): readonly KnownKey[] {
  for (const { point: of, id, kind } of stated) {
    if (of === point && (kind === 'enrolment' || kind === 'rotation')) continue
    throw new Fault(`journal entry ${id}`, 'proof/mismatch', `${kind} of '${of}': it states no terms of '${point}'`)
  }
  const successions = stated.flatMap((entry) => attempt(`journal entry ${entry.id}`, () => readSuccession(entry)))
  const enrolled = listStated(stated, successions)
  const certified = certificates.map((text, at) => readOwnCertificate(point, text, `certificate ${at + 1}`))
  for (const [at, key] of certified.entries()) {
    if (given === undefined && !enrolled.some((each) => samePublicKey(each.key, key))) {
      throw new Fault(`certificate ${at + 1}`, 'record/wrong-key', 'no journal entry in the file enrols its key')
    }
  }
  const lastOf = (key: PublicKey) => {
    const last = successions.find(({ from }) => samePublicKey(from, key))?.last
    return last === undefined ? {} : { last }
  }
  if (given === undefined) {
    return enrolled.map(({ key, entry }) => {
      const isCertified = certified.some((each) => samePublicKey(each, key))
      const source = isCertified ? 'the key of its certificate' : `the key of journal entry ${entry}`
      return { key, source, vouched: false, ...lastOf(key) }
    })
  }
  const own = { key: given, source: 'the key that you gave', vouched: true, ...lastOf(given) }
  // Another meter's key vouches for nothing here, whatever else the file says.
  if (!enrolled.some(({ key }) => samePublicKey(key, given))) return [own]
  const followers = listFollowers(given, successions)
  const others = enrolled.filter(({ key }) => !samePublicKey(key, given))
  return [
    own,
    ...others.map(({ key, entry }) => {
      const vouched = followers.some((each) => samePublicKey(each, key))
      const source = vouched ? 'a key that the one that you gave has named' : `the key of journal entry ${entry}`
      return { key, source, vouched, ...lastOf(key) }
    }),
  ]
}

function readOwnCertificate(point: string, text: string, subject: string): PublicKey {
  const certificate = attempt(subject, () => parseCertificate(text))
  if (certificate.point === point) return certificate.key
  throw new Fault(subject, 'proof/mismatch', `it is of '${certificate.point}', the records are of '${point}'`)
}

// SPEC-95. The entry must say what the key said: the ledger's word alone moves no key.
function readSuccession(entry: EntryContent): Succession[] {
  if (entry.kind !== 'rotation') return []
  const { key, documents = [] } = parseTerms(entry)
  const word = documents.find((text) => text.startsWith('WATT-ROTATION|'))
  const certificate = documents.find((text) => text.startsWith('WATT-CERT|'))
  if (word === undefined || certificate === undefined || key === undefined) {
    throw new WattError('proof/mismatch', 'a rotation without the word of the key that went, or without a certificate')
  }
  const [rotation, next] = [parseRotation(word), parseCertificate(certificate)]
  if (rotation.point !== entry.point || !isSuccessor(rotation, next) || formatPublicKey(next.key) !== key) {
    throw new WattError('proof/mismatch', 'a rotation to another key than the one that the documents name')
  }
  const { epoch, sequence } = rotation.last
  return [{ from: rotation.key, to: next.key, last: { epoch, sequence } }]
}

// Oldest first, each key once, with the entry that says it last.
function listStated(stated: readonly EntryContent[], successions: readonly Succession[]): readonly StatedKey[] {
  const rotations = stated.filter(({ kind }) => kind === 'rotation')
  const gone = successions.map(({ from }, at) => ({ key: from, entry: rotations[at]?.id ?? 0 }))
  const named = stated.flatMap((entry) => {
    const { key } = attempt(`journal entry ${entry.id}`, () => parseTerms(entry))
    return key === undefined
      ? []
      : [{ key: attempt(`journal entry ${entry.id}`, () => parsePublicKey(key)), entry: entry.id }]
  })
  const all = [...gone, ...named]
  return all.filter(({ key }, at) => !all.slice(at + 1).some((later) => samePublicKey(later.key, key)))
}

function listFollowers(from: PublicKey, successions: readonly Succession[]): readonly PublicKey[] {
  const next = successions.find((each) => samePublicKey(each.from, from))
  return next === undefined
    ? []
    : [
        next.to,
        ...listFollowers(
          next.to,
          successions.filter((each) => each !== next),
        ),
      ]
}
