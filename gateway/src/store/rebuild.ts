import { type Certificate, formatPublicKey, parsePointId, readingStates } from '@wattline/protocol'
import { type GuardHistory, noHistory } from '../guard-history.ts'
import type { Store } from './database.ts'
import { type ChainHead, changeKey, insertPoint, type Place, updateHead } from './points.ts'
import type { Salvage, SavedRecord } from './salvage.ts'

/** What became of one metering point. */
export interface Rebuilt {
  readonly kept: number
  /** Of these, the ones that the ledger could never attach, because something before them is lost. */
  readonly unreachable: number
}

/** A saved record, and how it goes into the new database. */
interface Row extends ChainHead {
  readonly saved: SavedRecord
  readonly reachable: boolean
}

/**
 * Builds one metering point anew from what was saved. The chain goes on from the last record that hangs together with
 * what the ledger has confirmed; what lies behind a gap is kept, and not sent. Part of a transaction.
 */
export function rebuildPoint(
  store: Store,
  { certificate, rotations }: { readonly certificate: Certificate; readonly rotations: string },
  { records, acknowledged }: Salvage,
): Rebuilt {
  const { gatewayId, meterId } = parsePointId(certificate.point)
  const own = withoutDoubles(
    records.filter(({ parsed }) => parsed.record.template.pointText === `${gatewayId} ${meterId}`),
  )
  const confirmed = acknowledged.get(certificate.point)
  const confirmedAt = confirmed === undefined ? -1 : own.findIndex((saved) => isAt(saved, confirmed))
  const rows = layOut(own, Math.max(0, confirmedAt))
  const head = rows.findLast(({ reachable }) => reachable)
  const keys = { publicKey: formatPublicKey(certificate.key), certificate: certificate.text }
  const { number } = insertPoint(store, {
    point: certificate.point,
    ...keys,
    // The gateway's next start opens a new one, above every epoch it finds.
    epoch: Math.max(1, ...rows.map(({ epoch }) => epoch)),
    headHash: certificate.hash,
    history: recallHistory(own),
  })
  changeKey(store, number, { ...keys, rotations })
  if (head !== undefined) updateHead(store, number, head)
  for (const row of rows) insertRow(store, number, row)
  if (confirmed !== undefined && confirmedAt >= 0) confirm(store, number, confirmed)
  return { kept: rows.length, unreachable: rows.filter(({ reachable }) => !reachable).length }
}

function isAt({ parsed }: SavedRecord, place: Place): boolean {
  const { epoch, sequence } = parsed.record
  return epoch === place.epoch && sequence === place.sequence && parsed.hash === place.hash
}

function withoutDoubles(records: readonly SavedRecord[]): readonly SavedRecord[] {
  const places = new Map(
    records.map((saved) => [`${saved.parsed.record.epoch}/${saved.parsed.record.sequence}`, saved]),
  )
  return [...places.values()]
}

// Follows the chain from the last confirmed record, or from the first one, by the hashes.
function layOut(own: readonly SavedRecord[], startAt: number): readonly Row[] {
  let link = own[startAt]?.parsed.hash
  let pages = { pageF: 0, pageT: 0 }
  return own.map((saved, at) => {
    const { record, hash } = saved.parsed
    const follows = at > startAt && record.previousHash === link
    if (follows) link = hash
    pages = record.context === 'F' ? { ...pages, pageF: record.pageNumber } : { ...pages, pageT: record.pageNumber }
    const { epoch, sequence } = record
    return { saved, reachable: at <= startAt || follows, epoch, sequence, headHash: hash, ...pages }
  })
}

function insertRow(store: Store, number: number, { saved, reachable, epoch, sequence, ...row }: Row): void {
  const { takenAt, state } = saved.parsed.record
  store
    .sql(
      `INSERT INTO records (point, epoch, sequence, page_f, page_t, taken_at, state, hash, text, rejected)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      number,
      epoch,
      sequence,
      row.pageF,
      row.pageT,
      takenAt,
      state,
      row.headHash,
      saved.text,
      reachable ? null : 'chain/missing',
    )
}

function confirm(store: Store, number: number, { epoch, sequence, hash }: Place): void {
  store
    .sql('UPDATE points SET acknowledged_epoch = ?, acknowledged_sequence = ?, acknowledged_hash = ? WHERE number = ?')
    .run(epoch, sequence, hash, number)
}

// The last sound reading is in the records. Uptimes are not, so that the wall clock has to serve.
function recallHistory(own: readonly SavedRecord[]): GuardHistory {
  const sound = own.findLast(({ parsed }) =>
    ['sound', 'wrapped', 'base'].includes(readingStates[parsed.record.state].energy),
  )
  if (sound === undefined) return noHistory
  const { registers, takenAt, clockStatus, template } = sound.parsed.record
  const moment = { takenAt, clockStatus, bootId: '', uptimeMs: 0 }
  return { ...noHistory, serial: template.meterSerial, base: { registers, moment } }
}
