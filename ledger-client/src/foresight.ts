import {
  asciiToBytes,
  bytesToAscii,
  decodeFrame,
  isFrame,
  type ParsedOcmf,
  type PointId,
  parseOcmfText,
  parseTopic,
  readFrameHead,
  type SignatureVerifier,
  WattError,
} from '@wattline/protocol'
import type { Point, PointKey, Registry } from './points/registry.ts'
import type { Message } from './store/intake.ts'
import type { Records } from './store/records.ts'
import type { Signed } from './verifiers/shared-batch.ts'
import { type ForesightedVerifier, isForesighted } from './verifiers/two-threads.ts'

/** A text as a frame was rebuilt from its base and its predecessor. */
export interface Rebuilt {
  readonly text: string
  readonly parsed: ParsedOcmf
}

/** Where a point's chain will be if all that is looked at is accepted. */
interface Tail {
  readonly point: Point
  readonly epoch: number
  sequence: number
  hash: string
  /** The last full text among what is looked at. */
  base?: ParsedOcmf
}

interface Known extends Rebuilt {
  readonly baseHash: string
  readonly previousHash: string
}

interface ForesightParts {
  readonly registry: Registry
  readonly records: Records
  readonly verifier: SignatureVerifier
  keyOfEpoch(point: Point, epoch: number): PointKey | undefined
}

/**
 * Looks ahead over messages that are about to be judged, as if each were accepted, so that their signatures are checked
 * by two threads at once. Nothing is decided here: whatever was not foreseen, or came out otherwise, the judge works out
 * and checks by itself.
 */
export class Foresight {
  readonly #parts: ForesightParts
  readonly #verifier: ForesightedVerifier | undefined
  readonly #known = new Map<Uint8Array, Known>()

  constructor(parts: ForesightParts) {
    this.#parts = parts
    this.#verifier = isForesighted(parts.verifier) ? parts.verifier : undefined
  }

  look(messages: readonly Message[]): void {
    if (this.#verifier === undefined) return
    this.#known.clear()
    const tails = new Map<string, Tail | undefined>()
    const signed: Signed[] = []
    for (const { topic, payload } of messages) {
      if (!tails.has(topic)) tails.set(topic, this.#tailOf(topic))
      const tail = tails.get(topic)
      const parsed = tail && this.#next(tail, payload)
      const key = parsed && this.#parts.keyOfEpoch(tail.point, tail.epoch)
      // Behind what cannot be foreseen, nothing of this point can.
      if (parsed === undefined || key === undefined) tails.set(topic, undefined)
      else signed.push({ payload: asciiToBytes(parsed.payload), signature: parsed.signature, publicKey: key.key })
    }
    this.#verifier.foresee(signed)
  }

  /** What a frame was rebuilt as, if from the very same base and predecessor. */
  recall(frame: Uint8Array, from: { readonly base: ParsedOcmf; readonly previousHash: string }): Rebuilt | undefined {
    const known = this.#known.get(frame)
    return known?.baseHash === from.base.hash && known.previousHash === from.previousHash ? known : undefined
  }

  #tailOf(topic: string): Tail | undefined {
    const parsed = parseTopic(topic)
    if (parsed?.kind !== 'record') return undefined
    const point = this.#parts.registry.get(`${parsed.gatewayId}/${parsed.meterId}` as PointId) // both parts are parsed
    if (point?.head === undefined || point.frozen !== undefined) return undefined
    const { epoch, sequence, hash } = point.head
    return { point, epoch, sequence, hash }
  }

  // The record that a payload is, if it is the next one of the chain; the chain is then one longer.
  #next(tail: Tail, payload: Uint8Array): ParsedOcmf | undefined {
    try {
      const parsed = isFrame(payload) ? this.#rebuild(tail, payload) : parseOcmfText(bytesToAscii(payload) ?? '')
      const { epoch, sequence, previousHash } = parsed?.record ?? {}
      if (parsed === undefined || epoch !== tail.epoch || sequence !== tail.sequence + 1) return undefined
      if (previousHash !== tail.hash) return undefined
      if (!isFrame(payload) && parsed.record.context === 'F') tail.base = parsed
      tail.sequence++
      tail.hash = parsed.hash
      return parsed
    } catch (error) {
      if (error instanceof WattError && !error.code.startsWith('storage/')) return undefined
      throw error
    }
  }

  #rebuild(tail: Tail, frame: Uint8Array): ParsedOcmf | undefined {
    const { baseTag } = readFrameHead(frame)
    const isLast = tail.base?.hash.startsWith(baseTag) === true
    const [base, other] = isLast ? [tail.base] : this.#parts.records.bases(tail.point, baseTag)
    if (base === undefined || other !== undefined) return undefined
    const text = decodeFrame(frame, { base, previousHash: tail.hash })
    const parsed = parseOcmfText(text)
    this.#known.set(frame, { text, parsed, baseHash: base.hash, previousHash: tail.hash })
    return parsed
  }
}
