import { fromHex, hashText, toUpperHex } from './bytes.ts'
import type { ClockStatus, Timestamp } from './clock.ts'
import { type CompactSignature, decodeDerSignature, encodeDerSignature } from './der.ts'
import { WattError } from './errors.ts'
import { type Direction, type ReadingState, type Registers, readingStates, toReadingState } from './reading.ts'
import { formatOcmfTime, parseOcmfTime } from './timestamp.ts'
import { formatKwh, parseKwh } from './units.ts'

/** OCMF table 2: `T` for the begin and end of a transaction, `F` (fiscal) for everything else. */
export type PaginationContext = 'T' | 'F'

/** OCMF table 7, TX. Wattline signs begin and end. */
export type TransactionMark = 'B' | 'E' | 'L' | 'R' | 'A' | 'P'

/** OCMF table 4: who was charging. `noUser` where there is no transaction. */
export interface UserAssignment {
  /** IS */ readonly assigned: boolean
  /** IL */ readonly level: string
  /** IF */ readonly flags: readonly string[]
  /** IT */ readonly type: string
  /** ID */ readonly id: string
}

export const noUser: UserAssignment = { assigned: false, level: 'NONE', flags: [], type: 'NONE', id: '' }

/** What stays the same from record to record of one metering point. */
export interface OcmfTemplate {
  /** GI: manufacturer and model of the signing system. */ readonly gatewayModel: string
  /** GS: the gateway's id. */ readonly gatewaySerial: string
  /** GV: the version of the signing software. */ readonly gatewayVersion: string
  /** MV */ readonly meterVendor: string
  /** MM */ readonly meterModel: string
  /** MS; empty where the meter has none to read. */ readonly meterSerial: string
  /** CT */ readonly pointType: 'EVSEID' | 'CBIDC'
  /** CI; `<gatewayId> <meterId>` for CBIDC. */ readonly pointText: string
}

/** Everything that one signed text says. */
export interface OcmfRecord {
  readonly template: OcmfTemplate
  /** PG, letter */ readonly context: PaginationContext
  /** PG, number */ readonly pageNumber: number
  readonly user: UserAssignment
  /** XE: the epoch, see SPEC-30. */ readonly epoch: number
  /** XN: counts up by one over both contexts and all epochs of the metering point. */ readonly sequence: number
  /** XP: SHA-256 of the previous payload, or of the provisioning certificate, in lower-case hex. */
  readonly previousHash: string
  /** TX; absent in context F. */ readonly mark?: TransactionMark
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  readonly state: ReadingState
  readonly registers: Registers
}

/** The OBIS codes that three independent verifiers accept for the two directions. */
export const obisCodes: Readonly<Record<Direction, string>> = {
  import: '01-00:01.08.00*FF',
  export: '01-00:C2.08.00*FF',
}

/** The order of the registers in `RD` and in the compact frame. */
export const directions: readonly Direction[] = ['import', 'export']

export const signatureAlgorithm = 'ECDSA-secp256k1-SHA256'

/** Builds the payload: the exact text that is signed (SPEC-10 to SPEC-17). */
export function formatOcmfPayload(record: OcmfRecord): string {
  const { template, user } = record
  const flags = user.flags.map((flag) => `"${checkText('IF', flag)}"`).join(',')
  return (
    `{"FV":"1.3","GI":"${checkText('GI', template.gatewayModel)}","GS":"${checkText('GS', template.gatewaySerial)}",` +
    `"GV":"${checkText('GV', template.gatewayVersion)}","PG":"${record.context}${record.pageNumber}",` +
    `"MV":"${checkText('MV', template.meterVendor)}","MM":"${checkText('MM', template.meterModel)}",` +
    `"MS":"${checkText('MS', template.meterSerial)}","IS":${user.assigned},"IL":"${checkText('IL', user.level)}",` +
    `"IF":[${flags}],"IT":"${checkText('IT', user.type)}","ID":"${checkText('ID', user.id)}",` +
    `"CT":"${template.pointType}","CI":"${checkText('CI', template.pointText)}",` +
    `"XE":${record.epoch},"XN":${record.sequence},"XP":"${record.previousHash}","RD":[${formatReadings(record)}]}`
  )
}

function formatReadings(record: OcmfRecord): string {
  const row = readingStates[record.state]
  const head =
    `{"TM":"${formatOcmfTime(record.takenAt, record.clockStatus)}",` +
    (record.mark === undefined ? '' : `"TX":"${record.mark}",`)
  const tail = `"EF":"${row.errorFlags}","ST":"${row.status}"}`
  // OCMF table 7: RV, RI, RU and RT are left out where only an error condition is told.
  if (row.energy === 'absent') return head + tail
  return directions
    .flatMap((direction) => {
      const wh = record.registers[direction]
      if (wh === undefined) return []
      return [`${head}"RV":${formatKwh(wh)},"RI":"${obisCodes[direction]}","RU":"kWh","RT":"AC",${tail}`]
    })
    .join(',')
}

// Printable ASCII without quotation mark, backslash and the section separator: nothing that JSON would escape.
const textPattern = /^[ !#-[\]-{}~]*$/

function checkText(field: string, text: string): string {
  if (!textPattern.test(text) || text.length > 200) {
    throw new WattError('record/malformed', `${field}: printable ASCII without " \\ | expected, got '${text}'`)
  }
  return text
}

/** Puts payload and signature together: the complete OCMF text. */
export function formatOcmfText(payload: string, signature: CompactSignature): string {
  return `OCMF|${payload}|{"SA":"${signatureAlgorithm}","SD":"${toUpperHex(encodeDerSignature(signature))}"}`
}

/** One record taken apart, with the very bytes that were signed. */
export interface ParsedOcmf {
  readonly record: OcmfRecord
  readonly payload: string
  /** SHA-256 of the payload in lower-case hex: the record's name in the chain. */
  readonly hash: string
  readonly signature: CompactSignature
}

const text = '[ !#-[\\]-{}~]{0,200}'
const payloadPattern = new RegExp(
  `^\\{"FV":"1\\.3","GI":"(${text})","GS":"(${text})","GV":"(${text})","PG":"([TF])([1-9]\\d{0,14})",` +
    `"MV":"(${text})","MM":"(${text})","MS":"(${text})","IS":(true|false),"IL":"(${text})",` +
    `"IF":\\[((?:"[A-Z0-9_]+"(?:,"[A-Z0-9_]+"){0,3})?)\\],"IT":"(${text})","ID":"(${text})",` +
    `"CT":"(EVSEID|CBIDC)","CI":"(${text})","XE":([1-9]\\d{0,14}),"XN":([1-9]\\d{0,14}),"XP":"([0-9a-f]{64})",` +
    `"RD":\\[(.+)\\]\\}$`,
)
const readingPattern =
  /\{"TM":"([^"]{30})",(?:"TX":"([BELRAP])",)?(?:"RV":((?:0|[1-9]\d{0,14})\.\d{3}),"RI":"([^"]+)","RU":"kWh","RT":"AC",)?"EF":"(E?)","ST":"([A-Z])"\}/y
const textSections = new RegExp(`^OCMF\\|([^|]+)\\|\\{"SA":"${signatureAlgorithm}","SD":"([0-9A-F]{16,144})"\\}$`)

/** Parses a complete OCMF text of ours. Anything else, even one character off, is `record/malformed`. */
export function parseOcmfText(ocmf: string): ParsedOcmf {
  const sections = textSections.exec(ocmf)
  if (sections === null) throw malformed('three sections OCMF|payload|signature expected', ocmf)
  const [, payload = '', hex = ''] = sections
  const signature = decodeDerSignature(fromHex(hex) ?? new Uint8Array())
  if (signature === undefined) throw malformed('SD: a DER signature expected', hex)
  return { record: parseOcmfPayload(payload), payload, hash: hashText(payload), signature }
}

/** Parses a payload, strictly: what it accepts formats to the same text again. */
export function parseOcmfPayload(payload: string): OcmfRecord {
  const match = payloadPattern.exec(payload)
  if (match === null) throw malformed('the fields of SPEC-11 in their order expected', payload)
  const field = (index: number) => match[index] ?? ''
  const reading = parseReadings(field(19), payload)
  const record: OcmfRecord = {
    template: {
      gatewayModel: field(1),
      gatewaySerial: field(2),
      gatewayVersion: field(3),
      meterVendor: field(6),
      meterModel: field(7),
      meterSerial: field(8),
      pointType: field(14) === 'EVSEID' ? 'EVSEID' : 'CBIDC',
      pointText: field(15),
    },
    context: field(4) === 'T' ? 'T' : 'F',
    pageNumber: Number(field(5)),
    user: {
      assigned: field(9) === 'true',
      level: field(10),
      flags: field(11) === '' ? [] : field(11).slice(1, -1).split('","'),
      type: field(12),
      id: field(13),
    },
    epoch: Number(field(16)),
    sequence: Number(field(17)),
    previousHash: field(18),
    ...reading,
  }
  if ((record.context === 'T') !== (record.mark !== undefined)) throw malformed('TX goes with context T', payload)
  if (formatOcmfPayload(record) !== payload) throw malformed('readings that agree with each other expected', payload)
  return record
}

type ReadingFields = Pick<OcmfRecord, 'mark' | 'takenAt' | 'clockStatus' | 'state' | 'registers'>

function parseReadings(readings: string, payload: string): ReadingFields {
  const registers: Partial<Record<Direction, bigint>> = {}
  let fields: Omit<ReadingFields, 'registers'> | undefined
  let at = 0
  while (at < readings.length) {
    readingPattern.lastIndex = at
    const match = readingPattern.exec(readings)
    const state = match === null ? undefined : toReadingState(match[6] ?? '', match[5] ?? '')
    const moment = match === null ? undefined : parseOcmfTime(match[1] ?? '')
    if (match === null || state === undefined || moment === undefined) throw malformed('RD: unknown reading', payload)
    const mark = match[2] as TransactionMark | undefined // the pattern admits no other
    fields = { takenAt: moment.time, clockStatus: moment.status, state, ...(mark === undefined ? {} : { mark }) }
    if (match[3] !== undefined) {
      const direction = directions.find((known) => obisCodes[known] === match[4])
      if (direction === undefined) throw malformed(`RI: unknown OBIS code ${match[4]}`, payload)
      registers[direction] = parseKwh(match[3])
    }
    at = readingPattern.lastIndex + 1
  }
  if (fields === undefined) throw malformed('RD: at least one reading expected', payload)
  return { ...fields, registers }
}

function malformed(problem: string, got: string): WattError {
  return new WattError('record/malformed', `${problem}, got '${got.length > 160 ? `${got.slice(0, 160)}...` : got}'`)
}
