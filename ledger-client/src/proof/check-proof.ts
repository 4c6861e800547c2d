import {
  type Anchor,
  asciiToBytes,
  type ErrorCode,
  formatKwh,
  formatPublicKey,
  fromHex,
  hashLeaf,
  type MerkleHash,
  nobleVerifier,
  type ParsedOcmf,
  type PublicKey,
  parseAnchor,
  parseOcmfText,
  rootFromPath,
  type SignatureVerifier,
  toUpperHex,
  verifyParsed,
} from '@wattline/protocol'
import { assetOf, classOf } from '../ledger/accounts.ts'
import { formatAmount } from '../orders/amounts.ts'
import { type Booked, explainBooking } from './check-booking.ts'
import { gatherKeys, type KnownKey } from './check-keys.ts'
import { type EntryContent, parseEntryContent } from './entry-content.ts'
import { attempt, Fault } from './fault.ts'
import { hashUtf8 } from './hash-utf8.ts'
import { recordLeaf } from './leaf.ts'
import { type EntryProof, type ProofFile, parsePath, parseProof, type RecordProof } from './proof-file.ts'

// SPEC-181. Nothing is trusted but the file's own mathematics and the keys that the reader brings along. No import from
// `node:` here or below: the same code is the page that runs in a browser.

/** Keys that the reader knows from elsewhere. */
export interface TrustedKeys {
  readonly ledger?: PublicKey
  /** Of the metering point. */
  readonly point?: PublicKey
}

/** One thing that is proven, or why it is not. */
export interface ProofFinding {
  readonly subject: string
  readonly ok: boolean
  readonly code?: ErrorCode
  /** In plain words. */
  readonly text: string
}

/** What a proof proves, and what it leaves open. */
export interface ProofReport {
  readonly ok: boolean
  readonly findings: readonly ProofFinding[]
  /** In plain words: what nobody may read into it. */
  readonly notProven: readonly string[]
}

/** Checks a proof file. Never throws for a bad one: the report says what is wrong with it. */
export function checkProof(
  content: string,
  keys: TrustedKeys = {},
  verifier: SignatureVerifier = nobleVerifier,
): ProofReport {
  const findings: ProofFinding[] = []
  const notProven: string[] = []
  try {
    const proof = attempt('file', () => parseProof(content))
    const anchor = attempt('ledger', () => parseAnchor(proof.anchor, keys.ledger, verifier))
    findings.push(describeAnchor(anchor, keys))
    new ProofCheck(proof, anchor, { keys, verifier, findings, notProven }).run()
    notProven.push(...leftOpen(anchor, keys))
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    findings.push({ subject: error.subject, ok: false, code: error.code, text: error.message })
  }
  return { ok: findings.every(({ ok }) => ok), findings, notProven }
}

function describeAnchor({ day, ledger, records, entries, hash }: Anchor, keys: TrustedKeys): ProofFinding {
  const what = day === undefined ? 'a head' : `the anchor of ${day}`
  const whose = keys.ledger === undefined ? 'the key that it names' : 'the ledger key that you gave'
  const text =
    `${what} (${hash.slice(0, 16)}...) is signed by ${whose}, ...${formatPublicKey(ledger).slice(-16)}; ` +
    `it fixes ${records.count} records and ${entries.count} journal entries`
  return { subject: 'ledger', ok: true, text }
}

function leftOpen({ day, hash, ledger }: Anchor, keys: TrustedKeys): string[] {
  const spki = formatPublicKey(ledger)
  return [
    ...(keys.ledger === undefined ? [`whose the ledger's key is: compare it with the one that you know: ${spki}`] : []),
    day === undefined
      ? 'that the ledger shows everybody the same: a head is made for one reader; ask again once the day is anchored'
      : `that the ledger shows everybody the same: compare the anchor's hash with the published one of ${day}: ${hash}`,
    'that the meter measures right, and that it measures what its certificate says: that is for seals and inspectors',
  ]
}

interface Report {
  readonly keys: TrustedKeys
  readonly verifier: SignatureVerifier
  readonly findings: ProofFinding[]
  readonly notProven: string[]
}

/** A record that is signed and, where it has a path, kept. */
interface CheckedRecord {
  readonly parsed: ParsedOcmf
  readonly key: KnownKey
}

class ProofCheck {
  readonly #proof: ProofFile
  readonly #anchor: Anchor
  readonly #report: Report
  /** Keys that may have signed the records, and who says so. */
  #keys: readonly KnownKey[] = []

  constructor(proof: ProofFile, anchor: Anchor, report: Report) {
    this.#proof = proof
    this.#anchor = anchor
    this.#report = report
  }

  run(): void {
    const { entry, terms, earlier, point, record, from, between, certificates } = this.#proof
    const booking = entry && this.#checkEntry(entry, 'entry')
    const stated = terms && this.#checkEntry(terms, 'terms')
    const before = (earlier ?? []).map((each) => this.#checkEntry(each, 'earlier terms'))
    if (point === undefined || record === undefined) {
      const besides = [point, record, stated, earlier, from, between, certificates]
      if (booking === undefined || besides.some((each) => each !== undefined)) {
        throw new Fault('file', 'proof/malformed', 'a record with its point, or an entry alone expected')
      }
      this.#prove(nameOf(booking), `is in the journal: ${describeEntry(booking)}`)
      return
    }
    if (stated === undefined) throw new Fault('file', 'proof/mismatch', 'no terms stand beside the record')
    if (from === undefined && between !== undefined) {
      throw new Fault('file', 'proof/malformed', 'records between two, but not the first of the two')
    }
    const { point: given } = this.#report.keys
    this.#keys = gatherKeys({ point, stated: [...before, stated], certificates: certificates ?? [], given })
    const last = this.#checkRecord(point, record, 'the record')
    const first = from && this.#checkRecord(point, from, 'the record before')
    const middle = (between ?? []).map((text, at) =>
      this.#checkSigned(point, text, `${point}, between number ${at + 1}`),
    )
    const unbroken = first !== undefined && this.#checkRange(point, first, middle, last)
    this.#tellTrust(unbroken && last.key.vouched ? [] : [...(first === undefined ? [] : [first]), ...middle, last])
    if (booking === undefined) return
    const facts: Booked = {
      point,
      booking,
      stated,
      before,
      last: last.parsed.record,
      first: first?.parsed.record,
      between: unbroken ? middle.map(({ parsed }) => parsed.record) : undefined,
    }
    const { proven, open } = attempt(nameOf(booking), () => explainBooking(facts))
    for (const text of proven) this.#prove(nameOf(booking), text)
    this.#report.notProven.push(...open)
  }

  // A record that the given key's own records name by hash needs no other word; for any other key the journal speaks.
  #tellTrust(records: readonly CheckedRecord[]): void {
    if (this.#report.keys.point === undefined) return
    const strangers = records.filter(({ key }) => !key.vouched).map(({ key }) => key)
    for (const { key, source } of new Set(strangers)) {
      const name = `...${formatPublicKey(key).slice(-16)}`
      this.#report.notProven.push(`that ${name} was its key: ${source} says so; the key that you gave does not`)
    }
  }

  #prove(subject: string, text: string): void {
    this.#report.findings.push({ subject, ok: true, text })
  }

  #checkEntry({ content, previous, path }: EntryProof, what: string): EntryContent {
    const leaf = hashLeaf(fromHex(hashUtf8(previous + content)) ?? new Uint8Array())
    // The place is told by the content, so the content is read before it is proven, and nothing is concluded from it.
    const read = attempt(what, () => parseEntryContent(content))
    this.#checkPath(`journal entry ${read.id}`, leaf, { index: read.id - 1, path }, 'entries')
    return read
  }

  #checkPath(
    subject: string,
    leaf: MerkleHash,
    { index, path }: { readonly index: number; readonly path: string },
    tree: 'records' | 'entries',
  ): void {
    const { count, root } = this.#anchor[tree]
    const found = rootFromPath({ leaf, index, size: count, path: parsePath(path) })
    if (found !== undefined && toUpperHex(found).toLowerCase() === root) return
    const message = `it is not number ${index + 1} of the ${count} ${tree} under the anchor: it, its number or its path was altered`
    throw new Fault(subject, 'proof/not-included', message)
  }

  #checkRecord(point: string, { index, text, path }: RecordProof, what: string): CheckedRecord {
    const subject = `${point}, ${what}`
    const signed = this.#checkSigned(point, text, subject)
    this.#checkPath(subject, recordLeaf(point, text), { index, path }, 'records')
    const { source, key } = signed.key
    const { epoch, sequence, takenAt } = signed.parsed.record
    this.#prove(
      `${point} ${epoch}/${sequence}`,
      `${what} is signed by ${source}, ...${formatPublicKey(key).slice(-16)}, and is number ${index + 1} of the ` +
        `archive: ${describeReading(signed.parsed)} at ${new Date(takenAt).toISOString()}`,
    )
    return signed
  }

  #checkSigned(point: string, text: string, subject: string): CheckedRecord {
    attempt(subject, () => asciiToBytes(text))
    const parsed = attempt(subject, () => parseOcmfText(text))
    let verdict = 'no key for it, neither in the file nor given'
    let code: ErrorCode = 'record/wrong-key'
    for (const known of this.#keys) {
      const result = verifyParsed(parsed, known.key, this.#report.verifier)
      if (result.ok) return { parsed: checkPoint(parsed, subject, point), key: checkValidity(known, parsed, subject) }
      ;[verdict, code] = [result.message, result.code]
    }
    throw new Fault(subject, code, verdict)
  }

  // SPEC-35 between the two records: each names the one before it by its hash.
  #checkRange(point: string, first: CheckedRecord, middle: readonly CheckedRecord[], last: CheckedRecord): boolean {
    const all = [first, ...middle, last]
    const missing = last.parsed.record.sequence - first.parsed.record.sequence - 1
    if (middle.length === 0 && missing > 0) {
      this.#report.notProven.push(`what the ${missing} records between the two say: they are not in the file`)
      return false
    }
    for (const [at, { parsed }] of all.entries()) {
      const before = all[at - 1]
      if (before !== undefined && parsed.record.previousHash !== before.parsed.hash) {
        const message = `record ${parsed.record.epoch}/${parsed.record.sequence} does not follow from the one before it`
        throw new Fault(point, 'chain/missing', message)
      }
    }
    this.#prove(point, 'nothing is missing between the two: each record names the one before it by its hash')
    return true
  }
}

// A key may have signed for another point, too. What a record says of an EVSE is the charging station's own name for it.
function checkPoint(parsed: ParsedOcmf, subject: string, point: string): ParsedOcmf {
  const { pointType, pointText } = parsed.record.template
  if (pointType === 'EVSEID' || pointText === point.replace('/', ' ')) return parsed
  throw new Fault(subject, 'chain/foreign', `it is a record of '${pointText}'`)
}

// SPEC-95: a key that has named its successor says nothing more.
function checkValidity(known: KnownKey, { record }: ParsedOcmf, subject: string): KnownKey {
  const { last } = known
  if (last === undefined || record.epoch < last.epoch) return known
  if (record.epoch === last.epoch && record.sequence <= last.sequence) return known
  const text = `record ${record.epoch}/${record.sequence} is signed by a key that ended at ${last.epoch}/${last.sequence}`
  throw new Fault(subject, 'point/revoked', text)
}

function nameOf({ id }: EntryContent): string {
  return `journal entry ${id}`
}

/** An entry in words. */
export function describeEntry({ kind, at, claim, point, postings }: EntryContent): string {
  const moves = postings.map(
    ({ account, amount }) => `${account} ${amount > 0n ? '+' : ''}${describeAmount(account, amount)}`,
  )
  const what = [kind, claim ?? point ?? ''].filter((word) => word !== '').join(' ')
  return `${what}, made at ${new Date(at).toISOString()}${moves.length === 0 ? ', moves nothing' : `: ${moves.join(', ')}`}`
}

function describeAmount(account: string, amount: bigint): string {
  return classOf(account) === undefined ? `${amount} of no known kind` : formatAmount(amount, assetOf(account))
}

function describeReading({ record }: ParsedOcmf): string {
  const parts = (['import', 'export'] as const).flatMap((name) => {
    const wh = record.registers[name]
    return wh === undefined ? [] : [`${name} register ${formatKwh(wh)} kWh`]
  })
  return parts.length === 0 ? `no energy (${record.state})` : parts.join(', ')
}
