import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, signConsent, signOrder } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { Device, fastVerifier, openRig, startMs, tempDir, testSigner } from '../../test/rig.ts'
import { type Entry, hashEntry } from '../ledger/journal.ts'
import { databaseFile, openDatabase } from '../store/database.ts'
import { auditLedger } from './audit.ts'

const [alice, bob] = [testSigner(8201), testSigner(8202)]

/** A roof that was accepted, got another key, another meter, another place and another owner, and told two stories. */
function makeLedger(t: Parameters<typeof openRig>[0]): string {
  const { engine, dataDir } = openRig(t)
  const [roof, house] = [
    new Device({ meter: 'roof', role: 'producer' }),
    new Device({ meter: 'house', role: 'consumer' }),
  ]
  let issuedAt = startMs
  const apply = (...texts: string[]) => engine.db.write(() => engine.orders.apply(texts))
  const order = (action: Parameters<typeof signOrder>[0]['action']) =>
    signOrder({ point: roof.id, action, issuedAt: ++issuedAt }, alice)
  const { text, hash } = roof.certificate
  apply(text, order({ do: 'accept', certificate: hash, owner: 'alice' }).text)
  engine.ingest([
    house.certificateMessage(),
    roof.certificateMessage(),
    roof.read({ export: 0n }),
    roof.read({ export: 9n }),
  ])
  apply(...roof.rotate(8210))
  engine.ingest([roof.read({ export: 12n }), roof.read({ export: 1n }, { state: 're-based' })])
  apply(order({ do: 'move', after: roof.place, behind: house.id }).text)
  engine.ingest([roof.read({ export: 4n })])
  const offer = order({ do: 'transfer', after: roof.place, owner: 'bob', to: formatPublicKey(bob.publicKey) })
  apply(offer.text, signConsent({ point: roof.id, order: offer.hash, issuedAt }, bob).text)
  engine.ingest([roof.read({ export: 6n })])
  const twice = roof.sign({ registers: { export: 7n } })
  Object.assign(roof, { sequence: roof.sequence - 1, page: roof.page - 1 })
  engine.ingest([roof.message(twice), roof.read({ export: 8n })])
  engine.close()
  return dataDir
}

function audit(dataDir: string, change: (db: Sqlite.Database) => void) {
  const sqlite = new Sqlite(join(dataDir, databaseFile))
  sqlite.pragma('foreign_keys = OFF')
  change(sqlite)
  sqlite.close()
  const db = openDatabase(dataDir, { readonly: true })
  try {
    return auditLedger(db, fastVerifier)
  } finally {
    db.close()
  }
}

const roof = "(SELECT id FROM point WHERE name = 'gw-1/roof')"
const entryOf = (kind: string) => `(SELECT min(id) FROM entry WHERE kind = '${kind}')`

const faults: Readonly<Record<string, readonly [sql: string, said: RegExp]>> = {
  'a key that is valid again': [
    `UPDATE point_key SET last_epoch = NULL, last_sequence = NULL WHERE point = ${roof}`,
    /last place/,
  ],
  'a freeze that is gone': ["UPDATE point SET frozen = NULL WHERE name = 'gw-1/roof'", /freeze \d+ expected/],
  'an order that waits again': [
    `UPDATE point SET pending = ${entryOf('order')}, pending_epoch = 1, pending_sequence = 1 WHERE name = 'gw-1/roof'`,
    /waiting order none expected/,
  ],
  'an order that could come again': ["UPDATE point SET order_at = 0 WHERE name = 'gw-1/roof'", /youngest order/],
  'another place in the tree': ['UPDATE membership SET from_at = from_at - 1', /places in the tree/],
  'another mark of a place in the tree': ['UPDATE membership SET from_mark = from_mark + 1', /places in the tree/],
}

/** Changes an entry and makes all hashes after it anew, as a forger would who holds the database. */
function forge(db: Sqlite.Database, kind: string, change: (note: string) => string): void {
  const rows = db.prepare<[], Entry>('SELECT * FROM entry ORDER BY id').all()
  let previous = '0'.repeat(64)
  for (const { id, at, kind: own, claim, point, note } of rows) {
    const postings = db
      .prepare<[number], { account: string; amount: bigint }>(
        'SELECT account, amount FROM posting WHERE entry = ? ORDER BY line',
      )
      .safeIntegers()
      .all(id)
    const told = own === kind ? change(note) : note
    const hash = hashEntry(previous, { id, at, kind: own, claim, point, note: told, postings })
    db.prepare('UPDATE entry SET note = ?, previous_hash = ?, hash = ? WHERE id = ?').run(told, previous, hash, id)
    previous = hash
  }
}

const forgeries: Readonly<Record<string, readonly [kind: string, change: (note: string) => string, said: RegExp]>> = {
  'a consent that is gone': ['order', (note) => note.replace(/,"WATT-CONSENT[^\]]*/, ''), /lacks the consent/],
  'an order with another place': ['order', (note) => note.replace(/"sequence":4/, '"sequence":3'), /another place/],
  'an altered order': [
    'order',
    (note) => note.replace('\\"do\\":\\"move\\"', '\\"do\\":\\"mave\\"'),
    /WATT-ORDER|action/,
  ],
  'a rotation without its word': [
    'rotation',
    (note) => note.replace(/"documents":\[.*\]/, '"documents":[]'),
    /names another key/,
  ],
  'a rotation that gives the point to somebody': [
    'rotation',
    (note) => note.replace('"owner":"alice"', '"owner":"eve"'),
    /a key names its successor and no other terms/,
  ],
  'another first register of a meter': [
    'swap',
    (note) => note.replace('"exportWh":"1"', '"exportWh":"2"'),
    /are signed/,
  ],
  'a revocation in another’s name': [
    'freeze',
    (note) => note.replace('{', '{"documents":["no document"],'),
    /no document/,
  ],
}

test('SPEC-94: the audit works out from the journal who may speak, and checks each document again', (t) => {
  const whole = makeLedger(t)
  t.deepEqual(audit(whole, () => {}).faults, [])
  const copy = () => {
    const dataDir = tempDir(t)
    copyFileSync(join(whole, databaseFile), join(dataDir, databaseFile))
    return dataDir
  }
  for (const [what, [sql, said]] of Object.entries(faults)) {
    const found = audit(copy(), (db) => db.exec(sql)).faults
    t.true(
      found.some(({ message }) => said.test(message)),
      `${what}: ${JSON.stringify(found)}`,
    )
  }
  for (const [what, [kind, change, said]] of Object.entries(forgeries)) {
    const found = audit(copy(), (db) => forge(db, kind, change)).faults
    t.true(
      found.some(({ message }) => said.test(message)),
      `${what}: ${JSON.stringify(found)}`,
    )
  }
})

test('SPEC-93: the audit finds an operator who takes a point from an owner that has signed, by a signed act too', (t) => {
  const operatorKeyFile = join(tempDir(t), 'operator.key')
  const { engine } = openRig(t, { operatorKeyFile })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const { text, hash } = roof.certificate
  const action = { do: 'accept', certificate: hash, owner: 'alice' } as const
  engine.db.write(() => engine.orders.apply([text, signOrder({ point: roof.id, action, issuedAt: 1 }, alice).text]))
  // What the command refuses, an operator with a program of their own does.
  const { ownerKey: _, ...terms } = engine.registry.get(roof.id)!.terms
  engine.db.write(() => engine.enrolment.changeTerms(engine.registry.get(roof.id)!, { ...terms, owner: 'eve' }))
  const { faults } = auditLedger(engine.db, fastVerifier)
  t.deepEqual(
    faults.map(({ code }) => String(code)),
    ['order/unsigned'],
  )
})
