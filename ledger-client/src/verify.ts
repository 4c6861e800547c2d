import {
  bytesToAscii,
  decodeFrame,
  type ErrorCode,
  formatTopic,
  isFrame,
  type ParsedOcmf,
  type PublicKey,
  parseDocument,
  parseOcmfText,
  parsePointId,
  parsePublicKey,
  readFrameHead,
  type SignatureVerifier,
  verifyParsed,
  WattError,
} from '@wattline/protocol'
import type { Enrolment } from './points/enrolment.ts'
import { isAfter, type Place, type Point, type PointKey } from './points/registry.ts'
import type { Quarantine } from './store/quarantine.ts'
import type { Records } from './store/records.ts'

/** A record that takes its place at the end of a point's chain. */
export interface Acceptance {
  readonly kind: 'accept'
  readonly parsed: ParsedOcmf
  readonly text: string
  readonly full: boolean
  /** Set where the record opens an epoch. */
  readonly entry?: EpochEntry
}

/** How a new epoch hangs on to what was accepted before. */
export interface EpochEntry {
  readonly key: PointKey
  /** The accepted place that it names, if it is not the head: the gateway came back from an older memory. */
  readonly fork?: Place
  /** Sequences that are missing between the named place and the new record. */
  readonly gap?: { readonly from: number; readonly to: number }
}

/** A message that cannot be used. */
export interface Refused {
  readonly kind: 'refuse'
  readonly code: ErrorCode
  readonly message: string
  /** The record's place, where the point itself said so: a forged text must not name a record of the gateway's. */
  readonly place?: Place
  /** A full text would show what a frame could not. */
  readonly resend?: boolean
}

/** What a record's bytes are, seen from the head of their metering point. Bad input is a verdict, never an exception. */
export type Judgement =
  | Acceptance
  | { readonly kind: 'replay' }
  | { readonly kind: 'hold'; readonly place?: Place; readonly hash?: string; readonly previousHash?: string }
  | {
      readonly kind: 'equivocation'
      readonly place: Place
      readonly key: PointKey
      readonly first: string
      readonly second: string
    }
  | Refused

/** What a judge looks things up in. */
export interface JudgeContext {
  readonly records: Records
  readonly enrolment: Enrolment
  readonly quarantine: Quarantine
  readonly verifier: SignatureVerifier
  /** The key that an epoch is bound to, once it is entered. */
  keyOfEpoch(point: Point, epoch: number): PointKey | undefined
}

/** Judges the payload of a record topic (SPEC-61, SPEC-82). */
export function judge(point: Point, payload: Uint8Array, context: JudgeContext): Judgement {
  try {
    if (isFrame(payload)) return judgeFrame(point, payload, context)
    const text = bytesToAscii(payload)
    if (text === undefined || !text.startsWith('O')) {
      const start = Buffer.from(payload.subarray(0, 8)).toString('hex')
      return refuse(
        'message/unreadable',
        `${point.id}: neither a text nor a frame, ${payload.length} bytes from ${start}`,
      )
    }
    return judgeText(point, parseOcmfText(text), { text, full: true }, context)
  } catch (error) {
    if (!(error instanceof WattError) || error.code.startsWith('storage/')) throw error
    return refuse(error.code, `${point.id}: ${error.message}`)
  }
}

interface Source {
  readonly text: string
  readonly full: boolean
}

function judgeText(point: Point, parsed: ParsedOcmf, source: Source, context: JudgeContext): Judgement {
  const { record, hash } = parsed
  const place: Place = { epoch: record.epoch, sequence: record.sequence }
  const { gatewayId, meterId } = parsePointId(point.id)
  if (record.template.pointType === 'CBIDC' && record.template.pointText !== `${gatewayId} ${meterId}`) {
    return refuse('chain/foreign', `${point.id}: a record of '${record.template.pointText}'`)
  }
  const stored = isBeyondHead(point, place) ? undefined : context.records.at(point, place)
  if (stored?.hash === hash) return { kind: 'replay' }
  if (point.frozen !== undefined) {
    return refuse('point/frozen', `${name(point, place)}: the point is frozen, journal entry ${point.frozen}`, place)
  }
  const key = findKey(point, parsed, context)
  if ('code' in key) return key
  const rival = stored?.text ?? rivalText(point, parsed, key, context)
  if (rival !== undefined) return { kind: 'equivocation', place, key, first: rival, second: source.text }
  if (key.last !== undefined && isAfter(place, key.last)) {
    const last = `${key.last.epoch}/${key.last.sequence}`
    return refuse('point/revoked', `${name(point, place)}: the key is valid up to ${last}`, place)
  }
  return judgePlace(point, parsed, source, key, context)
}

function isBeyondHead(point: Point, place: Place): boolean {
  return point.head === undefined || isAfter(place, point.head)
}

// SPEC-36: by the same key. What waits in an epoch that nobody has entered yet may be another key's, and two keys tell no
// two stories: whoever has copied a key that has gone could have the point frozen else.
function rivalText(point: Point, { record, hash }: ParsedOcmf, { key }: PointKey, context: JudgeContext) {
  const rivals = context.records.heldRivals(point, record, hash).filter((bytes) => !isFrame(bytes))
  const texts = rivals.flatMap((bytes) => bytesToAscii(bytes) ?? [])
  return texts.find((text) => verifyParsed(parseOcmfText(text), key, context.verifier).ok)
}

// An epoch belongs to the key that opened it. A new one may be opened by the latest key, or by an older one as long
// as no later key has spoken: what it signed before the change may still be on its way.
function candidateKeys(point: Point, epoch: number, { keyOfEpoch }: JudgeContext): readonly PointKey[] {
  const bound = keyOfEpoch(point, epoch)
  if (bound !== undefined) return [bound]
  const current = point.head === undefined ? undefined : keyOfEpoch(point, point.head.epoch)
  const from = point.keys.findIndex(({ rowId }) => rowId === current?.rowId)
  return point.keys.slice(Math.max(0, from)).toReversed()
}

function findKey(point: Point, parsed: ParsedOcmf, context: JudgeContext): PointKey | Refused {
  let refusal = refuse('record/wrong-key', `${point.id}: no key is enrolled`)
  for (const key of candidateKeys(point, parsed.record.epoch, context)) {
    const verdict = verifyParsed(parsed, key.key, context.verifier)
    if (verdict.ok) return key
    refusal = refuse(verdict.code, `${point.id}: ${verdict.message}`)
  }
  if (refusal.code !== 'record/bad-signature') return refusal
  return wasSignedByRefusedKey(point, parsed, context)
    ? refuse('record/wrong-key', `${refusal.message}, but by one whose certificate was refused`)
    : refusal
}

// Tells an installer apart "another device answers under this name" from "bytes were damaged".
function wasSignedByRefusedKey(point: Point, parsed: ParsedOcmf, { quarantine, verifier }: JudgeContext): boolean {
  const topic = formatTopic({ kind: 'certificate', ...parsePointId(point.id) })
  return quarantine.refused(topic, 'record/wrong-key').some((bytes) => {
    const key = keyNamedIn(bytes)
    return key !== undefined && verifyParsed(parsed, key, verifier).ok
  })
}

// The certificate was parsed and checked when it was refused; only its key is of interest now.
function keyNamedIn(certificate: Uint8Array): PublicKey | undefined {
  const { content } = parseDocument('WATT-CERT', bytesToAscii(certificate) ?? '', 'certificate/invalid')
  const spki: unknown = typeof content === 'object' && content !== null ? Reflect.get(content, 'key') : undefined
  return typeof spki === 'string' ? parsePublicKey(spki) : undefined
}

function judgePlace(point: Point, parsed: ParsedOcmf, source: Source, key: PointKey, context: JudgeContext): Judgement {
  const { record, hash } = parsed
  const { epoch, sequence, previousHash } = record
  const { head } = point
  const place: Place = { epoch, sequence }
  const where = name(point, place)
  // A text in context T is no base for frames (SPEC-40).
  const accepted = { ...source, full: source.full && record.context === 'F' }
  if (head !== undefined && epoch < head.epoch) {
    return refuse('record/epoch-closed', `${where}: epoch ${epoch} ended when ${head.epoch} began`, place)
  }
  if (head !== undefined && epoch === head.epoch) {
    if (sequence > head.sequence + 1) return { kind: 'hold', place, hash, previousHash }
    if (sequence === head.sequence + 1 && previousHash === head.hash) return { kind: 'accept', parsed, ...accepted }
    const problem = `names ${previousHash.slice(0, 8)}, the head is ${head.sequence} with ${head.hash.slice(0, 8)}`
    return refuse('chain/broken', `${where}: ${problem}`, place)
  }
  if (point.terms.maxPowerW === undefined) return { kind: 'hold', place, hash, previousHash }
  const named = findNamed(point, previousHash, context)
  if (named === undefined) return { kind: 'hold', place, hash, previousHash }
  if (sequence <= named.sequence) {
    return refuse('chain/broken', `${where}: follows ${named.sequence} by the hash it names`, place)
  }
  const fork = named.isHead ? {} : { fork: { epoch: named.epoch, sequence: named.sequence } }
  const isNext = sequence === named.sequence + 1
  const gap = isNext ? {} : { gap: { from: named.sequence + 1, to: sequence - 1 } }
  return { kind: 'accept', parsed, ...accepted, entry: { key, ...fork, ...gap } }
}

// SPEC-82: an epoch begins at an accepted record or at the certificate; place 0/0 stands for the certificate.
function findNamed(
  point: Point,
  hash: string,
  { records, enrolment }: JudgeContext,
): (Place & { isHead: boolean }) | undefined {
  const { head } = point
  if (head?.hash === hash) return { ...head, isHead: true }
  if (enrolment.isAnchor(point.id, hash)) return { epoch: 0, sequence: 0, isHead: head === undefined }
  const named = records.named(point, hash)
  return named === undefined ? undefined : { epoch: named.epoch, sequence: named.sequence, isHead: false }
}

// SPEC-40 to SPEC-42. Two bytes name a base, so there may be several: the signature tells which one was meant.
function judgeFrame(point: Point, payload: Uint8Array, context: JudgeContext): Judgement {
  const { baseTag, sequenceOffset } = readFrameHead(payload)
  const { head } = point
  const bases = head === undefined ? [] : context.records.bases(point, baseTag)
  if (head === undefined || bases.length === 0) return { kind: 'hold' }
  let best: Judgement = refuse('frame/unreadable', `${point.id}: the frame fits no base ${baseTag}`)
  for (const base of bases) {
    const place: Place = { epoch: base.record.epoch, sequence: base.record.sequence + sequenceOffset }
    const previousHash = hashBefore(point, place, context)
    if (previousHash === undefined) {
      best = { kind: 'hold', place }
      continue
    }
    const judgement = judgeRebuilt(point, payload, { base, previousHash }, context)
    if (judgement.kind !== 'refuse') return judgement
    if (best.kind === 'refuse') best = { ...judgement, resend: true }
  }
  return best
}

function judgeRebuilt(
  point: Point,
  payload: Uint8Array,
  frameContext: { readonly base: ParsedOcmf; readonly previousHash: string },
  context: JudgeContext,
): Judgement {
  try {
    const text = decodeFrame(payload, frameContext)
    return judgeText(point, parseOcmfText(text), { text, full: false }, context)
  } catch (error) {
    if (!(error instanceof WattError) || error.code.startsWith('storage/')) throw error
    return refuse(error.code, `${point.id}: ${error.message}`)
  }
}

function hashBefore(point: Point, place: Place, { records }: JudgeContext): string | undefined {
  const before: Place = { epoch: place.epoch, sequence: place.sequence - 1 }
  if (point.head?.epoch === before.epoch && point.head.sequence === before.sequence) return point.head.hash
  return isBeyondHead(point, before) ? undefined : records.at(point, before)?.hash
}

function refuse(code: ErrorCode, message: string, place?: Place): Refused {
  return { kind: 'refuse', code, message, ...(place === undefined ? {} : { place }) }
}

/** How a record is named in messages. */
export function name(point: Point, { epoch, sequence }: Place): string {
  return `record ${epoch}/${sequence} of ${point.id}`
}
