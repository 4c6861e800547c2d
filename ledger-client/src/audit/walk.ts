import type { Base, ErrorCode, OpenSession, ParsedOcmf, PublicKey } from '@wattline/protocol'
import type { Point } from '../points/registry.ts'

/** A row of the table of records. */
export interface Row {
  readonly id: bigint
  readonly epoch: bigint
  readonly sequence: bigint
  readonly hash: string
  readonly tag: bigint
  readonly text: string
  readonly taken_at: bigint
  readonly terms: bigint
  readonly outcome: string
  readonly base_at: bigint | null
  readonly net_wh: bigint
  readonly booked_wh: bigint | null
  readonly settled: bigint | null
}

/** An entry beside one of its postings; without any, the amount is null. */
export interface EntryLine {
  readonly id: bigint
  readonly kind: string
  readonly account: string | null
  readonly amount: bigint | null
}

/** A record that has been walked past, and the key of its epoch. */
export interface Accepted extends Row {
  readonly parsed: ParsedOcmf
  readonly spki: PublicKey
}

/** How far the check of one point has come. */
export interface Walk {
  readonly point: Point
  /** By epoch. */
  readonly keys: ReadonlyMap<bigint, PublicKey>
  previous: Accepted | undefined
  base: Base | undefined
  terms: bigint
  netWh: bigint
  bookedWh: bigint
  mintedWh: bigint
  burnedWh: bigint
  carriedWh: bigint
  session: OpenSession | undefined
  records: number
  unsettled: boolean
}

/** The first fault of a point ends its walk: nothing after it is proven. */
export class FoundFault extends Error {
  readonly code: ErrorCode
  /** Where it is another place than the one that is looked at. */
  readonly place: string | undefined
  constructor(code: ErrorCode, message: string, place?: string) {
    super(message)
    this.code = code
    this.place = place
  }
}

/** Whether a point's head and count are those of its records. Throws a FoundFault. */
export function checkHead({ point, previous, records }: Walk): void {
  const { head } = point
  if (head?.hash !== previous?.hash || point.records !== records) {
    const got = previous === undefined ? 'there is none' : `the last one here is ${previous.epoch}/${previous.sequence}`
    const expected = head === undefined ? 'no record' : `${point.records} records up to ${head.epoch}/${head.sequence}`
    throw new FoundFault('chain/missing', `${expected} expected, ${records} are here; ${got}`)
  }
  if (head === undefined || previous === undefined) return
  // Receipts name this place, and whoever waits for the point asks this time.
  const told = `${head.epoch}/${head.sequence} at ${head.takenAt}`
  const found = `${previous.epoch}/${previous.sequence} at ${previous.taken_at}`
  if (told !== found) throw new FoundFault('storage/corrupt', `its last record is ${found}, its row says ${told}`)
}

/** Whether a point's totals, base and open session are what its records come to. Throws a FoundFault. */
export function checkSums({ point, base, session, ...sums }: Walk): void {
  const told = [point.netWh, point.bookedWh, point.mintedWh, point.burnedWh, point.carriedWh]
  const found = [sums.netWh, sums.bookedWh, sums.mintedWh, sums.burnedWh, sums.carriedWh]
  if (told.join() !== found.join()) {
    const names = 'net, booked, minted, burned, carried'
    throw new FoundFault(
      'journal/unbalanced',
      `${names} are ${found.join(', ')} Wh by the records, ${told.join(', ')} by its row`,
    )
  }
  if (formatSession(point.session) !== formatSession(session)) {
    const got = formatSession(point.session)
    throw new FoundFault('storage/corrupt', `open session ${formatSession(session)} expected, got ${got}`)
  }
  if (formatBase(point.base) !== formatBase(base)) {
    throw new FoundFault('storage/corrupt', `base ${formatBase(base)} expected, got ${formatBase(point.base)}`)
  }
}

function formatSession(session: OpenSession | undefined): string {
  if (session === undefined) return 'none'
  const { epoch, sequence, pageNumber, driver = '-', countedWh, sound } = session
  return `${epoch}/${sequence} T${pageNumber} of ${driver}, ${countedWh} Wh, ${sound ? 'sound' : 'in doubt'}`
}

function formatBase(base: Base | undefined): string {
  if (base === undefined) return 'none'
  const { registers, takenAt, clockStatus, since } = base
  const put = since === undefined ? '' : `, since ${since}`
  return `import ${registers.import ?? '-'}, export ${registers.export ?? '-'} at ${takenAt} ${clockStatus}${put}`
}
