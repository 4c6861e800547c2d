import { join } from 'node:path'
import { type LedgerEngine, openLedger } from '../src/engine.ts'
import { HeadFile } from '../src/head.ts'
import { eur } from './money.ts'
import { Device, fastVerifier, type Message, TestClock, testSigner } from './rig.ts'

// A ledger that has seen everything there is: a house with a roof and a battery behind it, a charging point with
// sessions, an epoch after a restore, a revoked key, a frozen point, a swapped meter, money brought and paid out, and
// producers that fill it up. Each record goes the way that a
// record goes: signed, sent as text or frame, stored, verified, booked.

/** The number of the key that is revoked in the end. */
export const revokedKey = 4000

export interface FullLedgerOptions {
  readonly dataDir: string
  /** Rounds of one reading for each point. */
  readonly rounds: number
  /** Producers beside the points that are special. */
  readonly fields: number
  /** Looks at the ledger after each round. */
  readonly after?: (round: number, engine: LedgerEngine, head: HeadFile) => void
}

const batch = 500
/** Metering points that are not fields. */
export const specialPoints = 6

/** Makes a ledger of `rounds` × (`specialPoints` + fields) records, about; gives how many. */
export function makeFullLedger({ dataDir, rounds, fields: count, after }: FullLedgerOptions): number {
  const clock = new TestClock()
  const operatorKeyFile = join(dataDir, 'operator.key')
  const engine = openLedger({ dataDir, clock, verifier: fastVerifier, enrolment: 'open', operatorKeyFile })
  const owner = 'alice'
  const house = new Device({ meter: 'house', role: 'bidirectional', owner })
  const roof = new Device({ meter: 'roof', role: 'producer', owner, behind: house.id })
  const battery = new Device({ meter: 'battery', role: 'storage', owner, behind: house.id })
  const car = new Device({ meter: 'car', role: 'charger', owner: 'bob' })
  const old = new Device({ meter: 'old', role: 'producer', owner: 'carol', key: revokedKey })
  const twin = new Device({ meter: 'twin', role: 'producer', owner: 'dave' })
  const fields = Array.from({ length: count }, (_, at) => {
    return new Device({ meter: `field${at}`, role: 'producer', owner: `owner${at % 50}` })
  })
  const devices = [house, roof, battery, car, old, twin, ...fields]
  const head = new HeadFile(engine.db, { signer: testSigner(1_000_000), clock })
  let waiting: Message[] = devices.map((device) => device.certificateMessage())
  let records = 0
  const flush = () => {
    records += engine.ingest(waiting).accepted
    waiting = []
  }
  flush()
  bringMoney(engine, clock)
  for (let n = 0; n < rounds; n++) {
    const wh = BigInt(10 * n)
    const simple = (device: Device) => (n % 64 === 0 ? device.read({ export: wh }) : device.readFrame({ export: wh }))
    clock.ms += 60_000
    if (n === rounds >> 1) roof.restore()
    waiting.push(roof.base === undefined ? roof.read({ export: wh }) : simple(roof))
    waiting.push(house.read({ import: BigInt(3 * n), export: wh }))
    waiting.push(battery.read({ import: BigInt(6 * n), export: BigInt(5 * n) }))
    const mark = n % 8 === 1 ? 'B' : n % 8 === 5 ? 'E' : undefined
    waiting.push(car.read({ import: wh }, mark === undefined ? {} : { mark, driver: 'driver-1' }))
    if (n < rounds - 2) waiting.push(simple(old), simple(twin))
    for (const field of fields) waiting.push(simple(field))
    if (waiting.length >= batch) flush()
    after?.(n, engine, head)
  }
  // Somebody has put another meter in the first field.
  for (const field of fields.slice(0, 1)) waiting.push(field.read({ export: 3n }, { state: 're-based' }))
  flush()
  spoil(engine, old, twin)
  // After the last word of the operator, so that a forger who knows how to hash can write this booking anew.
  const last = battery.read({ import: BigInt(6 * rounds), export: BigInt(5 * rounds) })
  records += engine.ingest([last]).accepted
  head.write()
  engine.close()
  return records
}

// Alice brings money, pays bob, and gets some of it paid out.
function bringMoney({ db, transfers }: LedgerEngine, clock: TestClock): void {
  const money = { asset: eur, from: 'alice', to: 'alice', amount: 1200n } as const
  db.write(() => {
    transfers.deposit({ id: 'money-in', asset: eur, owner: 'alice', amount: 5000n, reference: 'SEPA 1' })
    transfers.transfer({ ...money, id: 'money-paid', to: 'bob', kind: 'payment' })
    const note = { payout: 'as agreed' }
    transfers.reserve({ ...money, id: 'money-out', kind: 'withdrawal', note, expiresAt: clock.ms + 1000 })
    transfers.post('money-gone', { reservation: 'money-out', reference: 'SEPA 2' })
  })
}

// One key is revoked, and one point tells two stories.
function spoil(engine: LedgerEngine, old: Device, twin: Device): void {
  const { epoch, sequence } = engine.registry.get(old.id)!.head!
  engine.db.write(() => engine.enrolment.revoke(old.id, { epoch, sequence }))
  const liar = Object.assign(Object.create(Object.getPrototypeOf(twin) as object) as Device, twin, { texts: [] })
  liar.sequence--
  liar.page--
  engine.ingest([liar.message(liar.sign({ registers: { export: 1_000_000n } }))])
}
