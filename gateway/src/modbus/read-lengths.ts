import type { WireRequest } from './connection.ts'

/** A read whose length the bus may choose between `count` and `maxCount`. */
export interface FlexibleRequest extends WireRequest {
  readonly maxCount?: number
}

interface Shapes {
  /** Lengths in the order of their last use. */
  readonly used: Map<number, { readonly atMs: number; readonly address: number }>
  /** Lengths of requests that were given up, and until when their answers may still come. */
  readonly outstanding: Map<number, number>
  /** Addresses where the device refuses longer reads, and until when that is believed. */
  readonly exact: Map<number, number>
  /** Addresses where longer reads met silence, and how often. */
  readonly widerSilences: Map<number, number>
}

// Modbus V1.1b3 §6.3 and §6.4.
export const mostRegisters = 125
// Two lengths in turn were measured to let most late answers through, eight none.
const rotation = 8
const refusalMs = 3_600_000
const silencesToRefusal = 3
// No count of silences: the device has answered a longer read there, so silence means something else.
const provenWider = Number.NEGATIVE_INFINITY

/**
 * Chooses how many registers a read asks for. RTU has no transaction id, but an answer carries its byte count:
 * a length that no earlier request can still be answered with serves as one.
 */
export class ReadLengths {
  readonly #shapes = new Map<string, Shapes>()
  readonly #spacingMs: number

  /** `spacingMs` is how long a varied length rests after use: an answer that comes twice comes within that time. */
  constructor(spacingMs: number) {
    this.#spacingMs = spacingMs
  }

  /** The length least recently used for that device and function, or undefined while none is safe. */
  choose(request: FlexibleRequest, nowMs: number): number | undefined {
    const shapes = this.#of(request)
    forget(shapes.outstanding, nowMs)
    forget(shapes.exact, nowMs)
    const free: number[] = []
    for (const { count, safeAtMs } of this.#candidates(request, shapes)) {
      if (safeAtMs > nowMs) continue
      free.push(count)
      if (free.length === rotation) break
    }
    const unused = free.find((count) => !shapes.used.has(count))
    if (unused !== undefined) return unused
    for (const count of shapes.used.keys()) if (free.includes(count)) return count
    return undefined
  }

  /** When a length becomes safe for a request that has none now. */
  freeAtMs(request: FlexibleRequest): number {
    let freeAtMs = Number.POSITIVE_INFINITY
    for (const { safeAtMs } of this.#candidates(request, this.#of(request))) freeAtMs = Math.min(freeAtMs, safeAtMs)
    return freeAtMs
  }

  sent({ unitId, functionCode, address, count }: WireRequest, nowMs: number): void {
    const { used } = this.#of({ unitId, functionCode })
    used.delete(count)
    used.set(count, { atMs: nowMs, address })
  }

  answered(request: FlexibleRequest, sent: WireRequest): void {
    if (sent.count > request.count) this.#of(request).widerSilences.set(request.address, provenWider)
  }

  /** An answer of that length must not be believed before that moment. */
  keepOut(sent: WireRequest, untilMs: number): void {
    this.#of(sent).outstanding.set(sent.count, untilMs)
  }

  /** The device refused a longer read; asks for the exact length from now on. */
  refused(request: FlexibleRequest, nowMs: number): void {
    this.#of(request).exact.set(request.address, nowMs + refusalMs)
  }

  /** Some devices are silent where they should refuse: after a few silences the exact length is tried. */
  silent(request: FlexibleRequest, sent: WireRequest, nowMs: number): void {
    const { exact, widerSilences } = this.#of(request)
    // Silent at the exact length too, so the length was not the reason.
    if (sent.count === request.count) exact.delete(request.address)
    if (sent.count === request.count) return
    const silences = (widerSilences.get(request.address) ?? 0) + 1
    widerSilences.set(request.address, silences)
    if (silences % silencesToRefusal === 0) this.refused(request, nowMs)
  }

  // The lengths that would do, and when each becomes safe. Who leaves no choice of lengths is not made to wait for the
  // last one to rest, unless it was used for other registers, whose answer, come twice, would be believed; a device that
  // refuses the choice must rest.
  *#candidates(request: FlexibleRequest, shapes: Shapes): Generator<{ count: number; safeAtMs: number }> {
    const widest = Math.min(request.maxCount ?? request.count, mostRegisters, 0x1_0000 - request.address)
    const most = shapes.exact.has(request.address) ? request.count : Math.max(widest, request.count)
    const varies = widest - request.count + 1 >= rotation
    for (let count = request.count; count <= most; count++) {
      const last = shapes.used.get(count)
      const rests = varies || (request.maxCount !== undefined && last?.address !== request.address)
      const restedAt = rests ? (last?.atMs ?? Number.NEGATIVE_INFINITY) + this.#spacingMs : 0
      yield { count, safeAtMs: Math.max(restedAt, shapes.outstanding.get(count) ?? Number.NEGATIVE_INFINITY) }
    }
  }

  #of({ unitId, functionCode }: Pick<WireRequest, 'unitId' | 'functionCode'>): Shapes {
    const key = `${unitId}/${functionCode}`
    const known = this.#shapes.get(key)
    if (known !== undefined) return known
    const shapes = { used: new Map(), outstanding: new Map(), exact: new Map(), widerSilences: new Map() }
    this.#shapes.set(key, shapes)
    return shapes
  }
}

function forget(until: Map<number, number>, nowMs: number): void {
  for (const [key, moment] of until) if (moment <= nowMs) until.delete(key)
}
