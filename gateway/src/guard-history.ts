import {
  type ClockStatus,
  clockStatuses,
  decodeWith,
  integerBetween,
  makeTimestamp,
  type Registers,
  type Since,
  type Timestamp,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'

/** When something was seen: by the wall clock, and by the machine's own uptime, which never steps. */
export interface Moment {
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  /** Which run of the machine the uptime belongs to; empty where it cannot be told. */
  readonly bootId: string
  readonly uptimeMs: number
}

/** When the base was read; and the earliest time that was told later, where a clock was put back (SPEC-81). */
export type BaseMoment = Moment & Pick<Since, 'since'>

/** How long a register has stood still, and what it must have missed. */
export interface Standstill {
  readonly registers: Registers
  readonly moment: Moment
  readonly powerW?: number
  readonly missedWh: { readonly import: number; readonly export: number }
}

/** What the guard remembers of a metering point. */
export interface GuardHistory {
  /** The meter's serial number, bound at first sight; empty while none was seen. */
  readonly serial: string
  /** The serial number of the meter that stands in its place; empty while none does. */
  readonly foreignSerial: string
  /** The serial number that came with readings which could not be judged; absent where none did. */
  readonly heardSerial?: string
  /** The last sound reading. */
  readonly base?: { readonly registers: Registers; readonly moment: BaseMoment }
  /** The lowest registers that were a jump since the base. */
  readonly floors: Registers
  readonly standstill?: Standstill
  /** Why what the meter shows of the grid cannot be; absent while it can. */
  readonly oddGrid?: string
}

/** What is remembered before the first reading. */
export const noHistory: GuardHistory = { serial: '', foreignSerial: '', floors: {} }

const wh = v.pipe(
  v.string(),
  v.regex(/^\d{1,18}$/),
  v.transform((text) => BigInt(text)),
)
const registers = v.strictObject({ import: v.exactOptional(wh), export: v.exactOptional(wh) })
const time = v.pipe(integerBetween(0, Number.MAX_SAFE_INTEGER), v.transform(makeTimestamp))
const momentEntries = {
  takenAt: time,
  clockStatus: v.picklist(clockStatuses),
  bootId: v.string(),
  uptimeMs: v.number(),
}
const moment = v.strictObject(momentEntries)
const baseMoment = v.strictObject({ ...momentEntries, since: v.exactOptional(time) })
const shape = v.strictObject({
  serial: v.string(),
  foreignSerial: v.string(),
  heardSerial: v.exactOptional(v.string()),
  base: v.exactOptional(v.strictObject({ registers, moment: baseMoment })),
  floors: registers,
  standstill: v.exactOptional(
    v.strictObject({
      registers,
      moment,
      powerW: v.exactOptional(v.number()),
      missedWh: v.strictObject({ import: v.number(), export: v.number() }),
    }),
  ),
  oddGrid: v.exactOptional(v.string()),
})

/** Writes a history as the JSON that the database keeps; watt-hours as decimal texts. */
export function formatHistory(history: GuardHistory): string {
  return JSON.stringify(history, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))
}

/** Reads what `formatHistory` wrote. */
export function parseHistory(text: string, where: string): GuardHistory {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new WattError('storage/corrupt', `${where}: JSON expected, got '${text.slice(0, 80)}'`, { cause })
  }
  return decodeWith(shape, content, where, 'storage/corrupt')
}
