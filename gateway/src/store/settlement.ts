import {
  type Certificate,
  type ErrorCode,
  parseCertificate,
  parseRotation,
  type Receipt,
  type Refusal,
} from '@wattline/protocol'
import type { Store } from './database.ts'
import { type Epochs, openEpochAfterAcknowledged, openEpochAtHead } from './epochs.ts'
import { isAfter, type Outbox } from './outbox.ts'
import { findPoint, getPoint, type PointRow } from './points.ts'

/** What a receipt did. */
export interface Settlement {
  readonly outcome: /** Older than one that is known already, or for a point without records: nothing changed. */
    | 'stale'
    /** It confirms what was confirmed before. */
    | 'unchanged'
    /** More is confirmed than before. */
    | 'progressed'
    /** The ledger was restored to an earlier place: from there on everything is to be sent again. */
    | 'moved-back'
    /** It names another record than ours: it frees nothing. */
    | 'foreign'
    /** It names a place that is not remembered: it frees nothing, and where needed a new epoch is opened. */
    | 'unknown'
  /** How many records are confirmed that were not before. */
  readonly confirmed?: number
  /** The new epoch, where one was opened. */
  readonly openedEpoch?: number
  /** How many records were given up because the ledger will never accept them. */
  readonly rejected?: number
  readonly refusal?: Refusal
}

/** The ledger will not accept the chain as it stands; it takes one that goes on from what it has accepted (SPEC-32). */
const chainRefusals: readonly ErrorCode[] = [
  'chain/broken',
  'record/bad-signature',
  'record/epoch-closed',
  'record/malformed',
]

/** What settles receipts: where they are booked, and which sessions of the ledger are over. */
export interface SettlementParts {
  readonly store: Store
  readonly outbox: Outbox
  readonly epochs: Epochs
  /** Sessions that another one has followed, newest last; bounded by whoever keeps it. */
  readonly endedSessions: Set<string>
}

/** Old sessions that may still trickle in from a broker's queue. */
const rememberedSessions = 16

/** Books a receipt that is checked against the ledger's key. Must run in a write transaction. */
export function settleReceipt(parts: SettlementParts, receipt: Receipt): Settlement {
  const row = findPoint(parts.store, receipt.point)
  if (row === undefined || isStale(parts, row, receipt)) return { outcome: 'stale' }
  noteReceipt(parts, row, receipt)
  const settled = settlePlace(parts, row, receipt)
  const { refusal } = receipt
  if (refusal === undefined) return settled
  return { ...settled, refusal, ...settleRefusal(parts, getPoint(parts.store, receipt.point), refusal) }
}

function isStale({ endedSessions }: SettlementParts, row: PointRow, { session, serial }: Receipt): boolean {
  return session === row.receiptSession ? serial <= row.receiptSerial : endedSessions.has(session)
}

function noteReceipt({ store, endedSessions }: SettlementParts, row: PointRow, receipt: Receipt): void {
  if (row.receiptSession !== '' && row.receiptSession !== receipt.session) {
    endedSessions.add(row.receiptSession)
    const [oldest] = endedSessions
    if (endedSessions.size > rememberedSessions && oldest !== undefined) endedSessions.delete(oldest)
  }
  store
    .sql('UPDATE points SET receipt_session = ?, receipt_serial = ?, minted_wh = ?, burned_wh = ? WHERE number = ?')
    .run(receipt.session, receipt.serial, receipt.mintedWh.toString(), receipt.burnedWh.toString(), row.number)
}

function settlePlace(parts: SettlementParts, row: PointRow, receipt: Receipt): Settlement {
  const { outbox } = parts
  const { epoch, sequence, hash } = receipt
  const place = { epoch, sequence, hash }
  const knowledge = sequence === 0 ? 'ours' : outbox.lookUp(row, place)
  if (knowledge === 'unknown') return settleUnknown(parts, row, receipt)
  if (knowledge === 'foreign') return { outcome: 'foreign' }
  if (isAfter(place, row.acknowledged)) {
    outbox.acknowledge(row, place)
    return { outcome: 'progressed', confirmed: Math.max(0, sequence - row.acknowledged.sequence) }
  }
  // Within a session receipts only grow (SPEC-71); the one that began with this receipt may start further back.
  if (!isAfter(row.acknowledged, place) || receipt.session === row.receiptSession) return { outcome: 'unchanged' }
  outbox.acknowledge(row, place)
  return { outcome: 'moved-back', ...bridgePruned(parts, getPoint(parts.store, row.point)) }
}

// A ledger that was restored further back than records are kept here could never attach the next one: the chain goes
// on from what it has, and what was kept stays as it is.
function bridgePruned(
  { store, outbox, epochs }: SettlementParts,
  row: PointRow,
): Pick<Settlement, 'openedEpoch' | 'rejected'> {
  const certificateHash = certificateOf(row).hash
  // The first record names the certificate of its own time, whatever keys came later.
  const links = row.acknowledged.sequence === 0 ? listCertificates(row) : [row.acknowledged.hash]
  const next = outbox.firstUnconfirmed(row)
  if (links.some((link) => (next === undefined ? row.headHash === link : next.includes(`"XP":"${link}"`)))) return {}
  const openedEpoch = epochs.next()
  const code = 'chain/missing'
  return {
    openedEpoch,
    rejected: openEpochAfterAcknowledged(store, row, { epoch: openedEpoch, code, certificateHash }),
  }
}

// The ledger has more of this epoch, or a later epoch, than we remember: our memory is older than our past. In an epoch
// that is closed here already, that was found out before.
function settleUnknown({ store, epochs }: SettlementParts, row: PointRow, { epoch }: Receipt): Settlement {
  if (epoch < row.epoch) return { outcome: 'unknown' }
  const openedEpoch = epochs.next(epoch)
  openEpochAtHead(store, row, openedEpoch)
  return { outcome: 'unknown', openedEpoch }
}

function settleRefusal(
  { store, outbox, epochs }: SettlementParts,
  row: PointRow,
  { epoch, sequence, code }: Refusal,
): Pick<Settlement, 'openedEpoch' | 'rejected'> {
  const isFinal = chainRefusals.includes(code) || (code === 'point/revoked' && isOfEarlierKey(row, epoch))
  if (!isFinal || !outbox.isUnconfirmed(row, epoch, sequence)) return {}
  const openedEpoch = epochs.next()
  const certificateHash = certificateOf(row).hash
  return {
    openedEpoch,
    rejected: openEpochAfterAcknowledged(store, row, { epoch: openedEpoch, code, certificateHash }),
  }
}

// A ledger that froze or revoked a key takes nothing more of it; the one after it goes on from what was taken (SPEC-95).
function isOfEarlierKey({ rotations }: PointRow, epoch: number): boolean {
  const word = rotations.split('\n').findLast((line) => line.startsWith('WATT-ROTATION|'))
  return word !== undefined && epoch <= parseRotation(word).last.epoch
}

function listCertificates({ rotations, certificate }: PointRow): readonly string[] {
  const lines = rotations.split('\n').filter((line) => line.startsWith('WATT-CERT|'))
  return [...new Set([...lines, certificate])].map((text) => parseCertificate(text).hash)
}

function certificateOf(row: PointRow): Certificate {
  return parseCertificate(row.certificate)
}
