import { idPattern, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'

const id = v.pipe(v.string(), v.regex(idPattern))
// Real seconds since the program started, whatever `speedUp` says: what reads the meters lives in real time too.
const seconds = v.pipe(v.number(), v.minValue(0), v.maxValue(2_000_000))
const moment = { at: seconds }
const span = { ...moment, for: v.exactOptional(v.pipe(seconds, v.gtValue(0))) }
const either = { meter: v.exactOptional(id), line: v.exactOptional(id) }
/** The share of requests that is hit: 1 when absent. */
const share = v.exactOptional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1)))
const wh = v.pipe(v.number(), v.safeInteger())

/** What can go wrong, when, and with which meter or line. `scenarios/README.md` tells what each does physically. */
export const faultSchema = v.variant('kind', [
  // The answers.
  v.strictObject({
    ...span,
    ...either,
    kind: v.picklist(['no-answer', 'bad-crc', 'truncated-answer', 'noise']),
    share,
  }),
  v.strictObject({ ...span, ...either, kind: v.literal('late-answer'), delayMs: integerBetween(1, 600_000), share }),
  v.strictObject({ ...span, ...either, kind: v.literal('slow-device'), delayMs: integerBetween(1, 60_000) }),
  v.strictObject({
    ...span,
    ...either,
    kind: v.literal('answer-twice'),
    gapMs: v.optional(integerBetween(0, 60_000), 20),
    share,
  }),
  v.strictObject({
    ...span,
    ...either,
    kind: v.literal('trickle'),
    gapMs: v.optional(integerBetween(1, 10_000), 10),
    share,
  }),
  v.strictObject({
    ...span,
    ...either,
    kind: v.literal('exception'),
    exceptionCode: v.optional(integerBetween(1, 11), 4),
    share,
  }),
  // The wiring and the settings.
  v.strictObject({ ...span, ...either, kind: v.literal('ab-swapped') }),
  v.strictObject({ ...span, ...either, kind: v.literal('wrong-baud'), baudRate: integerBetween(300, 921_600) }),
  v.strictObject({
    ...span,
    ...either,
    kind: v.literal('wrong-parity'),
    parity: v.picklist(['none', 'even', 'odd']),
  }),
  /** The meter has the address of another one on its line. */
  v.strictObject({ ...span, meter: id, kind: v.literal('duplicate-address'), of: id }),
  v.strictObject({
    ...span,
    line: id,
    kind: v.literal('missing-termination'),
    lengthM: v.optional(integerBetween(1, 1200), 100),
  }),
  v.strictObject({
    ...span,
    line: id,
    kind: v.literal('second-master'),
    everyMs: v.optional(integerBetween(10, 600_000), 1000),
    /** What it asks for. */
    unitId: integerBetween(1, 247),
    functionCode: v.optional(v.picklist([3, 4]), 4),
    address: v.optional(integerBetween(0, 0xffff), 0),
    count: v.optional(integerBetween(1, 125), 2),
  }),
  /** The pseudo-terminal or the TCP port is gone. */
  v.strictObject({ ...span, ...either, kind: v.literal('unplugged') }),
  /** No answer, and nothing flows, here and behind. */
  v.strictObject({ ...span, ...either, kind: v.literal('power-cut') }),
  // The registers.
  /** The registers stay as they are, while the energy flows on. */
  v.strictObject({ ...span, meter: id, kind: v.literal('stuck') }),
  /** Every register holds NaN or what the profile calls not implemented. */
  v.strictObject({ ...span, meter: id, kind: v.literal('no-value') }),
  /** Every register stands so much further than the profile says. */
  v.strictObject({
    ...span,
    meter: id,
    kind: v.literal('shifted-map'),
    by: v.optional(v.picklist([1, -1]), 1),
  }),
  /** Values of several words come in the other word order. */
  v.strictObject({ ...span, meter: id, kind: v.literal('swapped-words') }),
  /** The energy flows through the meter from its other side. */
  v.strictObject({ ...span, meter: id, kind: v.literal('reversed-feed') }),
  /** The transformers of these phases sit on another phase's conductor: 120 degrees off. */
  v.strictObject({
    ...span,
    meter: id,
    kind: v.literal('ct-wrong-phase'),
    phases: v.optional(v.pipe(v.array(v.picklist(['L1', 'L2', 'L3'])), v.minLength(1)), ['L1', 'L2']),
  }),
  /** From now on the registers count modulo that width; without one they are reset: they start again at 0 now. */
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
export type FaultKind = Fault['kind']
export type FaultOf<Kind extends FaultKind> = Extract<Fault, { kind: Kind }>

/** Faults of a serial line: Modbus TCP and a connection without a line have no such thing. */
export const lineOnlyKinds: ReadonlySet<FaultKind> = new Set([
  'ab-swapped',
  'wrong-baud',
  'wrong-parity',
  'duplicate-address',
  'trickle',
])

/** Whether a fault is at work at a moment; one that happens at a moment never is. */
export function isActive(fault: Fault, atSeconds: number): boolean {
  if (!('for' in fault)) return isLasting(fault) && atSeconds >= fault.at
  return atSeconds >= fault.at && atSeconds < fault.at + (fault.for ?? Number.POSITIVE_INFINITY)
}

function isLasting(fault: Fault): boolean {
  return fault.kind !== 'roll-over' && fault.kind !== 'meter-swapped' && fault.kind !== 'register-jump'
}

/** What a fault strikes: a meter, or a line with all that hangs on it. */
export function targetOf(fault: Fault): { readonly meter?: string; readonly line?: string } {
  return {
    ...('meter' in fault && fault.meter !== undefined ? { meter: fault.meter } : {}),
    ...('line' in fault && fault.line !== undefined ? { line: fault.line } : {}),
  }
}

/** Whether a fault strikes a meter, by itself or with its line. */
export function strikes(fault: Fault, meter: { readonly id: string; readonly line?: string | undefined }): boolean {
  const target = targetOf(fault)
  return target.meter === meter.id || (target.line !== undefined && target.line === meter.line)
}
