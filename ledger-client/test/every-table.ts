import { join } from 'node:path'
import { formatPublicKey, type OrderAction, signConsent, signOrder } from '@wattline/protocol'
import type { LedgerEngine } from '../src/engine.ts'
import { HeadFile } from '../src/head.ts'
import { openOrderDesk } from '../src/orders/desk.ts'
import { Anchors } from '../src/proof/anchors.ts'
import { Receipts } from '../src/receipts.ts'
import { FinalPlaces } from '../src/store/final-places.ts'
import { toMessage } from '../src/store/intake.ts'
import { holders } from './busy-ledger.ts'
import { Device, fastVerifier, openRig, type Rig, startMs, testSigner } from './rig.ts'
import { ledgerSigner, TestWallet } from './wallet-rig.ts'

const [alice, bob] = [testSigner(8001), testSigner(8002)]
const dayMs = 86_400_000
let issued = startMs

function signed({ id }: Device, action: OrderAction, signer = alice) {
  return signOrder({ point: id, action, issuedAt: ++issued }, signer)
}

/** A small ledger with something in every table, and something unfinished wherever something can be. Closed when it is given. */
export function makeEveryTable(t: Parameters<typeof openRig>[0], dataDir: string): void {
  const rig = openRig(t, { dataDir, eeaHolders: holders, operatorKeyFile: join(dataDir, 'operator.key') })
  const { engine, clock } = rig
  fillAccounts(rig)
  fillPoints(rig)
  const anchors = new Anchors({ db: engine.db, ledger: engine.ledger, signer: ledgerSigner, clock })
  for (const _ of [1, 2]) {
    clock.ms += dayMs
    while (anchors.step());
  }
  new Receipts(engine, ledgerSigner, clock)
  new FinalPlaces(engine.db).begin()
  new HeadFile(engine.db, { signer: ledgerSigner, clock }).write()
  engine.close()
}

function apply(engine: LedgerEngine, ...texts: string[]): void {
  engine.db.write(() => {
    engine.orders.apply(texts)
    engine.remainders.settleAll()
  })
}

function accept(engine: LedgerEngine, device: Device): void {
  const order = signed(device, { do: 'accept', certificate: device.certificate.hash, owner: 'alice' })
  apply(engine, device.certificate.text, order.text)
}

// A tree of three levels whose parents have begun anew and wait for a child, a point that has moved, one about to move,
// one with a new key, one that is offered to somebody else, one that is frozen, one revoked; sessions, one of them open.
function fillPoints({ engine }: Rig): void {
  const house = new Device({ meter: 'house', role: 'bidirectional' })
  const shed = new Device({ meter: 'shed', role: 'bidirectional', behind: house.id })
  const roof = new Device({ meter: 'roof', role: 'producer', behind: shed.id, first: { export: 5n } })
  const heat = new Device({ meter: 'heat', role: 'consumer', behind: house.id, rolloverWh: 1000n })
  const gate = new Device({ meter: 'gate', role: 'consumer', behind: house.id })
  const car = new Device({ meter: 'car', role: 'charger', owner: 'bob', behind: house.id })
  const box = new Device({ meter: 'box', role: 'storage', owner: 'bob' })
  const twin = new Device({ meter: 'twin', role: 'producer', owner: 'dave' })
  const tree = [house, shed, roof, heat, gate]
  for (const device of tree) accept(engine, device)
  engine.ingest([car, box, twin].map((device) => device.certificateMessage()))
  const round = (n: bigint, state: 'ok' | 're-based' = 'ok') => {
    engine.ingest([
      house.read({ import: 50n * n, export: 3n * n }, { state }),
      shed.read({ import: 2n * n, export: 7n * n }),
      roof.read({ export: 5n + 10n * n }, { state }),
      heat.read({ import: 20n * n }),
      gate.read({ import: 3n * n }),
      car.read(
        { import: 6n * n },
        n === 1n || n === 5n ? { mark: 'B', driver: 'driver-1' } : n === 3n ? { mark: 'E', driver: 'driver-1' } : {},
      ),
      box.read({ import: n, export: n }),
      twin.read({ export: n }),
    ])
  }
  for (let n = 0n; n < 4n; n++) round(n)
  engine.ingest([{ topic: roof.topic('certificate'), payload: Buffer.from(roof.rotate(8100).join('\n')) }])
  apply(engine, signed(heat, { do: 'move', after: heat.place, behind: shed.id }).text)
  apply(engine, signed(gate, { do: 'cap', maxPowerW: 900_000 }).text)
  round(4n, 're-based')
  round(5n)
  apply(
    engine,
    signed(gate, { do: 'move', after: { ...gate.place, sequence: gate.place.sequence + 5 }, behind: shed.id }).text,
  )
  const offer = signed(roof, {
    do: 'transfer',
    after: { ...roof.place, sequence: roof.place.sequence + 5 },
    owner: 'carol',
    to: formatPublicKey(bob.publicKey),
  })
  apply(engine, offer.text, signConsent({ point: roof.id, order: offer.hash, issuedAt: ++issued }, bob).text)
  const { epoch, sequence } = box.place
  engine.db.write(() => engine.enrolment.revoke(box.id, { epoch, sequence }))
  const truth = twin.read({ export: 6n })
  twin.sequence--
  twin.page--
  engine.ingest([
    truth,
    twin.read(
      { export: 9n },
      { change: { previousHash: JSON.parse(Buffer.from(truth.payload).toString().split('|')[1] ?? '').XP } },
    ),
  ])
  // The shed is ahead of those behind it; of the heater one record is missing, and one is not processed yet.
  engine.ingest([shed.read({ import: 12n, export: 42n }), house.read({ import: 300n, export: 18n })])
  heat.read({ import: 120n })
  engine.ingest([heat.read({ import: 140n }), { topic: 'elsewhere', payload: Buffer.from('?') }])
  const late = gate.read({ import: 18n })
  engine.store([toMessage(late.topic, late.payload)])
}

function fillAccounts({ engine, clock }: Rig): void {
  engine.db.write(() => {
    const { transfers, bounds } = engine
    bounds.set({ owner: 'carol', asset: 'WATT', most: 900n })
    const order = { asset: 'EEA', from: 'team', to: 'bob', amount: 100n, kind: 'transfer' } as const
    transfers.transfer({ ...order, id: 'pay' })
    transfers.reserve({ ...order, id: 'r-post', expiresAt: clock.ms + 10 })
    transfers.post('post', { reservation: 'r-post', amount: 60n })
    transfers.reserve({ ...order, id: 'r-gone', expiresAt: clock.ms + 10 })
    clock.ms += 10
    transfers.expire()
    transfers.reserve({ ...order, id: 'r-open', to: 'carol', expiresAt: clock.ms + 10 * dayMs })
  })
  const desk = openOrderDesk(engine, { clock, verifier: fastVerifier, signer: ledgerSigner })
  const ada = new TestWallet(901)
  const source = new Device({ meter: 'ada', role: 'producer', owner: ada.address, key: 903 })
  engine.ingest([source.certificateMessage(), source.read({ export: 0n }), source.read({ export: 10_000n })])
  engine.db.write(() => engine.bindings.bind('shop', ada.address))
  for (const text of [ada.pay('shop', 10n), ada.pay('shop', 100_000_000n)]) desk.orders.take(text)
}
