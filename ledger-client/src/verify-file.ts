import {
  type Certificate,
  formatKwh,
  formatPublicKey,
  isEquivocation,
  type KeyRotation,
  type ParsedOcmf,
  type PublicKey,
  parseCertificate,
  parseOcmfText,
  parsePublicKey,
  parseRotation,
  readingStates,
  type SignatureVerifier,
  samePublicKey,
  verifyParsed,
  verifyRange,
  WattError,
} from '@wattline/protocol'
import { verifyForeignRecord } from './verifiers/foreign.ts'
import { isOrderLine, verifyOrders } from './verify-orders.ts'

/** Keys that the reader brought along. */
export interface KnownKeys {
  /** For everything in the file, SPKI in hex or base64. */
  readonly any?: string
  /** By meter id, as `wattline-gateway keys` prints them. */
  readonly byMeter: ReadonlyMap<string, PublicKey>
}

/** What is proven of one metering point, or of one record of another maker. */
export interface Finding {
  readonly subject: string
  readonly ok: boolean
  /** In plain words. */
  readonly text: string
}

interface Line {
  readonly number: number
  readonly text: string
  readonly parsed: ParsedOcmf | undefined
}

/** Checks everything in a file of certificates and records; nothing but the file and the keys is trusted. */
export function verifyFile(content: string, keys: KnownKeys, verifier: SignatureVerifier): readonly Finding[] {
  const lines = content.split(/\r?\n/).map((text, index) => readLine(text.trim(), index + 1))
  const records = lines.filter(({ text }) => text.startsWith('OCMF|'))
  const certificates: Certificate[] = []
  const rotations: KeyRotation[] = []
  const findings: Finding[] = []
  const strange: Line[] = []
  for (const line of lines) {
    const { text } = line
    if (text === '' || text.startsWith('#') || text.startsWith('OCMF|') || isOrderLine(text)) continue
    try {
      if (text.startsWith('WATT-ROTATION|')) rotations.push(parseRotation(text))
      else if (text.startsWith('WATT-CERT|')) certificates.push(parseCertificate(text))
      else strange.push(line)
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      findings.push({ subject: `line ${line.number}`, ok: false, text: `${error.message} (${error.code})` })
    }
  }
  findings.push(...describeStrange(strange))
  findings.push(
    ...verifyOrders(
      lines.filter(({ text }) => isOrderLine(text)),
      verifier,
    ),
  )
  const { any } = keys
  if (any !== undefined && records.every(({ parsed }) => parsed === undefined)) {
    return [...findings, ...records.map((line) => verifyForeignLine(line, any))]
  }
  for (const [subject, group] of groupByPoint(records)) {
    findings.push(...verifyPoint(subject, group, { certificates, rotations, keys, verifier }))
  }
  return findings
}

// A file of another kind has thousands of such lines: a few of them tell which file it is.
function describeStrange(lines: readonly Line[]): Finding[] {
  const shown = lines.slice(0, 5).map(({ number, text }) => {
    const kind = /^WATT-[A-Z]{1,20}(?=\|)/.exec(text)?.[0]
    const what = kind === undefined ? `'${text.slice(0, 60)}'` : `a ${kind}, which is not checked here`
    return {
      subject: `line ${number}`,
      ok: false,
      text: `no record, certificate, order or answer, and no proof or anchor by itself: ${what}`,
    }
  })
  const more = lines.length - shown.length
  return more === 0 ? shown : [...shown, { subject: 'file', ok: false, text: `${more} more such lines` }]
}

function readLine(text: string, number: number): Line {
  try {
    return { number, text, parsed: text.startsWith('OCMF|') ? parseOcmfText(text) : undefined }
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    return { number, text, parsed: undefined }
  }
}

function verifyForeignLine({ number, text }: Line, key: string): Finding {
  const result = verifyForeignRecord(text, key)
  const subject = `line ${number}`
  return result.verdict === 'valid'
    ? { subject, ok: true, text: `the record of another maker is valid: signed on ${result.curve} by the given key` }
    : { subject, ok: false, text: `the record of another maker is not valid: ${result.reason}` }
}

// A damaged record belongs to the point that it still names, or to that of the line before it.
function groupByPoint(records: readonly Line[]): ReadonlyMap<string, Line[]> {
  const groups = new Map<string, Line[]>()
  let last = 'unknown point'
  const known = new Set(
    records.flatMap(({ parsed }) => (parsed === undefined ? [] : [parsed.record.template.pointText])),
  )
  for (const line of records) {
    const named = /"CI":"([^"]*)"/.exec(line.text)?.[1] ?? ''
    const subject = line.parsed?.record.template.pointText ?? (known.has(named) ? named : last)
    const group = groups.get(subject)
    if (group === undefined) groups.set(subject, [line])
    else group.push(line)
    last = subject
  }
  return groups
}

interface Evidence {
  readonly certificates: readonly Certificate[]
  readonly rotations: readonly KeyRotation[]
  readonly keys: KnownKeys
  readonly verifier: SignatureVerifier
}

function verifyPoint(subject: string, lines: readonly Line[], evidence: Evidence): Finding[] {
  const parsed = lines.flatMap((line) => line.parsed ?? [])
  const candidates = candidateKeys(subject, parsed, evidence)
  if (candidates.keys.length === 0) {
    const text = `${lines.length} records, nothing proven: no key for it, neither in the file nor given`
    return [{ subject, ok: false, text }]
  }
  const found = new Map<number, PublicKey | undefined>()
  // Asked for each record, and the same for all of an epoch.
  const keyOf = (epoch: number) => {
    if (found.has(epoch)) return found.get(epoch)
    const valid = candidates.keys.filter((key) => epoch <= lastEpochOf(key, evidence.rotations))
    const key = findKey(parsed, epoch, valid, evidence.verifier)
    found.set(epoch, key)
    return key
  }
  const first = parsed.reduce<ParsedOcmf | undefined>(
    (low, each) => (low === undefined || each.record.sequence < low.record.sequence ? each : low),
    undefined,
  )
  const anchor = evidence.certificates.find(({ hash }) => hash === first?.record.previousHash)
  const own = evidence.certificates.find(({ point }) => point.replace('/', ' ') === subject)
  const begins = anchor?.hash ?? (first?.record.sequence === 1 ? own?.hash : undefined)
  const verdict = verifyRange(
    lines.map(({ text }) => text),
    { pointText: subject, keyOf, ...(begins === undefined ? {} : { previousHash: begins }) },
    evidence.verifier,
  )
  const lies = findEquivocations(subject, lines, keyOf, evidence.verifier)
  if (!verdict.ok) {
    const where = lines[verdict.index] === undefined ? 'at the end' : `line ${lines[verdict.index]?.number}`
    const message = verdict.message.replace(/^position \d+: /, '')
    const text = `not complete: ${where}, where record ${verdict.expectedSequence} is expected: ${message} (${verdict.code})`
    return [{ subject, ok: false, text }, ...lies]
  }
  const { firstSequence, lastSequence, count } = verdict
  const start = describeStart(firstSequence, begins)
  const key = keyOf(parsed.at(-1)?.record.epoch ?? 0)
  // The earlier keys' records are named by hash, up to one of a key that is known: without such a one they prove nothing.
  if (key !== undefined && candidates.vouched.every((each) => !samePublicKey(each, key))) {
    const text = `${count} records, nothing proven: the last is signed by ...${formatPublicKey(key).slice(-16)}, an earlier key than the given one`
    return [{ subject, ok: false, text }, ...lies]
  }
  const name = key === undefined ? '' : `, signed by ${candidates.source}, ...${formatPublicKey(key).slice(-16)}`
  const text = `complete from ${firstSequence} to ${lastSequence}: ${count} records, ${start}${name}${describeRegisters(parsed)}`
  return [{ subject, ok: lies.length === 0, text }, ...lies]
}

function describeStart(sequence: number, certificate: string | undefined): string {
  if (certificate !== undefined) return 'it begins at its certificate'
  return sequence === 1
    ? 'it begins at its first record, whose certificate is not in the file'
    : `what came before ${sequence} is not in the file`
}

// A certificate or a line of keys speaks for the point that it names. Only an EVSE is named otherwise in its records:
// its certificate is the one that its chain begins with.
function candidateKeys(subject: string, parsed: readonly ParsedOcmf[], evidence: Evidence): Candidates {
  const { certificates, rotations, keys } = evidence
  const meter = keys.byMeter.get(subject.split(' ')[1] ?? '')
  const given = [
    ...(keys.any === undefined ? [] : [readAnyKey(keys.any, '--key')]),
    ...(meter === undefined ? [] : [meter]),
  ]
  const isEvse = parsed[0]?.record.template.pointType === 'EVSEID'
  const links = new Set(isEvse ? parsed.map(({ record }) => record.previousHash) : [])
  const own = certificates.filter(({ point, hash }) => point.replace('/', ' ') === subject || links.has(hash))
  const certified = own.map(({ key }) => key)
  if (given.length === 0)
    return { keys: certified, vouched: certified, source: 'the key of the certificate in the file' }
  const steps = rotations.flatMap(({ key: from, certificate }) => {
    const to = own.find(({ hash }) => hash === certificate)?.key
    return to === undefined ? [] : [{ from, to }]
  })
  const vouched = follow(given, steps)
  const before = follow(
    given,
    steps.map(({ from, to }) => ({ from: to, to: from })),
  )
  return { keys: [...vouched, ...before.slice(given.length)], vouched, source: 'the given key' }
}

interface Candidates {
  readonly keys: readonly PublicKey[]
  /** Those that the reader knows, and those that these have named. */
  readonly vouched: readonly PublicKey[]
  readonly source: string
}

interface Step {
  readonly from: PublicKey
  readonly to: PublicKey
}

function follow(from: readonly PublicKey[], steps: readonly Step[]): readonly PublicKey[] {
  const reached = [...from]
  // The list grows while it is walked.
  for (const key of reached) {
    const next = steps.filter((step) => samePublicKey(step.from, key)).map(({ to }) => to)
    reached.push(...next.filter((each) => !reached.some((known) => samePublicKey(known, each))))
  }
  return reached
}

// SPEC-95: a key that has named its successor says nothing more; the next one opens an epoch.
function lastEpochOf(key: PublicKey, rotations: readonly KeyRotation[]): number {
  return rotations.find((word) => samePublicKey(word.key, key))?.last.epoch ?? Number.POSITIVE_INFINITY
}

/** A key as its reader wrote it down: SPKI in hex or base64. */
export function readAnyKey(text: string, option: string): PublicKey {
  const hex = /^[0-9A-Fa-f]+$/.test(text) ? text : Buffer.from(text, 'base64').toString('hex')
  try {
    return parsePublicKey(hex)
  } catch (cause) {
    const message = `${option}: a secp256k1 key as SPKI in hex or base64 expected, got '${text.slice(0, 40)}'`
    throw new WattError('key/unreadable', message, { cause })
  }
}

function findKey(
  parsed: readonly ParsedOcmf[],
  epoch: number,
  candidates: readonly PublicKey[],
  verifier: SignatureVerifier,
): PublicKey | undefined {
  if (candidates.length === 1) return candidates[0]
  const first = parsed.find(({ record }) => record.epoch === epoch)
  return candidates.find((key) => first !== undefined && verifyParsed(first, key, verifier).ok) ?? candidates[0]
}

// SPEC-36: two different records at one place, both signed by the point's key.
function findEquivocations(
  subject: string,
  lines: readonly Line[],
  keyOf: (epoch: number) => PublicKey | undefined,
  verifier: SignatureVerifier,
): Finding[] {
  const seen = new Map<string, Line>()
  return lines.flatMap((line) => {
    if (line.parsed === undefined) return []
    const { epoch, sequence } = line.parsed.record
    const place = `${epoch}/${sequence}`
    const other = seen.get(place)
    if (other === undefined) {
      seen.set(place, line)
      return []
    }
    if (line.parsed.hash === other.parsed?.hash) return []
    const publicKey = keyOf(epoch)
    if (publicKey === undefined || !isEquivocation({ publicKey, first: other.text, second: line.text }, verifier))
      return []
    const text = `its key signed two different records ${place}: lines ${other.number} and ${line.number} (record/equivocation)`
    return [{ subject, ok: false, text }]
  })
}

function describeRegisters(parsed: readonly ParsedOcmf[]): string {
  const sound = parsed.filter(({ record }) => ['sound', 'wrapped', 'base'].includes(readingStates[record.state].energy))
  const [first, last] = [sound[0]?.record.registers, sound.at(-1)?.record.registers]
  const parts = (['import', 'export'] as const).flatMap((name) => {
    const [from, to] = [first?.[name], last?.[name]]
    return from === undefined || to === undefined
      ? []
      : [`${name} register from ${formatKwh(from)} to ${formatKwh(to)} kWh`]
  })
  return parts.length === 0 ? '' : `; ${parts.join(', ')}`
}
