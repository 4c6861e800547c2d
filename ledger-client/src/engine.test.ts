import { join } from 'node:path'
import { formatHello, formatPublicKey, type PointId, parseOcmfText, signRecord } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { Device, fastVerifier, openRig, quarantined, startMs, tempDir, testSigner } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import { databaseFile } from './store/database.ts'
import { migrations } from './store/schema.ts'

test('SPEC-80: the first register mints nothing, later ones mint the difference, frames as well as texts', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const out = engine.ingest([
    roof.certificateMessage(),
    roof.read({ export: 1000n }),
    roof.read({ export: 1500n }),
    roof.readFrame({ export: 1750n }),
  ])
  t.is(out.accepted, 3)
  t.deepEqual(quarantined(engine), [])
  const point = engine.registry.get('gw-1/roof')
  t.is(point?.mintedWh, 750n)
  t.is(point?.head?.sequence, 3)
  t.deepEqual(out.answers.get(roof.id), { resend: false })
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('SPEC-83: the enrolled role decides what a register does, not the record', (t) => {
  const { engine } = openRig(t)
  const roles = ['producer', 'consumer', 'bidirectional', 'charger', 'storage'] as const
  const booked = roles.map((role) => {
    const device = new Device({ meter: role, role })
    engine.ingest([
      device.certificateMessage(),
      device.read({ import: 10n, export: 20n }),
      device.read({ import: 13n, export: 27n }),
    ])
    const point = engine.registry.get(device.id)
    return [role, point?.mintedWh, point?.burnedWh]
  })
  t.deepEqual(booked, [
    ['producer', 7n, 0n],
    ['consumer', 0n, 3n],
    ['bidirectional', 7n, 3n],
    ['charger', 0n, 3n],
    ['storage', 0n, 0n],
  ])
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('SPEC-85: consumption beyond the WATT at hand is a shortfall, and nothing comes from nowhere', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const house = new Device({ meter: 'house', role: 'consumer', owner: 'alice' })
  engine.ingest([roof, house].map((each) => each.certificateMessage()))
  engine.ingest([
    roof.read({ export: 0n }),
    roof.read({ export: 30n }),
    house.read({ import: 0n }),
    house.read({ import: 100n }),
  ])
  const amounts = engine.db
    .prepare<[], { account: string; amount: number }>('SELECT * FROM balance ORDER BY account')
    .all()
  t.deepEqual(
    amounts.map(({ account, amount }) => `${account} ${amount}`),
    ['burned:gw-1/house 100', 'grid:alice -70', 'minted:gw-1/roof -30', 'owner:alice 0'],
  )
})

test('SPEC-81: a clock that was a year ahead and is put right costs one interval, not a year', (t) => {
  const dataDir = tempDir(t)
  const first = openRig(t, { dataDir })
  const roof = new Device({ meter: 'roof', role: 'producer', maxPowerW: 43_000 })
  const year = 365 * 24 * 3_600_000
  first.engine.ingest([
    roof.certificateMessage(),
    roof.read({ export: 1000n }),
    roof.read({ export: 1600n }, { takenAt: startMs + year }),
    roof.read({ export: 2200n }, { takenAt: startMs + 120_000 }),
  ])
  t.is(first.engine.registry.get(roof.id)?.mintedWh, 600n, 'nobody can tell what passed in this interval')
  first.engine.close()
  // What is remembered of the clock outlives the program, and the audit comes to the same.
  const second = openRig(t, { dataDir })
  t.true(auditLedger(second.engine.db, fastVerifier).ok)
  second.engine.ingest([roof.read({ export: 2300n }), roof.read({ export: 2400n })])
  t.is(second.engine.registry.get(roof.id)?.mintedWh, 1400n, 'last less first')
  t.deepEqual(auditLedger(second.engine.db, fastVerifier).faults, [])
})

function tablesOf(db: Sqlite.Database): ReadonlyMap<string, ReadonlySet<string>> {
  const rows = db
    .prepare<[], { name: string; column: string }>(
      `SELECT tables.name, columns.name AS column FROM pragma_table_list AS tables, pragma_table_info(tables.name) AS columns
       WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite_%'`,
    )
    .all()
  const byTable = Map.groupBy(rows, ({ name }) => name)
  return new Map([...byTable].map(([name, each]) => [name, new Set(each.map(({ column }) => column))]))
}

test('a ledger of the version before goes on with what its records say of the clock', (t) => {
  const { engine, dataDir } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([
    roof.certificateMessage(),
    roof.read({ export: 1000n }),
    roof.read({ export: 1600n }, { change: { clockStatus: 'U' } }),
    roof.read({}, { state: 'no-answer' }),
  ])
  engine.close()
  const old = new Sqlite(join(dataDir, databaseFile))
  // Whatever later migrations have added goes.
  const first = new Sqlite(':memory:')
  first.exec(migrations[0]!)
  for (const table of tablesOf(old).keys()) if (!tablesOf(first).has(table)) old.exec(`DROP TABLE ${table}`)
  for (const [table, columns] of tablesOf(old)) {
    const before = tablesOf(first).get(table)
    for (const column of columns) if (!before?.has(column)) old.exec(`ALTER TABLE ${table} DROP COLUMN ${column}`)
  }
  const indexes = (db: Sqlite.Database) =>
    db.prepare<[], { name: string }>(`SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`).all()
  const known = new Set(indexes(first).map(({ name }) => name))
  for (const { name } of indexes(old)) if (!known.has(name)) old.exec(`DROP INDEX ${name}`)
  old.pragma('user_version = 1')
  old.close()
  const again = openRig(t, { dataDir })
  t.like(again.engine.registry.get(roof.id)?.base, { registers: { export: 1600n }, clockStatus: 'U' })
  t.deepEqual(auditLedger(again.engine.db, fastVerifier).faults, [])
})

test('SPEC-82: a replay books nothing and is answered', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const messages = [
    roof.certificateMessage(),
    roof.read({ export: 1n }),
    roof.read({ export: 5n }),
    roof.readFrame({ export: 9n }),
  ]
  engine.ingest(messages)
  const again = engine.ingest(messages)
  t.deepEqual([again.accepted, again.replayed], [0, 3])
  t.deepEqual([...again.answers.keys()], [roof.id])
  t.is(engine.registry.get(roof.id)?.mintedWh, 8n)
})

test('SPEC-82: records that come in any order are accepted in the order of the chain', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const messages = [1n, 2n, 3n, 4n, 5n].map((wh) => roof.read({ export: wh }))
  const early = engine.ingest([roof.certificateMessage(), ...messages.slice(1).toReversed()])
  t.is(early.held, 4)
  t.deepEqual(early.answers.get(roof.id), { resend: true }, 'what is missing is asked for')
  const late = engine.ingest(messages.slice(0, 1))
  t.is(late.accepted, 5)
  t.is(engine.registry.get(roof.id)?.mintedWh, 4n)
  t.deepEqual(quarantined(engine), [])
})

test('SPEC-42: a frame without its base or predecessor is held and accepted once they are there', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const first = roof.read({ export: 1n })
  const frames = [roof.readFrame({ export: 4n }), roof.readFrame({ export: 6n })]
  const early = engine.ingest([roof.certificateMessage(), ...frames])
  t.deepEqual([early.accepted, early.held, early.quarantined], [0, 2, 0])
  t.true(early.answers.get(roof.id)?.resend)
  t.is(engine.ingest([first]).accepted, 3)
  t.is(engine.registry.get(roof.id)?.mintedWh, 5n)
})

test('a record before its certificate waits for it', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const out = engine.ingest([roof.read({ export: 1n }), roof.read({ export: 3n })])
  t.is(out.answers.get(roof.id)?.refusal?.code, 'point/unknown')
  t.is(engine.ingest([roof.certificateMessage()]).accepted, 2)
  t.deepEqual(quarantined(engine), [])
})

test('SPEC-74: a hello is answered for each of its points', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  const points = ['gw-1/roof', 'gw-1/new'] as PointId[]
  const out = engine.ingest([
    { topic: 'wattline/v1/gw-1/hello', payload: Buffer.from(formatHello({ gatewayVersion: '1', points })) },
  ])
  t.deepEqual([...out.answers.keys()], points)
})

test('SPEC-82: a new epoch continues from the head, and the one before is closed', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 2n })])
  const late = roof.sign({ registers: { export: 3n } })
  roof.restore(2)
  const out = engine.ingest([roof.read({ export: 9n }), roof.message(late)])
  t.is(out.accepted, 1)
  t.is(engine.registry.get(roof.id)?.mintedWh, 8n)
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['record/epoch-closed'],
  )
  t.is(out.answers.get(roof.id)?.refusal?.sequence, 3, 'the gateway signed it, so its place is told')
})

test('SPEC-82: a restored gateway goes on from an older record; the fork and the gap are noted, no kWh is doubled', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), ...[1n, 2n, 3n, 4n].map((wh) => roof.read({ export: wh }))])
  roof.restore(2)
  roof.sequence += 5
  const out = engine.ingest([roof.read({ export: 7n })])
  t.is(out.accepted, 1)
  t.is(engine.registry.get(roof.id)?.mintedWh, 6n)
  const kinds = engine.db
    .prepare<[], { kind: string }>("SELECT kind FROM entry WHERE kind IN ('fork', 'gap') ORDER BY id")
    .all()
  t.deepEqual(kinds, [{ kind: 'fork' }, { kind: 'gap' }])
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('closed enrolment holds back what an operator then releases', (t) => {
  const { engine } = openRig(t, { enrolment: 'closed' })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const out = engine.ingest([roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 3n })])
  t.is(out.answers.get(roof.id)?.refusal?.code, 'point/closed-enrolment')
  t.is(quarantined(engine).length, 3)
  const terms = { owner: 'alice', role: 'producer' } as const
  engine.db.write(() => {
    engine.enrolment.enrol({ point: roof.id, key: roof.signer.publicKey, terms })
    engine.quarantine.release({ certificate: roof.topic('certificate'), record: roof.topic('record') })
  })
  t.is(engine.ingest([]).accepted, 2)
  t.is(engine.registry.get(roof.id)?.mintedWh, 2n)
  t.is(engine.registry.get(roof.id)?.terms.owner, 'alice')
  t.is(engine.registry.get(roof.id)?.terms.maxPowerW, 1_000_000, 'the certificate told what the operator left out')
  t.deepEqual(quarantined(engine), [])
})

test('a changed key takes over; what the old one signed before still comes in', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  const next = testSigner(7777)
  const { id, terms } = engine.registry.get(roof.id)!
  engine.db.write(() => engine.enrolment.enrol({ point: id, key: next.publicKey, terms }))
  t.is(engine.ingest([roof.read({ export: 2n })]).accepted, 1)
  const { record, hash: last } = parseOcmfText(roof.texts[1] ?? '')
  const entry = {
    ...record,
    epoch: record.epoch + 5,
    sequence: 3,
    pageNumber: 3,
    previousHash: last,
    registers: { export: 4n },
  }
  t.is(engine.ingest([roof.message(signRecord(entry, next).text)]).accepted, 1)
  const usurper = { ...entry, epoch: entry.epoch + 5, sequence: 4, pageNumber: 4 }
  engine.ingest([roof.message(signRecord(usurper, roof.signer).text)])
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['record/bad-signature'],
  )
  t.deepEqual(
    engine.registry
      .get(id)
      ?.keys.map(({ key }) => formatPublicKey(key))
      .at(1),
    formatPublicKey(next.publicKey),
  )
})

test('SPEC-81: energy beyond the fuse is written down, not booked, and counts once it is plausible', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', maxPowerW: 6000 })
  engine.ingest([
    roof.certificateMessage(),
    roof.read({ export: 0n }),
    roof.read({ export: 5000n }),
    roof.read({ export: 90n }),
    roof.read({ export: 80n }),
  ])
  const outcomes = engine.db.prepare<[], { outcome: string }>('SELECT outcome FROM record ORDER BY id').all()
  t.deepEqual(
    outcomes.map(({ outcome }) => outcome),
    ['base', 'claim/over-limit', 'counted', 'register/decreased'],
  )
  t.is(engine.registry.get(roof.id)?.mintedWh, 90n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('SPEC-21: doubtful and absent energy waits for the next sound register', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', rolloverWh: 1000n })
  engine.ingest([
    roof.certificateMessage(),
    roof.read({ export: 900n }),
    roof.read({}, { state: 'no-answer' }),
    roof.read({ export: 5n }, { state: 'register-decreased' }),
    roof.read({ export: 10n }, { state: 'roll-over' }),
    roof.read({ export: 500n }, { state: 're-based' }),
    roof.read({ export: 501n }),
  ])
  t.is(engine.registry.get(roof.id)?.mintedWh, 111n)
})
