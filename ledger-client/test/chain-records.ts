import {
  makeTimestamp,
  noUser,
  type OcmfRecord,
  type OcmfTemplate,
  type ReadingState,
  type Registers,
  type SignedRecord,
  type Signer,
  signRecord,
} from '@wattline/protocol'
import { roof } from '../../protocol/test/arbitraries.ts'
import { genesisSeconds } from './anvil.ts'

export const genesisMs = genesisSeconds * 1000
export const minuteMs = 60_000

/** One reading for `signReadings`; what is left out is as in the reading before. */
export interface Reading {
  readonly registers?: Registers
  readonly state?: ReadingState
  readonly minute?: number
  readonly template?: OcmfTemplate
  readonly epoch?: number
  readonly changes?: Partial<OcmfRecord>
}

/** A chain of records: one reading a minute, each record naming the one before. */
export function signReadings(readings: readonly Reading[], signer: Signer, first = '0'.repeat(64)): SignedRecord[] {
  const signed: SignedRecord[] = []
  let last = { registers: {} as Registers, template: roof, epoch: genesisMs }
  for (const [i, { state = 'ok', minute = i + 1, changes = {}, ...reading }] of readings.entries()) {
    last = { ...last, ...reading }
    const record: OcmfRecord = {
      template: last.template,
      context: 'F',
      pageNumber: i + 1,
      user: noUser,
      epoch: last.epoch,
      sequence: i + 1,
      previousHash: signed.at(-1)?.hash ?? first,
      takenAt: makeTimestamp(genesisMs + minute * minuteMs),
      clockStatus: 'S',
      state,
      registers: last.registers,
      ...changes,
    }
    signed.push(signRecord(record, signer))
  }
  return signed
}
