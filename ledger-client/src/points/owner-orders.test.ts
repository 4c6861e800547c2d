import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  formatPublicKey,
  type OrderAction,
  type PointId,
  type Signer,
  signConsent,
  signOrder,
} from '@wattline/protocol'
import test from 'ava'
import { writeConfig } from '../../test/programs.ts'
import { Device, fastVerifier, openRig, quarantined, startMs, testSigner } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { enrol } from '../commands.ts'
import { loadConfig } from '../config.ts'
import type { LedgerEngine } from '../engine.ts'
import { readBalances } from '../reports.ts'

const [alice, bob, eve] = [testSigner(8001), testSigner(8002), testSigner(8003)]
const spki = (signer: Signer) => formatPublicKey(signer.publicKey)

let issued = startMs
function order(point: PointId, action: OrderAction, signer: Signer, issuedAt = ++issued) {
  return signOrder({ point, action, issuedAt }, signer)
}

function consent({ point, hash }: ReturnType<typeof order>, signer: Signer): string {
  return signConsent({ point, order: hash, issuedAt: ++issued }, signer).text
}

function accept({ id, certificate }: Device, owner: string, signer: Signer): string[] {
  return [certificate.text, order(id, { do: 'accept', certificate: certificate.hash, owner }, signer).text]
}

function apply(engine: LedgerEngine, ...texts: string[]) {
  return engine.db.write(() => {
    const done = engine.orders.apply(texts)
    engine.remainders.settleAll()
    return done
  })
}

function refused(t: { throws: (fn: () => void) => unknown }, engine: LedgerEngine, ...texts: string[]): unknown {
  const error = t.throws(() => apply(engine, ...texts))
  return error instanceof Error && 'code' in error ? error.code : error
}

function faults(engine: LedgerEngine) {
  return auditLedger(engine.db, fastVerifier).faults
}

/** A ledger that demands signatures, and a roof whose owner has signed. */
function signedRig(t: Parameters<typeof openRig>[0]) {
  const { engine } = openRig(t, { enrolment: 'signed' })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  apply(engine, ...accept(roof, 'alice', alice))
  return { engine, roof }
}

test('SPEC-93: where the config demands it, nothing is taken of a point before its owner has signed', (t) => {
  const { engine } = openRig(t, { enrolment: 'signed' })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const out = engine.ingest([roof.certificateMessage(), roof.read({ export: 5n }), roof.read({ export: 9n })])
  t.is(out.answers.get(roof.id)?.refusal?.code, 'order/unsigned')
  const terms = { owner: 'alice', role: 'producer' } as const
  t.throws(() => engine.db.write(() => engine.enrolment.enrol({ point: roof.id, key: roof.signer.publicKey, terms })), {
    code: 'order/unsigned',
  })
  apply(engine, ...accept(roof, 'alice', alice))
  engine.db.write(() => {
    engine.quarantine.release({ certificate: roof.topic('certificate'), record: roof.topic('record') })
  })
  engine.ingest([])
  t.is(engine.registry.get(roof.id)?.mintedWh, 4n)
  t.deepEqual(quarantined(engine), [])
  t.deepEqual(faults(engine), [])
})

test('SPEC-93: a point that an operator enrolled before is not taken either, until its owner signs', (t) => {
  const { engine, dataDir } = openRig(t, { enrolment: 'closed' })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const terms = { owner: 'alice', role: 'producer' } as const
  engine.db.write(() => engine.enrolment.enrol({ point: roof.id, key: roof.signer.publicKey, terms }))
  engine.ingest([roof.certificateMessage(), roof.read({ export: 5n })])
  engine.close()
  const strict = openRig(t, { dataDir, enrolment: 'signed' }).engine
  t.is(strict.ingest([roof.read({ export: 6n })]).answers.get(roof.id)?.refusal?.code, 'order/unsigned')
  apply(strict, ...accept(roof, 'alice', alice))
  t.is(strict.ingest([roof.message(roof.texts[1] ?? '')]).accepted, 1)
  t.deepEqual(faults(strict), [])
})

test('SPEC-93: an acceptance that does not fit is refused', (t) => {
  const { engine, roof } = signedRig(t)
  const [house, own] = [
    new Device({ meter: 'house', role: 'consumer' }),
    new Device({ meter: 'x', role: 'producer', owner: 'bob' }),
  ]
  const [certificate] = accept(house, 'alice', alice)
  t.is(refused(t, engine, certificate ?? '', accept(roof, 'alice', alice)[1] ?? ''), 'order/invalid')
  t.is(refused(t, engine, ...accept(house, 'alice', alice).slice(1)), 'order/invalid', 'no certificate')
  t.is(refused(t, engine, certificate ?? ''), 'order/invalid', 'no order')
  t.is(refused(t, engine, ...accept(house, 'alice', eve)), 'order/wrong-key', "another key speaks for alice's account")
  t.is(refused(t, engine, ...accept(own, 'alice', alice)), 'order/invalid', 'the device names another owner')
  const inside = new Device({ meter: 'car', role: 'charger', behind: 'gw-1/roof' })
  t.is(refused(t, engine, ...accept(inside, 'bob', bob)), 'order/unsigned', 'behind a meter of somebody else')
  const agreed = accept(inside, 'bob', bob)
  const { hash } = order(inside.id, { do: 'accept', certificate: inside.certificate.hash, owner: 'bob' }, bob, issued)
  apply(engine, ...agreed, signConsent({ point: inside.id, order: hash, issuedAt: issued }, alice).text)
  t.like(engine.registry.get(inside.id)?.terms, { owner: 'bob', ownerKey: spki(bob), behind: 'gw-1/roof' })
  t.deepEqual(faults(engine), [])
})

test('SPEC-93: a count that begins below what the certificate says is written down', (t) => {
  const { engine } = openRig(t)
  const swaps = () => engine.db.prepare<[], string>("SELECT note FROM entry WHERE kind = 'swap'").pluck().all()
  const first = { first: { export: 500n }, owner: 'alice', role: 'producer' } as const
  const [roof, barn] = [new Device({ meter: 'roof', ...first }), new Device({ meter: 'barn', ...first })]
  engine.ingest([roof.certificateMessage(), roof.read({ export: 500n }), roof.read({ export: 520n })])
  t.deepEqual(swaps(), [])
  engine.ingest([barn.certificateMessage(), barn.read({ export: 499n }), barn.read({ export: 520n })])
  t.like(JSON.parse(swaps()[0] ?? ''), { from: { certificate: { exportWh: '500' } }, to: { exportWh: '499' } })
  t.is(engine.registry.get(barn.id)?.mintedWh, 21n)
  t.deepEqual(faults(engine), [])
})

test('SPEC-95: a meter swap stands in the journal with both registers, and no energy between them', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 500n }), roof.read({ export: 530n })])
  const template = { ...JSON.parse(JSON.stringify(templateOf(roof))), meterSerial: '9999' }
  engine.ingest([roof.read({ export: 7n }, { state: 're-based', change: { template } })])
  const [note] = engine.db.prepare<[], string>("SELECT note FROM entry WHERE kind = 'swap'").pluck().all()
  const { from, to } = JSON.parse(note ?? '')
  t.like(from, { sequence: 2, serial: '4711', exportWh: '530' })
  t.like(to, { sequence: 3, serial: '9999', exportWh: '7' })
  t.is(engine.registry.get(roof.id)?.mintedWh, 30n)
  t.deepEqual(faults(engine), [])
})

function templateOf(device: Device) {
  const { gatewayModel, gatewaySerial, gatewayVersion } = {
    gatewayModel: 'Wattline gateway',
    gatewaySerial: 'gw-1',
    gatewayVersion: '0.1.0',
  }
  const pointText = device.id.replace('/', ' ')
  return {
    gatewayModel,
    gatewaySerial,
    gatewayVersion,
    meterVendor: 'Acme',
    meterModel: 'M2',
    meterSerial: '',
    pointType: 'CBIDC',
    pointText,
  }
}

test('SPEC-94: a change of owner splits at the record that it names', (t) => {
  const { engine, roof } = signedRig(t)
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10n })])
  const after = { ...roof.place, sequence: 4 }
  const offer = order(roof.id, { do: 'transfer', after, owner: 'bob', to: spki(bob) }, alice)
  t.is(refused(t, engine, offer.text), 'order/unsigned', 'the new owner has not agreed')
  t.is(refused(t, engine, offer.text, consent(offer, eve)), 'order/unsigned', 'somebody else has')
  t.like(apply(engine, offer.text, consent(offer, bob)), { action: 'transfer', waits: true })
  t.is(refused(t, engine, offer.text, consent(offer, bob)), 'order/passed', 'the same again')
  const second = order(roof.id, { do: 'transfer', after, owner: 'eve', to: spki(eve) }, alice)
  t.is(refused(t, engine, second.text, consent(second, eve)), 'order/pending')
  t.deepEqual(faults(engine), [])
  const readings = [30n, 70n, 150n, 310n].map((wh) => roof.read({ export: wh }))
  // The order of arrival is another one than that of the chain.
  engine.ingest([readings[2]!, readings[3]!, readings[1]!, readings[0]!])
  const owners = Object.fromEntries(readBalances(engine.db).owners.map(({ owner, wattWh }) => [owner, wattWh]))
  t.deepEqual(owners, { alice: 70n, bob: 240n })
  t.is(engine.registry.get(roof.id)?.pending, undefined)
  const late = order(roof.id, { do: 'cap', maxPowerW: 5 }, alice)
  t.is(refused(t, engine, late.text), 'order/wrong-key', 'alice has nothing to say any more')
  t.deepEqual(faults(engine), [])
})

test('SPEC-94: an order reaches forward only, and an old one does not come back', (t) => {
  const { engine, roof } = signedRig(t)
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10n })])
  const past = order(
    roof.id,
    { do: 'transfer', after: { ...roof.place, sequence: 1 }, owner: 'bob', to: spki(bob) },
    alice,
  )
  t.is(refused(t, engine, past.text, consent(past, bob)), 'order/passed')
  const [low, high] = [60, 6000].map((maxPowerW) => order(roof.id, { do: 'cap', maxPowerW }, alice)) as [
    typeof past,
    typeof past,
  ]
  apply(engine, high.text)
  t.is(refused(t, engine, low.text), 'order/passed')
  t.is(engine.registry.get(roof.id)?.terms.maxPowerW, 6000)
  engine.ingest([roof.read({ export: 10_000n })])
  t.is(engine.registry.get(roof.id)?.mintedWh, 10n, 'more than the new fuse allows')
  t.is(refused(t, engine, order('gw-1/no' as PointId, { do: 'cap', maxPowerW: 1 }, alice).text), 'point/unknown')
  t.is(refused(t, engine, 'what is this'), 'order/invalid')
  t.deepEqual(faults(engine), [])
})

test('SPEC-94: a session that is open at a change of owner is the old owner’s', (t) => {
  const { engine } = openRig(t, { enrolment: 'signed' })
  const car = new Device({ meter: 'car', role: 'charger' })
  apply(engine, ...accept(car, 'alice', alice))
  engine.ingest([car.certificateMessage(), car.read({ import: 0n }), car.read({ import: 0n }, { mark: 'B' })])
  const offer = order(car.id, { do: 'transfer', after: car.place, owner: 'bob', to: spki(bob) }, alice)
  apply(engine, offer.text, consent(offer, bob))
  engine.ingest([car.read({ import: 9n }), car.read({ import: 12n }, { mark: 'E' }), car.read({ import: 17n })])
  const owners = Object.fromEntries(readBalances(engine.db).owners.map(({ owner, gridWh }) => [owner, gridWh]))
  t.deepEqual(owners, { alice: -12n, bob: -5n })
  t.deepEqual(faults(engine), [])
})

test('SPEC-95: a key names its successor; the new epoch goes on from its last place', (t) => {
  const { engine, roof } = signedRig(t)
  const stolen = roof.signer
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n })])
  const last = roof.read({ export: 10n })
  const [rotation, certificate] = roof.rotate(8100)
  const topic = roof.topic('certificate')
  const message = { topic, payload: Buffer.from([roof.certificate.text, rotation, certificate].join('\n')) }
  const next = roof.read({ export: 30n })
  // The new epoch overtakes the old key's last record, and the rotation comes again with each connect.
  engine.ingest([message, next, last, message])
  t.is(engine.registry.get(roof.id)?.mintedWh, 30n)
  t.deepEqual(
    engine.registry.get(roof.id)?.keys.map((key) => key.last),
    [{ epoch: startMs, sequence: 2 }, undefined],
  )
  const usurper = new Device({ meter: 'roof', role: 'producer' })
  usurper.signer = stolen
  Object.assign(usurper, { epoch: roof.epoch + 9, sequence: 3, previousHash: roof.previousHash })
  engine.ingest([usurper.read({ export: 9999n })])
  t.is(engine.registry.get(roof.id)?.mintedWh, 30n, 'the old key says nothing more')
  t.deepEqual(faults(engine), [])
})

test('SPEC-95: a ledger that meets a point after its key has changed takes what the first key signed, too', async (t) => {
  for (const enrolment of ['open', 'closed'] as const) {
    const { path, folder } = writeConfig(t, { port: 0, enrolment })
    const { engine } = openRig(t, { dataDir: join(folder, 'data'), enrolment })
    const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
    const [first, old] = [roof.certificate.text, [roof.read({ export: 5n }), roof.read({ export: 15n })]]
    const documents = [first, ...roof.rotate(8130), ...roof.rotate(8131)]
    const message = { topic: roof.topic('certificate'), payload: Buffer.from(documents.join('\n')) }
    engine.ingest([message, roof.certificateMessage(), ...old, roof.read({ export: 25n })])
    if (enrolment === 'closed') {
      t.is(engine.registry.get(roof.id), undefined)
      const certificate = join(folder, 'certificates')
      writeFileSync(certificate, documents.join('\n'))
      await enrol(loadConfig(path), { point: roof.id, certificate })
      engine.ingest([])
    }
    t.like(engine.registry.get(roof.id), { mintedWh: 20n, records: 3 }, enrolment)
    t.deepEqual(faults(engine), [])
    engine.close()
  }
})

test('SPEC-95: a rotation is refused that is not the key’s own word, or that forgets a record', (t) => {
  const { engine, roof } = signedRig(t)
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10n })])
  const forgetful = new Device({ meter: 'roof', role: 'producer' })
  Object.assign(forgetful, { signer: roof.signer, sequence: 1, previousHash: roof.previousHash })
  t.is(refused(t, engine, ...forgetful.rotate(8110)), 'order/passed')
  const stranger = new Device({ meter: 'roof', role: 'producer' })
  t.is(refused(t, engine, ...stranger.rotate(8111)), 'order/wrong-key')
  const [rotation] = roof.rotate(8112)
  t.is(refused(t, engine, rotation), 'order/invalid', 'without the certificate')
  t.is(refused(t, engine, rotation, stranger.certificate.text), 'order/invalid', 'with another')
  t.deepEqual(faults(engine), [])
})

test('SPEC-94: an owner revokes a key up to a sequence, and takes its successor; the same way out of a freeze', (t) => {
  const { engine, roof } = signedRig(t)
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10n })])
  t.is(refused(t, engine, order(roof.id, { do: 'revoke', last: roof.place }, eve).text), 'order/wrong-key')
  apply(engine, order(roof.id, { do: 'revoke', last: roof.place }, alice).text)
  t.is(engine.ingest([roof.read({ export: 99n })]).answers.get(roof.id)?.refusal?.code, 'point/revoked')
  const second = new Device({ meter: 'roof', role: 'producer' })
  t.is(refused(t, engine, ...accept(second, 'alice', eve)), 'order/wrong-key')
  apply(engine, ...accept(second, 'alice', alice))
  Object.assign(second, { epoch: roof.epoch + 5 })
  engine.ingest([second.certificateMessage(), second.read({ export: 20n }), second.read({ export: 25n })])
  t.is(engine.registry.get(roof.id)?.mintedWh, 25n, 'the register goes on')
  const twice = second.sign({ registers: { export: 26n } })
  Object.assign(second, { sequence: 2, page: 2 })
  engine.ingest([second.message(twice), second.read({ export: 1000n })])
  t.is(engine.registry.get(roof.id)?.frozen !== undefined, true)
  const third = new Device({ meter: 'roof', role: 'producer' })
  t.is(refused(t, engine, ...second.rotate(8120)), 'point/frozen')
  apply(engine, ...accept(third, 'alice', alice))
  t.is(engine.registry.get(roof.id)?.frozen, undefined)
  t.deepEqual(faults(engine), [])
})

test('SPEC-95: a point whose power an operator left out learns it with its next key, and from no key that has gone', (t) => {
  const { engine } = openRig(t, { enrolment: 'closed' })
  const roof = new Device({ meter: 'roof', role: 'producer', maxPowerW: 5000 })
  const terms = { owner: 'alice', role: 'producer' } as const
  engine.db.write(() => engine.enrolment.enrol({ point: roof.id, key: roof.signer.publicKey, terms }))
  const old = roof.certificateMessage()
  const words = roof.rotate(8140)
  engine.ingest([{ topic: roof.topic('certificate'), payload: Buffer.from(words.join('\n')) }])
  t.is(engine.registry.get(roof.id)?.terms.maxPowerW, 5000)
  engine.ingest([old])
  t.deepEqual(faults(engine), [])
  const shed = new Device({ meter: 'shed', role: 'producer', maxPowerW: 9_000_000 })
  engine.db.write(() => {
    engine.enrolment.enrol({ point: shed.id, key: shed.signer.publicKey, terms })
    engine.enrolment.revoke(shed.id, { epoch: 0, sequence: 0 })
  })
  engine.ingest([shed.certificateMessage()])
  t.is(engine.registry.get(shed.id)?.terms.maxPowerW, undefined)
  t.deepEqual(faults(engine), [])
})
