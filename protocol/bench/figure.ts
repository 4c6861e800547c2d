/** One measured figure, compared in the same run with a limit or a peer. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** What it is compared with, in words. */
  readonly comparedWith: string
  /** The limit's or peer's value, in the same unit. */
  readonly reference: number
  /** value / reference. */
  readonly ratio: number
  /** What the ratio or the value must keep, where something is promised. */
  readonly promise?: string
}

const round = (value: number) => Number(value.toPrecision(4))

/** Prints one JSON line. */
export function printFigure(figure: Omit<Figure, 'ratio'>): void {
  const { name, value, unit, comparedWith, reference, promise } = figure
  const line = {
    name,
    value: round(value),
    unit,
    comparedWith,
    reference: round(reference),
    ratio: round(value / reference),
    ...(promise === undefined ? {} : { promise }),
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** The value below which a share of the sorted values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Runs both in turn and gives the median rate of each, in runs per second: the machine's mood hits both alike. */
export function compareRates(rounds: number, count: number, a: () => void, b: () => void): [number, number] {
  const rate = (run: () => void) => {
    const start = process.hrtime.bigint()
    run()
    return (count * 1e9) / Number(process.hrtime.bigint() - start)
  }
  const rates = Array.from({ length: rounds }, () => [rate(a), rate(b)] as const)
  return [
    percentile(
      rates.map(([x]) => x),
      0.5,
    ),
    percentile(
      rates.map(([, y]) => y),
      0.5,
    ),
  ]
}
