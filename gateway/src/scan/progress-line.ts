import type { WriteStream } from 'node:tty'
import type { ScanProgress } from './scan-result.ts'

const barWidth = 24
const plainEveryMs = 10_000
const terminalEveryMs = 100

/** Shows how far a scan is: a bar on a terminal, a plain line now and then elsewhere. */
export class ProgressLine {
  readonly #out: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY'>>
  #shownAtMs = Number.NEGATIVE_INFINITY
  #stage = ''

  constructor(out: NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY'>>) {
    this.#out = out
  }

  show(progress: ScanProgress): void {
    const now = performance.now()
    const isNew = progress.stage !== this.#stage
    const everyMs = this.#out.isTTY === true ? terminalEveryMs : plainEveryMs
    if (!isNew && now - this.#shownAtMs < everyMs) return
    this.#shownAtMs = now
    this.#stage = progress.stage
    const text = formatProgress(progress)
    this.#out.write(this.#out.isTTY === true ? `\r\x1b[K${toBar(progress)} ${text}` : `${text}\n`)
  }

  end(): void {
    if (this.#out.isTTY === true && this.#stage !== '') this.#out.write('\r\x1b[K')
  }
}

const shareOf = ({ done, total }: ScanProgress) => (total === 0 ? 1 : Math.min(1, done / total))

function toBar(progress: ScanProgress): string {
  const full = Math.round(shareOf(progress) * barWidth)
  return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}]`
}

/** One state in words. */
export function formatProgress(progress: ScanProgress): string {
  const { busId, stage, etaMs, found } = progress
  const percent = Math.floor(100 * shareOf(progress))
  return `${busId}: ${stage} ${percent} %, about ${Math.ceil(etaMs / 1000)} s left, ${found} found`
}
