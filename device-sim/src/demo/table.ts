import type { GatewayStatus, PointStatus, SessionStatus } from './status.ts'

const columns = ['point', 'role', 'state', 'register kWh', 'signed', 'waiting', 'receipt', 'minted kWh', 'burned kWh']
const sessionColumns = ['session at', 'state', 'from', 'to', 'kWh']

function kwh(wh: string | undefined): string {
  if (wh === undefined) return '-'
  const negative = wh.startsWith('-')
  const digits = wh.replace('-', '').padStart(4, '0')
  return `${negative ? '-' : ''}${digits.slice(0, -3)}.${digits.slice(-3)}`
}

// A charging point where nobody charges says that it has nothing to say (SPEC-22).
function stateText({ role, state }: PointStatus): string {
  return role === 'charger' && state === 'no-answer' ? 'idle' : (state ?? '-')
}

function registerText({ registers: { importWh, exportWh } }: PointStatus): string {
  if (importWh === undefined && exportWh === undefined) return '-'
  if (importWh !== undefined && exportWh !== undefined) return `↓${kwh(importWh)} ↑${kwh(exportWh)}`
  return importWh === undefined ? `↑${kwh(exportWh)}` : `↓${kwh(importWh)}`
}

function row(point: PointStatus): string[] {
  return [
    point.id,
    point.role,
    stateText(point),
    registerText(point),
    point.lastSigned?.sequence.toString() ?? '-',
    point.waiting.toString(),
    point.receipt?.sequence.toString() ?? '-',
    kwh(point.receipt?.mintedWh),
    kwh(point.receipt?.burnedWh),
  ]
}

function sessionRow({ station, connector, begunAt, endedAt, wh, completeness }: SessionStatus): string[] {
  const time = (ms: number) => new Date(ms).toISOString().slice(11, 19)
  const state = endedAt === undefined ? 'charging' : completeness
  return [`${station}/${connector}`, state, time(begunAt), endedAt === undefined ? '-' : time(endedAt), kwh(wh)]
}

/** The live tables as plain text: metering points, ↓ import, ↑ export; and below them the latest charging sessions. */
export function formatTable({ points, sessions }: GatewayStatus): string {
  const tables = [layOut([columns, ...points.map(row)], 4)]
  if (sessions.length > 0) tables.push(layOut([sessionColumns, ...sessions.map(sessionRow)], 2))
  return tables.join('\n\n')
}

// The first cells of a row are words and stand left, the others figures.
function layOut(rows: readonly (readonly string[])[], words: number): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)))
  return rows
    .map((cells) =>
      cells
        .map((cell, i) => (i < words ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
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
