import { type PointId, parseOcmfText, type Receipt } from '@wattline/protocol'
import type { Place } from '../src/store/points.ts'
import { type Settlement, type SettlementParts, settleReceipt } from '../src/store/settlement.ts'
import { makeTempFolder, openRig, type SigningRig } from './signing-rig.ts'

// Receipts that an outbox is told, as its ledger would send them.

export const session = '00000000000000aa'
export const laterSession = '00000000000000bb'
let serial = 0

export function receiptFor(point: PointId, place: Place, extra: Partial<Receipt> = {}): Receipt {
  serial++
  const ledger = new Uint8Array(65)
  return { point, ledger, session, serial, ...place, mintedWh: 0n, burnedWh: 0n, resend: false, ...extra }
}

export function settle(rig: SigningRig, receipt: Receipt, asked: SettlementParts['asked'] = new Map()): Settlement {
  const { store, epochs } = rig.session
  const settlement = store.write(() => settleReceipt({ store, outbox: rig.outbox, epochs, asked }, receipt))
  if (settlement.outcome === 'progressed') rig.outbox.release(receipt.point, receipt)
  if (settlement.openedEpoch !== undefined || settlement.outcome === 'moved-back') rig.outbox.rewind(receipt.point)
  return settlement
}

/** The places of a point's records, in the order of the chain. */
export function placesOf(rig: SigningRig, point = rig.points[0]!): Place[] {
  return rig.texts(point).map((text) => {
    const { record, hash } = parseOcmfText(text)
    return { epoch: record.epoch, sequence: record.sequence, hash }
  })
}

export const takeAll = (rig: SigningRig, limit = 1_000) =>
  rig.outbox
    .take(limit, rig.points, () => Number.POSITIVE_INFINITY)
    .map(({ point, sequence }) => `${point.slice(5)} ${sequence}`)

export function rigWith(
  t: { teardown(action: () => void): void },
  records: number,
  meters: readonly string[] = ['roof'],
) {
  const rig = openRig({ dataDir: makeTempFolder((action) => t.teardown(action)), meters })
  t.teardown(() => rig.close())
  for (let n = 0; n < records; n++) for (const meter of meters) rig.sign(1_000 + n, meter)
  return rig
}
