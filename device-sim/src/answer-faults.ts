import { type Fault, isActive, strikes } from './faults.ts'
import { type Answer, encodeException } from './pdu.ts'
import { makeRandom } from './random.ts'

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
      if (!strikes(fault, meter) || !isActive(fault, atSeconds)) continue
      if ('share' in fault && fault.share !== undefined && random() >= fault.share) continue
      spoiled = spoiled && spoil(spoiled, fault, random)
    }
    return spoiled
  }
}

function spoil(answer: Answer, fault: Fault, random: () => number): Answer | undefined {
  switch (fault.kind) {
    case 'no-answer':
    case 'power-cut':
    case 'unplugged':
      return undefined
    case 'late-answer':
      return { ...answer, delayMs: answer.delayMs + fault.delayMs }
    case 'slow-device':
      return { ...answer, delayMs: answer.delayMs + fault.delayMs * (0.5 + random()) }
    case 'answer-twice':
      return { ...answer, repeatAfterMs: fault.gapMs }
    case 'trickle':
      return { ...answer, byteGapMs: fault.gapMs }
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
