import { idPattern, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import type { Answer } from './pdu.ts'
import { encodeException } from './pdu.ts'
import { makeRandom } from './random.ts'

const id = v.pipe(v.string(), v.regex(idPattern))
// Real seconds since the program started, whatever `speedUp` says: what reads the meters lives in real time too.
const seconds = v.pipe(v.number(), v.minValue(0), v.maxValue(2_000_000))
const moment = { at: seconds }
const span = { ...moment, for: v.exactOptional(v.pipe(seconds, v.gtValue(0))) }
const either = { meter: v.exactOptional(id), line: v.exactOptional(id) }
/** The share of requests that is hit: 1 when absent. */
const share = v.exactOptional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)))
const wh = v.pipe(v.number(), v.safeInteger())

/** What can go wrong, when, and with which meter or line. */
export const faultSchema = v.variant('kind', [
  v.strictObject({
    ...span,
    ...either,
    kind: v.picklist(['no-answer', 'bad-crc', 'truncated-answer', 'noise']),
    share,
  }),
  v.strictObject({ ...span, ...either, kind: v.literal('late-answer'), delayMs: integerBetween(1, 600_000), share }),
  v.strictObject({
    ...span,
    ...either,
    kind: v.literal('exception'),
    exceptionCode: v.optional(integerBetween(1, 11), 4),
    share,
  }),
  /** The registers stay as they are, while the energy flows on. */
  v.strictObject({ ...span, meter: id, kind: v.literal('stuck') }),
  /** Every register holds NaN or what the profile calls not implemented. */
  v.strictObject({ ...span, meter: id, kind: v.literal('no-value') }),
  /** No answer, and nothing flows, here and behind. */
  v.strictObject({ ...span, ...either, kind: v.literal('power-cut') }),
  /** The pseudo-terminal or the TCP port is gone. */
  v.strictObject({ ...span, ...either, kind: v.literal('unplugged') }),
  /** From now on the registers count modulo that width; without one they start again at 0 now. */
  v.strictObject({
    ...moment,
    meter: id,
    kind: v.literal('roll-over'),
    widthWh: v.exactOptional(v.pipe(wh, v.minValue(1))),
  }),
  v.strictObject({
    ...moment,
    meter: id,
    kind: v.literal('meter-swapped'),
    toSerial: v.string(),
    startWh: v.optional(v.pipe(wh, v.minValue(0)), 0),
  }),
  /** Both registers leap by so much, ahead or back. */
  v.strictObject({ ...moment, meter: id, kind: v.literal('register-jump'), byWh: wh }),
])

export type Fault = v.InferOutput<typeof faultSchema>

/** Whether a fault is at work at a moment; one that happens at a moment never is. */
export function isActive(fault: Fault, atSeconds: number): boolean {
  if (!('for' in fault)) return isLasting(fault) && atSeconds >= fault.at
  return atSeconds >= fault.at && atSeconds < fault.at + (fault.for ?? Number.POSITIVE_INFINITY)
}

function isLasting(fault: Fault): boolean {
  return fault.kind !== 'roll-over' && fault.kind !== 'meter-swapped' && fault.kind !== 'register-jump'
}

/** The faults that spoil answers, each with its own dice, so that a run can be repeated. */
export class AnswerFaults {
  readonly #faults: readonly { fault: Fault; random: () => number }[]

  constructor(faults: readonly Fault[]) {
    this.#faults = faults.map((fault, i) => ({ fault, random: makeRandom(i + 1) }))
  }

  /** What becomes of an answer of a meter on a line at a moment. */
  apply(answer: Answer, meter: { id: string; line: string | undefined }, atSeconds: number): Answer | undefined {
    let spoiled: Answer | undefined = answer
    for (const { fault, random } of this.#faults) {
      if (!concerns(fault, meter) || !isActive(fault, atSeconds)) continue
      if ('share' in fault && fault.share !== undefined && random() >= fault.share) continue
      spoiled = spoiled && spoil(spoiled, fault)
    }
    return spoiled
  }
}

function concerns(fault: Fault, meter: { id: string; line: string | undefined }): boolean {
  if (fault.meter === meter.id) return true
  return 'line' in fault && fault.line !== undefined && fault.line === meter.line
}

function spoil(answer: Answer, fault: Fault): Answer | undefined {
  switch (fault.kind) {
    case 'no-answer':
    case 'power-cut':
    case 'unplugged':
      return undefined
    case 'late-answer':
      return { ...answer, delayMs: answer.delayMs + fault.delayMs }
    case 'exception':
      return { ...answer, pdu: encodeException((answer.pdu[0] ?? 0) & 0x7f, fault.exceptionCode) }
    case 'bad-crc':
      return { ...answer, damage: 'crc' }
    case 'truncated-answer':
      return { ...answer, damage: 'truncated' }
    case 'noise':
      return { ...answer, damage: 'noise' }
    default:
      return answer
  }
}
