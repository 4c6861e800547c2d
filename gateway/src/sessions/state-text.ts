import { decodeWith } from '@wattline/protocol'
import type * as v from 'valibot'
import type { RegisterState } from './place-register.ts'
import type { PlaceState, SessionState } from './session-state.ts'

// JSON has no integers of this size. Written out, as each message of a station writes one session and one place.
const text = (wh: bigint | undefined) => wh?.toString()

/** A session as two JSON objects, and as the one that they make together. */
export interface SessionText {
  readonly state: string
  /** What changes with each value. */
  readonly progress: string
  readonly json: string
}

/** A session as JSON. */
export function formatSession({ lastWh, heardAt, intervalAt, sequence, ...rest }: SessionState): SessionText {
  const { beginWh, end } = rest
  const state = JSON.stringify({ ...rest, beginWh: text(beginWh), end: end && { ...end, wh: text(end.wh) } })
  const progress = JSON.stringify({ lastWh: text(lastWh), heardAt, intervalAt, sequence })
  return { state, progress, json: `${state.slice(0, -1)},${progress.slice(1)}` }
}

/** A place as JSON. */
export function formatPlace({ register, endedWh }: PlaceState): string {
  return JSON.stringify({ endedWh: text(endedWh), register: register && toPlainRegister(register) })
}

function toPlainRegister({ placeWh, seen, baseWh, candidate, beforeWh, ...rest }: RegisterState) {
  return {
    ...rest,
    placeWh: text(placeWh),
    seen: { ...seen, wh: text(seen.wh) },
    baseWh: text(baseWh),
    candidate: candidate && { ...candidate, wh: text(candidate.wh) },
    beforeWh: text(beforeWh),
  }
}

const mostKnown = 2_000

/**
 * Reads states from JSON, each text that was written here without decoding it again. A text is what tells them apart,
 * so a transaction that was undone leaves nothing wrong behind.
 */
export class StateReader<TSchema extends v.GenericSchema> {
  readonly #shape: TSchema
  readonly #known = new Map<string, v.InferOutput<TSchema>>()

  constructor(shape: TSchema) {
    this.#shape = shape
  }

  /** The state is the caller's: it may change it. */
  read(json: string, source: string): v.InferOutput<TSchema> {
    const known = this.#known.get(json)
    if (known === undefined) return decodeWith(this.#shape, JSON.parse(json), source, 'storage/corrupt')
    this.#known.delete(json)
    return known
  }

  /** What was written as this text. From now on it must not be changed. */
  remember(json: string, state: v.InferOutput<TSchema>): void {
    if (this.#known.size >= mostKnown) this.#known.clear()
    this.#known.set(json, state)
  }
}
