import {
  type ErrorCode,
  type PointId,
  parseCertificate,
  parseRotation,
  type Receipt,
  type Refusal,
} from '@wattline/protocol'
import type { Store } from './database.ts'
import { type Epochs, openEpochAfterAcknowledged, openEpochAtHead } from './epochs.ts'
import { isAfter, type Outbox } from './outbox.ts'
import { findPoint, getPoint, type Place, type PointRow } from './points.ts'

/** What a receipt did. */
export interface Settlement {
  readonly outcome: /** Older than one that is known already, or for a point without records: nothing changed. */
    | 'stale'
    /** Of a session that began before the one in which something was confirmed: nothing changed. */
    | 'outdated'
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

/** What settles receipts: where they are booked, and how often the ledger has asked in vain. */
export interface SettlementParts {
  readonly store: Store
  readonly outbox: Outbox
  readonly epochs: Epochs
  /** Of each point the place from which the ledger has asked to send again, and how often. */
  readonly asked: Map<PointId, { readonly hash: string; readonly times: number }>
}

/** Asked this often at one place: what is sent does not arrive too late or out of order, it does not attach. */
const patience = 3

/** Books a receipt that is checked against the ledger's key. Must run in a write transaction. */
export function settleReceipt(parts: SettlementParts, receipt: Receipt): Settlement {
  const row = findPoint(parts.store, receipt.point)
  if (row === undefined || isStale(row, receipt)) return { outcome: 'stale' }
  // A session is the time at which it began (SPEC-71).
  if (receipt.session < row.receiptSession) return { outcome: 'outdated' }
  const placed = settlePlace(parts, row, receipt)
  noteReceipt(parts, row, { receipt, confirms: placed.outcome !== 'unknown' })
  const settled = receipt.resend && placed.openedEpoch === undefined ? heed(parts, receipt, placed) : placed
  const { refusal } = receipt
  if (refusal === undefined) return settled
  return { ...settled, refusal, ...settleRefusal(parts, getPoint(parts.store, receipt.point), refusal) }
}

const isStale = (row: PointRow, { session, serial }: Receipt): boolean =>
  session === row.receiptSession && serial <= row.receiptSerial

// The session that is kept is the one in which the confirmed place was told: as long as a new one has only named what
// is not remembered here, nobody knows whether the ledger still has that place.
function noteReceipt(
  { store }: SettlementParts,
  row: PointRow,
  { receipt, confirms }: { readonly receipt: Receipt; readonly confirms: boolean },
): void {
  const { session, serial, mintedWh, burnedWh } = receipt
  const [keptSession, keptSerial] =
    confirms || session === row.receiptSession ? [session, serial] : [row.receiptSession, row.receiptSerial]
  store
    .sql('UPDATE points SET receipt_session = ?, receipt_serial = ?, minted_wh = ?, burned_wh = ? WHERE number = ?')
    .run(keptSession, keptSerial, mintedWh.toString(), burnedWh.toString(), row.number)
}

function settlePlace(parts: SettlementParts, row: PointRow, receipt: Receipt): Settlement {
  const { outbox } = parts
  const place = placeOf(receipt)
  const isKnown = place.sequence === 0 || place.hash === row.acknowledged.hash
  const knowledge = isKnown ? 'ours' : outbox.lookUp(row, place)
  if (knowledge === 'foreign') return { outcome: 'foreign' }
  const isNewSession = receipt.session !== row.receiptSession
  if (knowledge === 'unknown' && !(isNewSession && isAfter(row.acknowledged, place))) {
    return settleUnknown(parts, row, receipt)
  }
  if (isAfter(place, row.acknowledged)) {
    outbox.acknowledge(row, place)
    return { outcome: 'progressed', confirmed: Math.max(0, place.sequence - row.acknowledged.sequence) }
  }
  // Within a session receipts only grow (SPEC-71); the one that began with this receipt may start further back.
  if (!isAfter(row.acknowledged, place) || !isNewSession) return { outcome: 'unchanged' }
  outbox.acknowledge(row, place)
  // SPEC-75: the ledger stands at a record that is forgotten here. What is kept may follow one that it has all the same.
  if (knowledge === 'unknown') return { outcome: 'moved-back' }
  return { outcome: 'moved-back', ...bridge(parts, getPoint(parts.store, row.point)) }
}

const placeOf = ({ epoch, sequence, hash }: Receipt): Place => ({ epoch, sequence, hash })

// SPEC-75: the ledger asks for what follows its place. Where that was sent several times and nothing of it attaches, both
// have lost what the other one goes on from.
function heed(parts: SettlementParts, receipt: Receipt, settled: Settlement): Settlement {
  const { store, outbox, asked } = parts
  const { point, hash } = receipt
  const before = asked.get(point)
  const times = before?.hash === hash ? before.times + 1 : 1
  asked.set(point, { hash, times })
  const row = getPoint(store, point)
  const isDoubtful = settled.outcome === 'unknown' && receipt.session !== row.receiptSession
  if (times < patience || !(isDoubtful || row.acknowledged.hash === hash)) return settled
  if (!isDoubtful) return { ...settled, ...bridge(parts, row) }
  // What is not confirmed can only follow a record that the ledger has no more.
  const { rejected } = openEpochAfter(parts, row)
  outbox.acknowledge(row, placeOf(receipt))
  noteReceipt(parts, row, { receipt, confirms: true })
  const { openedEpoch } = openEpochAfter(parts, getPoint(store, point))
  return { outcome: 'moved-back', openedEpoch, rejected }
}

// A ledger that was restored further back than records are kept here could never attach the next one: the chain goes
// on from what it has, and what was kept stays as it is.
function bridge(parts: SettlementParts, row: PointRow): Pick<Settlement, 'openedEpoch' | 'rejected'> {
  // The first record names the certificate of its own time, whatever keys came later.
  const links = row.acknowledged.sequence === 0 ? listCertificates(row) : [row.acknowledged.hash]
  const next = parts.outbox.firstUnconfirmed(row)
  const follows = (link: string) => (next === undefined ? row.headHash === link : next.includes(`"XP":"${link}"`))
  return links.some(follows) ? {} : openEpochAfter(parts, row)
}

function openEpochAfter(
  { store, epochs }: SettlementParts,
  row: PointRow,
  code: ErrorCode = 'chain/missing',
): { readonly openedEpoch: number; readonly rejected: number } {
  const openedEpoch = epochs.next()
  const certificateHash = parseCertificate(row.certificate).hash
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
  parts: SettlementParts,
  row: PointRow,
  { epoch, sequence, code }: Refusal,
): Pick<Settlement, 'openedEpoch' | 'rejected'> {
  const isFinal = chainRefusals.includes(code) || (code === 'point/revoked' && isOfEarlierKey(row, epoch))
  return isFinal && parts.outbox.isUnconfirmed(row, epoch, sequence) ? openEpochAfter(parts, row, code) : {}
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
