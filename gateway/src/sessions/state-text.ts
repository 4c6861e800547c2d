import * as v from 'valibot'
import type { RegisterState } from './place-register.ts'
import { type PlaceState, type SessionState, sessionShape } from './session-state.ts'

// JSON has no integers of this size. Written out, as each message of a station writes one session and one place.
const text = (wh: bigint | undefined) => wh?.toString()

// What changes with each value stands apart, in a row that is short.
const progressKeys: readonly (keyof SessionState)[] = ['lastWh', 'heardAt', 'intervalAt', 'sequence']
const stateKeys = v.keyof(sessionShape).options.filter((key) => !progressKeys.includes(key))

/** Whether two states of a session differ in nothing but their progress. */
export function hasSameState(a: SessionState, b: SessionState): boolean {
  return stateKeys.every((key) => a[key] === b[key])
}

/** Whether they have come equally far. */
export function hasSameProgress(a: SessionState, b: SessionState): boolean {
  return progressKeys.every((key) => a[key] === b[key])
}

/** A session without its progress, as a JSON object. */
export function formatState({
  lastWh: _,
  heardAt: __,
  intervalAt: ___,
  sequence: ____,
  ...rest
}: SessionState): string {
  const { beginWh, end } = rest
  return JSON.stringify({ ...rest, beginWh: text(beginWh), end: end && { ...end, wh: text(end.wh) } })
}

/** A session's progress, as a JSON object: its fields and those of the state make the whole. */
export function formatProgress({ lastWh, heardAt, intervalAt, sequence }: SessionState): string {
  return JSON.stringify({ lastWh: text(lastWh), heardAt, intervalAt, sequence })
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
