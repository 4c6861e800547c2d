import type { GatewayStatus, PointStatus } from './status.ts'

const columns = ['point', 'role', 'state', 'register kWh', 'signed', 'waiting', 'receipt', 'minted kWh', 'burned kWh']

function kwh(wh: string | undefined): string {
  if (wh === undefined) return '-'
  const negative = wh.startsWith('-')
  const digits = wh.replace('-', '').padStart(4, '0')
  return `${negative ? '-' : ''}${digits.slice(0, -3)}.${digits.slice(-3)}`
}

function registerText({ registers: { importWh, exportWh } }: PointStatus): string {
  if (importWh !== undefined && exportWh !== undefined) return `↓${kwh(importWh)} ↑${kwh(exportWh)}`
  return importWh === undefined ? `↑${kwh(exportWh)}` : `↓${kwh(importWh)}`
}

function row(point: PointStatus): string[] {
  return [
    point.id,
    point.role,
    point.state ?? '-',
    registerText(point),
    point.lastSigned?.sequence.toString() ?? '-',
    point.waiting.toString(),
    point.receipt?.sequence.toString() ?? '-',
    kwh(point.receipt?.mintedWh),
    kwh(point.receipt?.burnedWh),
  ]
}

/** The live table as plain text: ↓ import, ↑ export. */
export function formatTable({ points }: GatewayStatus): string {
  const rows = [columns, ...points.map(row)]
  const widths = columns.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)))
  return rows
    .map((cells) =>
      cells
        .map((cell, i) => (i < 4 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Shows the table: redrawn in place on a terminal, one line a point every few seconds anywhere else. */
export class LiveView {
  readonly #out: NodeJS.WriteStream
  readonly #plainEveryMs: number
  #lines = 0
  #shownAtMs = Number.NEGATIVE_INFINITY

  constructor(out: NodeJS.WriteStream, plainEveryMs = 5000) {
    this.#out = out
    this.#plainEveryMs = plainEveryMs
  }

  show(status: GatewayStatus, headline: string, nowMs: number): void {
    if (!this.#out.isTTY && nowMs - this.#shownAtMs < this.#plainEveryMs) return
    this.#shownAtMs = nowMs
    const text = `${headline}\n${formatTable(status)}\n`
    const up = this.#out.isTTY && this.#lines > 0 ? `\u001b[${this.#lines}A\u001b[J` : ''
    this.#lines = text.split('\n').length - 1
    this.#out.write(up + text + (this.#out.isTTY ? '' : '\n'))
  }
}
