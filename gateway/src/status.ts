import { directions, formatPublicKey, type ParsedOcmf, type PointId } from '@wattline/protocol'
import type { OtherValues } from './modbus/other-values.ts'
import { parseStoredText } from './record-text.ts'
import type { PointSetup } from './setup.ts'
import type { Store } from './store/database.ts'
import type { Outbox } from './store/outbox.ts'
import { findPoint, type PointRow } from './store/points.ts'

/** One metering point as `/status` shows it. Energy is in Wh, as decimal text. */
export interface PointStatus {
  readonly id: string
  readonly point: PointId
  readonly role: string
  readonly profile: string
  /** Of the last record; absent before the first, as is everything that comes from it. */
  readonly state?: string
  readonly registers: { readonly importWh?: string; readonly exportWh?: string }
  readonly lastSigned?: { readonly epoch: number; readonly sequence: number; readonly takenAt: number }
  /** What was read beside the energy, while it is fresh. */
  readonly values?: OtherValues
  readonly waiting: number
  readonly receipt?: {
    readonly epoch: number
    readonly sequence: number
    readonly mintedWh: string
    readonly burnedWh: string
  }
  readonly publicKeySpki: string
}

/** Where the figures come from. */
export interface StatusParts {
  readonly store: Store
  readonly outbox: Outbox
  readonly setups: readonly PointSetup[]
  profileOf(setup: PointSetup): string
  valuesOf(setup: PointSetup): OtherValues | undefined
}

/** Shows every metering point, from the database: what is not stored has not happened. */
export function showPoints(parts: StatusParts): readonly PointStatus[] {
  return parts.setups.map((setup) => {
    const row = findPoint(parts.store, setup.point)
    const values = parts.valuesOf(setup)
    const shown = {
      id: setup.meterId,
      point: setup.point,
      role: setup.role,
      profile: parts.profileOf(setup),
      registers: {},
      ...(values === undefined ? {} : { values }),
      waiting: parts.outbox.waiting(setup.point),
      publicKeySpki: formatPublicKey(setup.signer.publicKey),
    }
    return row === undefined ? shown : { ...shown, ...showLast(parts.store, row), ...showReceipt(row) }
  })
}

function showLast(store: Store, row: PointRow): Partial<PointStatus> {
  const last = lastRecord(store, row)
  if (last === undefined) return {}
  const { epoch, sequence, takenAt, state, registers } = last.record
  const shown = directions.flatMap((direction) => {
    const wh = registers[direction]
    return wh === undefined ? [] : [[`${direction}Wh`, wh.toString()]]
  })
  return { state, registers: Object.fromEntries(shown), lastSigned: { epoch, sequence, takenAt } }
}

function lastRecord(store: Store, row: PointRow): ParsedOcmf | undefined {
  const text: unknown = store
    .sql('SELECT text FROM records WHERE point = ? ORDER BY epoch DESC, sequence DESC LIMIT 1')
    .pluck()
    .get(row.number)
  return typeof text === 'string' ? parseStoredText(text) : undefined
}

function showReceipt({ acknowledged, mintedWh, burnedWh }: PointRow): Partial<PointStatus> {
  if (acknowledged.sequence === 0) return {}
  const { epoch, sequence } = acknowledged
  return { receipt: { epoch, sequence, mintedWh: mintedWh.toString(), burnedWh: burnedWh.toString() } }
}
