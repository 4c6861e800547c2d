import { integerBetween } from '@wattline/protocol'
import * as v from 'valibot'

const number = integerBetween(0, Number.MAX_SAFE_INTEGER)

/** Which sequence numbers of a transaction have come. */
export const sequenceShape = v.object({
  /** First and last of each unbroken run, in order. */
  runs: v.array(v.tuple([number, number])),
  first: v.optional(number),
  last: v.optional(number),
  /** The station gives one number to several messages, so the numbers prove nothing. */
  isUseless: v.optional(v.boolean(), false),
})

export type SequenceState = v.InferOutput<typeof sequenceShape>

export const noSequence: SequenceState = { runs: [], isUseless: false }

/** Whoever counts in leaps must not fill the memory. */
const mostRuns = 50

/** Notes the number of a message that had not come before. */
export function addNumber(state: SequenceState, seqNo: number, kind: 'start' | 'update' | 'end'): SequenceState {
  const known = state.runs.some(([from, to]) => from <= seqNo && seqNo <= to)
  const runs = known ? state.runs : join([...state.runs, [seqNo, seqNo]])
  return {
    ...state,
    runs: runs.slice(0, mostRuns),
    isUseless: state.isUseless || known || runs.length > mostRuns,
    ...(kind === 'start' ? { first: seqNo } : {}),
    ...(kind === 'end' ? { last: seqNo } : {}),
  }
}

function join(runs: SequenceState['runs']): SequenceState['runs'] {
  const joined: SequenceState['runs'] = []
  for (const [from, to] of runs.toSorted((a, b) => a[0] - b[0])) {
    const before = joined.at(-1)
    if (before === undefined || from !== before[1] + 1) joined.push([from, to])
    else joined.splice(-1, 1, [before[0], to])
  }
  return joined
}

/**
 * The first number that is missing between begin and end; undefined where nothing is. What is missing at either side is
 * told by `first` and `last`.
 */
export function findGap({ runs, first, last, isUseless }: SequenceState): number | undefined {
  const from = first ?? runs[0]?.[0]
  const to = last ?? runs.at(-1)?.[1]
  if (isUseless || from === undefined || to === undefined || from > to) return undefined
  const run = runs.find(([low, high]) => low <= from && from <= high)
  if (run === undefined) return from
  return run[1] >= to ? undefined : run[1] + 1
}
