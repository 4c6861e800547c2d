import { statSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, makeSigner, signAct } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { appendEntry } from '../../test/forge-entries.ts'
import { Device, fastVerifier, openRig, tempDir, testSigner } from '../../test/rig.ts'
import { TestWallet } from '../../test/wallet-rig.ts'
import { correct } from '../ledger/corrections.ts'
import { handOver } from '../ledger/office.ts'
import { makeKeyFile, readKeyFile } from '../ledger-key.ts'
import { termsOf } from '../points/registry.ts'
import { Database, databaseFile } from '../store/database.ts'
import { auditLedger } from './audit.ts'

type Teardown = Parameters<typeof openRig>[0]
const holders = ['a', 'b', 'c', 'd', 'e']
const spkiOf = (file: string) => formatPublicKey(makeSigner(readKeyFile(file)).publicKey)

/** A ledger whose operator has done everything that operators do; enrolment is closed. */
function openGoverned(t: Teardown, dataDir = tempDir(t), operatorKeyFile = join(dataDir, 'operator.key')) {
  const rig = openRig(t, { dataDir, operatorKeyFile, enrolment: 'closed', eeaHolders: holders })
  const { engine } = rig
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice', key: 700 })
  const old = new Device({ meter: 'old', role: 'producer', owner: 'bob', key: 701 })
  engine.db.write(() => {
    // The roof's power is left out: its certificate tells it later.
    const { maxPowerW: _, ...terms } = termsOf(roof.certificate)
    engine.enrolment.enrol({ point: roof.id, key: roof.signer.publicKey, terms })
    engine.enrolment.enrol({ point: old.id, key: old.signer.publicKey, terms: termsOf(old.certificate) })
    engine.enrolment.revoke(old.id, { epoch: 0, sequence: 0 })
    engine.bounds.set({ owner: 'bob', asset: 'WATT', most: 900n })
    engine.bindings.bind('alice', new TestWallet(702).address)
  })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 1000n })])
  const { id } = engine.db.prepare<[], { id: number }>(`SELECT id FROM entry WHERE kind = 'claim'`).get()!
  engine.db.write(() => {
    const order = { asset: 'WATT', from: 'alice', to: 'bob', amount: 100n } as const
    engine.transfers.transfer({ ...order, id: 'gift', kind: 'payment' })
    engine.transfers.transfer({ ...order, id: 'fee', amount: 1n, kind: 'fee', note: { for: 'gift' } })
    correct(engine.journal, { entry: id, amount: 300n, reason: 'the meter was read twice' })
  })
  return { ...rig, roof, operatorKeyFile }
}

/** Audits with something planted that is gone again afterwards. */
function faultsWith(dataDir: string, plant: (db: Sqlite.Database) => void): readonly string[] {
  const db = new Sqlite(join(dataDir, databaseFile))
  try {
    db.exec('BEGIN')
    plant(db)
    const { faults } = auditLedger(new Database(join(dataDir, databaseFile), db), fastVerifier)
    return faults.map(({ place, code }) => `${place}: ${code}`)
  } finally {
    db.close()
  }
}

test('SPEC-157: the first key is pinned in the journal, and whatever rests on the operator’s word is signed with it', (t) => {
  const { engine, operatorKeyFile } = openGoverned(t)
  t.is(statSync(operatorKeyFile).mode & 0o777, 0o600)
  const { faults, operator } = auditLedger(engine.db, fastVerifier)
  t.deepEqual(faults, [])
  // The pin, EEA's issue, two enrolments, revocation, limit, binding, a transfer, its fee, a correction.
  t.deepEqual(operator, { key: spkiOf(operatorKeyFile), signedActs: 10, unsignedActs: 0 })
})

test('SPEC-157: the audit names each act without a valid signature of the operator, whoever forged it', (t) => {
  const { engine, dataDir } = openGoverned(t)
  const entryOf = (kind: string) =>
    engine.db.prepare<[string], { id: number }>('SELECT id FROM entry WHERE kind = ? ORDER BY id').get(kind)!.id
  const last = engine.db.prepare<[], { id: number; hash: string }>('SELECT id, hash FROM entry ORDER BY id DESC').get()!
  const next = `entry ${last.id + 1}`
  const find = (plant: (db: Sqlite.Database) => void) => faultsWith(dataDir, plant)
  t.deepEqual(
    find(() => {}),
    [],
  )
  const unsigned = (kind: string) => [`entry ${entryOf(kind)}: operator/unsigned`]
  for (const kind of [
    'operator',
    'issue',
    'enrolment',
    'revocation',
    'limit',
    'wallet',
    'payment',
    'fee',
    'correction',
  ]) {
    const plant = (db: Sqlite.Database) => db.prepare('DELETE FROM operator_act WHERE entry = ?').run(entryOf(kind))
    // Without its first word, what follows is from before the first key of another one.
    t.deepEqual(find(plant).slice(0, 1), unsigned(kind), kind)
  }
  const replay = (db: Sqlite.Database) =>
    db.prepare(`UPDATE operator_act SET text = (SELECT text FROM operator_act WHERE entry = ?) WHERE entry = ?`)
  t.deepEqual(
    find((db) => replay(db).run(entryOf('limit'), entryOf('wallet'))),
    unsigned('wallet'),
  )
  const limit = { kind: 'limit', point: null, note: '{"owner":"carol","asset":"WATT","most":"5"}' }
  t.is(find((db) => appendEntry(db, limit, []))[0], `${next}: operator/unsigned`)
  const strange = find((db) => {
    appendEntry(db, limit, [])
    const { id, hash } = db.prepare<[], typeof last>('SELECT id, hash FROM entry ORDER BY id DESC').get()!
    db.prepare('INSERT INTO operator_act VALUES (?, ?)').run(id, signAct({ entry: id, hash }, testSigner(5)))
  })
  t.is(strange[0], `${next}: operator/wrong-key`)
  const theft = [
    ['owner:alice', -50],
    ['owner:eve', 50],
  ] as const
  const payment = (id: string) => {
    const note = '{"kind":"payment","asset":"WATT","from":"alice","to":"eve","amount":"50"}'
    return (db: Sqlite.Database) =>
      appendEntry(
        db,
        { kind: 'payment', point: null, claim: `order:${id}`, note },
        theft.map(([a, n]) => [a, n]),
      )
  }
  t.is(find(payment('mine'))[0], `${next}: operator/unsigned`)
  t.is(find(payment('a'.repeat(64)))[0], `${next}: transfer/forbidden`)
  const certificate = new Device({ meter: 'fake', role: 'producer', owner: 'eve', key: 703 }).certificate
  const enrolled = (note: object) => (db: Sqlite.Database) =>
    appendEntry(db, { kind: 'enrolment', point: 'gw-1/fake', note: JSON.stringify(note) }, [])
  for (const word of [{}, { certificate: certificate.hash }, { documents: ['WATT-CERT|{}|{}'] }, { order: 1 }]) {
    const terms = { owner: 'eve', role: 'producer', key: formatPublicKey(certificate.key), maxPowerW: 9000 }
    t.true(find(enrolled({ ...terms, ...word })).includes(`${next}: operator/unsigned`), JSON.stringify(word))
  }
})

test('SPEC-157: where enrolment is open, a device’s certificate enrols it, and nothing that it does not say', (t) => {
  const dataDir = tempDir(t)
  const { engine } = openRig(t, { dataDir, operatorKeyFile: join(dataDir, 'operator.key') })
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice', first: { export: 5n } })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 5n })])
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
  const altered = faultsWith(dataDir, (db) =>
    db.exec(`UPDATE entry SET note = replace(note, 'alice', 'eve') WHERE kind = 'enrolment'`),
  )
  t.true(
    altered.some((fault) => fault.endsWith(': operator/unsigned')),
    altered.join('\n'),
  )
  engine.close()
  const closed = openRig(t, { dataDir, operatorKeyFile: join(dataDir, 'operator.key'), enrolment: 'closed' })
  t.like(closed.engine.operator.office(), { number: 2, enrolment: 'closed' })
  t.deepEqual(auditLedger(closed.engine.db, fastVerifier).faults, [])
})

test('SPEC-157: what was done before the first key stays as it is, and that is told', (t) => {
  const dataDir = tempDir(t)
  const before = openRig(t, { dataDir })
  before.engine.db.write(() => before.engine.bounds.set({ owner: 'bob', asset: 'WATT', most: 900n }))
  before.engine.close()
  const { engine, operatorKeyFile } = openGoverned(t, dataDir)
  const { faults, operator } = auditLedger(engine.db, fastVerifier)
  t.deepEqual(faults, [])
  t.like(operator, { key: spkiOf(operatorKeyFile), unsignedActs: 1 })
})

test('SPEC-157: an act without the key at hand is refused and leaves nothing; everything else goes on', (t) => {
  const { engine, dataDir, operatorKeyFile, roof } = openGoverned(t)
  engine.close()
  const away = openRig(t, { dataDir, operatorKeyFile: join(dataDir, 'stick', 'operator.key'), enrolment: 'closed' })
  away.engine.ingest([roof.read({ export: 2000n })])
  const entries = () => away.engine.db.prepare<[], { n: number }>('SELECT count(*) AS n FROM entry').get()!.n
  const count = entries()
  const limit = () => away.engine.db.write(() => away.engine.bounds.set({ owner: 'bob', asset: 'WATT', most: 1n }))
  t.throws(limit, { code: 'operator/unsigned', message: /stick\/operator\.key is not there/ })
  t.is(entries(), count)
  t.deepEqual(auditLedger(away.engine.db, fastVerifier).faults, [])
  away.engine.close()
  const other = join(dataDir, 'other.key')
  makeKeyFile(other)
  t.throws(() => openRig(t, { dataDir, operatorKeyFile: other, enrolment: 'closed' }), { code: 'operator/wrong-key' })
  t.throws(() => openRig(t, { dataDir, enrolment: 'open' }), { code: 'operator/unsigned' })
  // The key names its successor, and signs nothing after that.
  const again = openRig(t, { dataDir, operatorKeyFile, enrolment: 'closed' })
  again.engine.db.write(() => handOver(again.engine, makeSigner(readKeyFile(other)).publicKey))
  t.throws(() => again.engine.db.write(() => again.engine.bounds.set({ owner: 'bob', asset: 'EEA', most: 1n })), {
    code: 'operator/wrong-key',
  })
  again.engine.close()
  const next = openRig(t, { dataDir, operatorKeyFile: other, enrolment: 'closed' })
  next.engine.db.write(() => next.engine.bounds.set({ owner: 'bob', asset: 'EEA', most: 1n }))
  const { faults, operator } = auditLedger(next.engine.db, fastVerifier)
  t.deepEqual(faults, [])
  t.is(operator?.key, spkiOf(other))
})
