import { hash } from 'node:crypto'
import {
  bytesToAscii,
  type Clock,
  directions,
  type ErrorCode,
  formatPublicKey,
  formatTopic,
  type GatewayId,
  makePointId,
  type ParsedOcmf,
  type PointId,
  parseHello,
  parseOcmfText,
  parsePointId,
  parseTopic,
  type Refusal,
  type Registers,
  type SignatureVerifier,
  WattError,
} from '@wattline/protocol'
import type { Ledger } from './ledger/ledger.ts'
import { bookRecord, claimedWh, countRecord } from './mint.ts'
import type { Enrolment } from './points/enrolment.ts'
import type { OwnerOrders } from './points/owner-orders.ts'
import type { Place, Point, PointKey, Registry } from './points/registry.ts'
import type { Remainders } from './points/tree.ts'
import type { Database, Statement } from './store/database.ts'
import { isOversized, type Message } from './store/intake.ts'
import type { Quarantine } from './store/quarantine.ts'
import type { Records } from './store/records.ts'
import { type Acceptance, type JudgeContext, type Judgement, judge, name, type Refused } from './verify.ts'

/** What a gateway is to be told of one metering point after the commit. */
export interface Answer {
  readonly resend: boolean
  readonly refusal?: Refusal
}

/** Something that a person may want to know of. */
export interface Incident {
  readonly event: string
  readonly point: string
  readonly code?: ErrorCode
  readonly message: string
}

/** What processing some messages led to. */
export interface Outcome {
  /** At most one answer for each metering point, whatever came of it in the batch. */
  readonly answers: Map<PointId, Answer>
  readonly incidents: Incident[]
  accepted: number
  replayed: number
  held: number
  quarantined: number
}

export function emptyOutcome(): Outcome {
  return { answers: new Map(), incidents: [], accepted: 0, replayed: 0, held: 0, quarantined: 0 }
}

/** Points that are not enrolled and are answered in one batch: their names are the sender's to invent. */
const unknownAnswerLimit = 1000

/** The parts that a pipeline works with. */
export interface PipelineParts {
  readonly db: Database
  readonly clock: Clock
  readonly registry: Registry
  readonly enrolment: Enrolment
  readonly orders: OwnerOrders
  readonly records: Records
  readonly quarantine: Quarantine
  readonly ledger: Ledger
  readonly remainders: Remainders
  readonly verifier: SignatureVerifier
  /** What a record of an unknown point is quarantined as. */
  readonly unknownCode: ErrorCode
}

/** Takes one stored message after the other to its consequences; the caller holds the transaction around them. */
export class Pipeline {
  readonly #parts: PipelineParts
  readonly #context: JudgeContext
  readonly #insertEpoch: Statement<[number, number, number], unknown>
  readonly #readEpoch: Statement<[number, number], { key: number }>
  readonly #insertProof: Statement<[number, number, number, string, string, string, number], unknown>
  readonly #headEpochs = new Map<number, { epoch: number; key: number }>()

  constructor(parts: PipelineParts) {
    const { db } = parts
    this.#parts = parts
    this.#insertEpoch = db.prepare('INSERT INTO epoch (point, epoch, key) VALUES (?, ?, ?)')
    this.#readEpoch = db.prepare('SELECT key FROM epoch WHERE point = ? AND epoch = ?')
    this.#insertProof = db.prepare(
      `INSERT INTO equivocation (point, epoch, sequence, key, first, second, entry) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
    )
    const { records, enrolment, quarantine, verifier } = parts
    const keyOfEpoch = (point: Point, epoch: number) => this.#keyOfEpoch(point, epoch)
    this.#context = { records, enrolment, quarantine, verifier, keyOfEpoch }
    db.onStale(() => this.#headEpochs.clear())
  }

  /** Processes one message. Whatever is wrong with it ends in the quarantine with a reason. */
  process(message: Message, out: Outcome): void {
    const topic = isOversized(message) ? 'oversized' : parseTopic(message.topic)
    if (topic === 'oversized') this.quarantineOversized(message, out)
    else if (topic === undefined || topic.kind === 'receipt') {
      const reason = `no topic of a gateway: '${message.topic.slice(0, 120)}'`
      this.#quarantine(message, 'message/unreadable', reason, out)
    } else if (topic.kind === 'hello') this.#greet(topic.gatewayId, message, out)
    else if (topic.kind === 'certificate')
      this.#takeCertificate(makePointId(topic.gatewayId, topic.meterId), message, out)
    else this.#takeRecord(makePointId(topic.gatewayId, topic.meterId), message, out)
  }

  /** SPEC-62: not read, only named. */
  quarantineOversized(message: Message, out: Outcome): void {
    this.#quarantine(message, 'message/oversized', `${message.topic}: ${message.payload.length} bytes`, out)
  }

  /** Puts a message aside that broke the program: a bug of ours, so a person must look. */
  quarantineBroken(message: Message, cause: unknown, out: Outcome): void {
    const reason = `${message.topic}: ${String(cause)}`
    this.#quarantine(message, 'message/unreadable', reason, out)
    out.incidents.push({ event: 'program.broken', point: message.topic, message: stackOf(cause) })
  }

  #greet(gatewayId: GatewayId, message: Message, out: Outcome): void {
    try {
      const { points } = parseHello(message.payload)
      for (const id of points) {
        if (parsePointId(id).gatewayId !== gatewayId) {
          throw new WattError('message/unreadable', `hello of ${gatewayId} names '${id}'`)
        }
      }
      for (const id of points) this.#answer(out, id, this.#standingRefusal(id))
    } catch (error) {
      if (!(error instanceof WattError) || error.code.startsWith('storage/')) throw error
      this.#quarantine(message, 'message/unreadable', error.message, out)
    }
  }

  // Why nothing of a point is taken at the moment, if so.
  #standingRefusal(id: PointId): Partial<Answer> {
    const point = this.#parts.registry.get(id)
    if (point?.frozen !== undefined) return { refusal: refusalOf('point/frozen', `${id} is frozen`, point.head) }
    if (this.#isWelcome(point) || this.#parts.unknownCode === 'point/unknown') return {}
    return { refusal: refusalOf(this.#parts.unknownCode, `${id} is not enrolled`, undefined) }
  }

  // SPEC-93: nothing is booked for a point that its owner has not signed for, where that is demanded.
  #isWelcome(point: Point | undefined): boolean {
    return point !== undefined && (this.#parts.unknownCode !== 'order/unsigned' || point.terms.ownerKey !== undefined)
  }

  #takeCertificate(id: PointId, message: Message, out: Outcome): void {
    const { registry, enrolment, orders, quarantine, records } = this.#parts
    const text = bytesToAscii(message.payload) ?? ''
    const verdict = text.includes('WATT-ROTATION|')
      ? orders.takeRotations(id, text)
      : enrolment.takeCertificate(id, text)
    if (verdict.kind === 'refused') {
      this.#quarantine(message, verdict.code, verdict.message, out)
      this.#answer(out, id, { refusal: refusalOf(verdict.code, verdict.message, undefined) })
      return
    }
    this.#answer(out, id, {})
    if (verdict.kind === 'known') return
    out.incidents.push({
      event: 'point.certificate.taken',
      point: id,
      message: `certificate ${verdict.hash.slice(0, 8)}`,
    })
    quarantine.release({ certificate: message.topic, record: formatTopic({ kind: 'record', ...parsePointId(id) }) })
    const point = registry.get(id)
    if (point !== undefined)
      this.#judgeAll(point, records.takeHeld(point, { certificateHash: verdict.hash }), message, out)
  }

  #takeRecord(id: PointId, message: Message, out: Outcome): void {
    const { registry, unknownCode } = this.#parts
    const point = registry.get(id)
    if (point !== undefined && this.#isWelcome(point)) {
      this.#judgeAll(point, [message.payload], message, out)
      return
    }
    const reason = point === undefined ? `${id} is not enrolled` : `${id} is enrolled without its owner's signature`
    this.#quarantine(message, unknownCode, reason, out)
    this.#answer(out, id, { refusal: refusalOf(unknownCode, reason, undefined) })
  }

  // One record may release others that waited for it.
  #judgeAll(point: Point, payloads: readonly Uint8Array[], message: Message, out: Outcome): void {
    const { registry, records } = this.#parts
    const topic = formatTopic({ kind: 'record', ...parsePointId(point.id) })
    const queue = payloads.map((payload) => ({ payload, again: false }))
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { payload, again } = next
      // Freezing reads the registry again; the point must be the current one.
      const current = registry.get(point.id) ?? point
      const judgement = judge(current, payload, this.#context)
      // A frame whose base has still not come is dropped now: what was asked for comes again as full texts.
      if (again && judgement.kind === 'hold' && judgement.place === undefined) continue
      this.#apply(current, judgement, { gateway: message.gateway, topic, payload }, out)
      if (judgement.kind !== 'accept') continue
      const released = records.takeHeld(registry.get(point.id) ?? current, { fullText: judgement.full })
      queue.push(...released.map((each) => ({ payload: each, again: true })))
    }
  }

  #apply(point: Point, judgement: Judgement, message: Message, out: Outcome): void {
    switch (judgement.kind) {
      case 'accept':
        this.#accept(point, judgement, out)
        this.#answer(out, point.id, {})
        break
      case 'replay':
        out.replayed++
        this.#answer(out, point.id, {})
        break
      case 'hold':
        this.#hold(point, judgement, message, out)
        break
      case 'equivocation':
        this.#convict(point, judgement, message, out)
        break
      case 'refuse':
        this.#refuse(point, judgement, message, out)
        break
    }
  }

  // Record, claim, journal entry, base and head: all in the transaction that is open now.
  #accept(known: Point, { parsed, text, full, entry }: Acceptance, out: Outcome): void {
    const { records, registry, orders, ledger, remainders, clock } = this.#parts
    const { record } = parsed
    // An order whose place has come is in force before the record counts; the registry is read anew then.
    const changed = orders.takeEffect(known, { epoch: record.epoch, sequence: record.sequence })
    const point = (changed ? registry.get(known.id) : undefined) ?? known
    if (entry !== undefined) this.#enterEpoch(point, record, entry, out)
    const previousAt = point.head?.takenAt ?? 0
    const count = countRecord(point.base, record, point.terms)
    const counts = count.outcome === 'counted' || count.outcome === 'base'
    const baseAt = counts ? point.base?.takenAt : undefined
    point.base = count.base
    point.netWh += count.energy.export - count.energy.import
    const parent = remainders.isParent(point)
    // What a point with children has counted in an open session is part of its remainder.
    if (parent) point.session = undefined
    else bookRecord(point, record, count, ledger)
    const bookedWh = parent ? undefined : claimedWh(point)
    const { outcome } = count
    if (outcome === 'base') this.#noteSwap(point, parsed, out)
    records.insert({
      point,
      parsed,
      text,
      full,
      outcome,
      baseAt,
      netWh: point.netWh,
      bookedWh,
      acceptedAt: clock.now(),
    })
    point.head = { epoch: record.epoch, sequence: record.sequence, hash: parsed.hash, takenAt: record.takenAt }
    point.records++
    registry.touch(point)
    remainders.advance(point, previousAt)
    out.accepted++
    if (count.message !== undefined) {
      out.incidents.push({ event: 'claim.refused', point: point.id, message: count.message })
    }
  }

  // SPEC-95: both registers stand in the journal, each with what signs it; nothing counts between them.
  #noteSwap(point: Point, parsed: ParsedOcmf, out: Outcome): void {
    const { records, ledger } = this.#parts
    const { registers } = parsed.record
    const before = records.lastCounted(point)
    const { first = {} } = point.terms
    const isLess = directions.some((name) => (registers[name] ?? first[name] ?? 0n) < (first[name] ?? 0n))
    // A count that begins below what the certificate says is of another meter, or of one that was set back.
    if (before === undefined && !isLess) return
    const from = before === undefined ? { certificate: showRegisters(first) } : toSwapSide(parseOcmfText(before.text))
    const entry = ledger.note('swap', point.id, { from, to: toSwapSide(parsed) })
    const message = `${name(point, parsed.record)}: counting starts anew; both registers are in journal entry ${entry}`
    out.incidents.push({ event: 'meter.swapped', point: point.id, message })
  }

  #enterEpoch(point: Point, place: Place, { key, fork, gap }: NonNullable<Acceptance['entry']>, out: Outcome): void {
    const { ledger } = this.#parts
    const at = { epoch: place.epoch, sequence: place.sequence }
    this.#insertEpoch.run(point.rowId, place.epoch, key.rowId)
    this.#headEpochs.set(point.rowId, { epoch: place.epoch, key: key.rowId })
    if (fork !== undefined) {
      const head = { epoch: point.head?.epoch ?? 0, sequence: point.head?.sequence ?? 0 }
      const entry = ledger.note('fork', point.id, { at, follows: fork, head })
      const message = `${name(point, at)} follows ${fork.epoch}/${fork.sequence}, the head was ${head.epoch}/${head.sequence}`
      out.incidents.push({ event: 'chain.fork', point: point.id, message: `${message}; journal entry ${entry}` })
    }
    if (gap !== undefined) {
      const entry = ledger.note('gap', point.id, { at, missing: gap })
      const message = `${name(point, at)}: sequences ${gap.from} to ${gap.to} are missing; journal entry ${entry}`
      out.incidents.push({ event: 'chain.gap', point: point.id, message })
    }
  }

  #hold(point: Point, judgement: Extract<Judgement, { kind: 'hold' }>, message: Message, out: Outcome): void {
    const { place, hash: recordHash, previousHash } = judgement
    this.#parts.records.hold(point, {
      digest: hash('sha256', message.payload),
      payload: message.payload,
      ...(place === undefined ? {} : { place }),
      ...(recordHash === undefined ? {} : { hash: recordHash }),
      ...(previousHash === undefined ? {} : { previousHash }),
    })
    out.held++
    this.#answer(out, point.id, { resend: true })
  }

  #convict(
    point: Point,
    judgement: Extract<Judgement, { kind: 'equivocation' }>,
    message: Message,
    out: Outcome,
  ): void {
    const { enrolment, remainders } = this.#parts
    const { place, key, first, second } = judgement
    const spki = formatPublicKey(key.key)
    const entry = enrolment.freeze(point, { ...place, first, second })
    this.#insertProof.run(point.rowId, place.epoch, place.sequence, spki, first, second, entry)
    const reason = `${name(point, place)}: two different records are signed; the point is frozen, journal entry ${entry}`
    this.#quarantine(message, 'record/equivocation', reason, out)
    this.#answer(out, point.id, { refusal: refusalOf('record/equivocation', reason, place) })
    remainders.settleAll()
  }

  #refuse(point: Point, { code, message: reason, place, resend }: Refused, message: Message, out: Outcome): void {
    this.#quarantine(message, code, reason, out)
    this.#answer(out, point.id, { refusal: refusalOf(code, reason, place), resend: resend ?? false })
  }

  #quarantine(message: Message, code: ErrorCode, reason: string, out: Outcome): void {
    this.#parts.quarantine.add(message, code, reason.slice(0, 1000))
    out.quarantined++
    out.incidents.push({ event: 'message.quarantined', point: message.topic, code, message: reason })
  }

  // Answers of one batch are put together; of several refusals the first is told, as the gateway stops there.
  #answer(out: Outcome, id: PointId, { resend = false, refusal }: Partial<Answer>): void {
    const before = out.answers.get(id)
    if (before === undefined && out.answers.size >= unknownAnswerLimit && this.#parts.registry.get(id) === undefined)
      return
    const told = before?.refusal ?? refusal
    out.answers.set(id, {
      resend: resend || (before?.resend ?? false),
      ...(told === undefined ? {} : { refusal: told }),
    })
  }

  #keyOfEpoch(point: Point, epoch: number): PointKey | undefined {
    if (point.head === undefined || epoch > point.head.epoch) return undefined
    const cached = this.#headEpochs.get(point.rowId)
    const known = cached?.epoch === epoch ? cached.key : this.#readEpoch.get(point.rowId, epoch)?.key
    if (known !== undefined && epoch === point.head.epoch) this.#headEpochs.set(point.rowId, { epoch, key: known })
    return point.keys.find(({ rowId }) => rowId === known)
  }
}

function refusalOf(code: ErrorCode, message: string, place: Place | undefined): Refusal {
  return { epoch: place?.epoch ?? 0, sequence: place?.sequence ?? 0, code, message: message.slice(0, 500) }
}

function toSwapSide({ record, hash: recordHash }: ParsedOcmf): object {
  const { epoch, sequence, template, registers } = record
  const { meterVendor: vendor, meterModel: model, meterSerial: serial } = template
  return { epoch, sequence, hash: recordHash, vendor, model, serial, ...showRegisters(registers) }
}

function showRegisters(registers: Registers): object {
  return { importWh: registers.import?.toString(), exportWh: registers.export?.toString() }
}

function stackOf(cause: unknown): string {
  return cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
}
