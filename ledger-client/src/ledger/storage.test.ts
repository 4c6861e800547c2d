import { join } from 'node:path'
import type { WattError } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { runCommand, writeConfig } from '../../test/programs.ts'
import { Device, fastVerifier, openRig, type Rig, startMs, tempDir } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { StorageAudit } from '../audit/storage-audit.ts'
import type { LedgerEngine } from '../engine.ts'
import { formatEntry, readEntries } from '../entries.ts'
import { readBalances } from '../reports.ts'
import { databaseFile } from '../store/database.ts'
import { migrations } from '../store/schema.ts'
import { traceEntry, traceRecord } from '../trace.ts'
import { correct } from './corrections.ts'

const point = 'gw-1/battery'

function battery(options: Partial<ConstructorParameters<typeof Device>[0]> = {}): Device {
  return new Device({ meter: 'battery', role: 'storage', owner: 'alice', ...options })
}

const storageEntries = (engine: LedgerEngine) => [...readEntries(engine.db, { kind: 'storage' })]
const faultsOf = (engine: LedgerEngine) => auditLedger(engine.db, fastVerifier).faults
const storageOf = (engine: LedgerEngine) => readBalances(engine.db).storages[0]

test('SPEC-83: what goes into a storage and out of it is booked once, and no WATT moves', (t) => {
  const { engine } = openRig(t)
  const device = battery()
  const messages = [
    device.certificateMessage(),
    device.read({ import: 1000n, export: 400n }),
    device.read({ import: 1600n, export: 400n }),
    device.read({ import: 1700n, export: 900n }),
    device.read({ import: 1700n, export: 900n }),
    device.read({ import: 1750n, export: 950n }),
  ]
  engine.ingest(messages)
  engine.ingest(messages)
  const lines = storageEntries(engine).map(({ claim, note, postings }) => [
    claim?.split('/').at(-1),
    note,
    postings.map(({ account, amount }) => `${account} ${amount}`).join(', '),
  ])
  t.deepEqual(lines, [
    ['2', { importWh: '600', exportWh: '0' }, `charged:${point} -600, stored:${point} 600`],
    ['3', { importWh: '100', exportWh: '500' }, `charged:${point} -100, discharged:${point} 500, stored:${point} -400`],
    ['5', { importWh: '50', exportWh: '50' }, `charged:${point} -50, discharged:${point} 50`],
  ])
  t.deepEqual(storageOf(engine), { point, chargedWh: 750n, dischargedWh: 550n, storedWh: 200n })
  t.like(readBalances(engine.db), { owners: [], mintedWh: 0n, burnedWh: 0n, supplyWh: 0n, balanced: true })
  t.like(engine.registry.get(point), { mintedWh: 0n, burnedWh: 0n, bookedWh: 0n, netWh: -200n })
  t.deepEqual(faultsOf(engine), [])
})

test('SPEC-83: a storage that gives what it held before counting began has given more than it got', (t) => {
  const { engine } = openRig(t)
  const device = battery()
  engine.ingest([
    device.certificateMessage(),
    device.read({ import: 10n, export: 0n }),
    device.read({ import: 10n, export: 90n }),
  ])
  t.deepEqual(storageOf(engine), { point, chargedWh: 0n, dischargedWh: 90n, storedWh: -90n })
  t.deepEqual(faultsOf(engine), [])
})

test('SPEC-83: of a storage, too, nothing is booked that is doubtful, refused or counted anew', (t) => {
  const { engine } = openRig(t)
  const device = battery({ maxPowerW: 60_000 })
  engine.ingest([
    device.certificateMessage(),
    device.read({ import: 100n, export: 0n }),
    device.read({}, { state: 'no-answer' }),
    device.read({ import: 90n, export: 0n }),
    device.read({ import: 99_999n, export: 0n }),
    device.read({ import: 7n, export: 3n }, { state: 're-based' }),
    device.read({ import: 8n, export: 3n }),
  ])
  t.deepEqual(
    storageEntries(engine).map(({ claim }) => claim),
    [`${point}#${device.epoch}/6`],
  )
  t.deepEqual(storageOf(engine), { point, chargedWh: 1n, dischargedWh: 0n, storedWh: 1n })
  t.deepEqual(faultsOf(engine), [])
})

test('SPEC-83: a storage with points behind it books nothing, from the first one on', (t) => {
  const { engine } = openRig(t)
  const device = battery()
  const panel = new Device({ meter: 'panel', role: 'producer', owner: 'alice', behind: point })
  engine.ingest([
    device.certificateMessage(),
    device.read({ import: 0n, export: 0n }),
    device.read({ import: 5n, export: 0n }),
    panel.certificateMessage(),
    panel.read({ export: 0n }),
    device.read({ import: 9n, export: 0n }),
    panel.read({ export: 4n }),
    device.read({ import: 9n, export: 6n }),
  ])
  t.deepEqual(storageOf(engine), { point, chargedWh: 5n, dischargedWh: 0n, storedWh: 5n })
  t.is(readBalances(engine.db).mintedWh, 4n)
  t.deepEqual(faultsOf(engine), [])
})

test('SPEC-84: what a storage takes and gives shows in the remainder above it, as if it were not booked', (t) => {
  const at = (seconds: number) => ({ takenAt: startMs + seconds * 1000 })
  const { engine } = openRig(t)
  const house = new Device({ meter: 'house', role: 'bidirectional', owner: 'alice' })
  const device = battery({ behind: house.id })
  engine.ingest([house.certificateMessage(), device.certificateMessage()])
  engine.ingest([
    house.read({ import: 0n, export: 0n }, at(1)),
    device.read({ import: 0n, export: 0n }, at(1)),
    device.read({ import: 80n, export: 0n }, at(10)),
    house.read({ import: 100n, export: 0n }, at(10)),
    device.read({ import: 80n, export: 30n }, at(20)),
    house.read({ import: 100n, export: 10n }, at(20)),
  ])
  t.like(engine.registry.get(house.id), { burnedWh: 100n, mintedWh: 0n, carriedWh: 10n })
  t.like(storageOf(engine), { chargedWh: 80n, dischargedWh: 30n })
  t.deepEqual(faultsOf(engine), [])
})

function codeOf(work: () => unknown): string {
  try {
    work()
    return 'done'
  } catch (error) {
    return (error as WattError).code
  }
}

test('SPEC-88: what a storage moves cannot be ordered, limited, corrected, or booked a second time as something else', (t) => {
  const { engine } = openRig(t)
  const device = battery()
  engine.ingest([
    device.certificateMessage(),
    device.read({ import: 0n, export: 0n }),
    device.read({ import: 50n, export: 20n }),
  ])
  const [entry] = storageEntries(engine)
  const write = (work: () => unknown) => codeOf(() => engine.db.write(work))
  const order = { id: 'x', from: point, to: 'bob', amount: 5n, kind: 'transfer' } as const
  t.is(
    write(() => engine.transfers.transfer({ ...order, asset: 'STORED' as never })),
    'transfer/invalid',
  )
  t.is(
    write(() => engine.transfers.reserve({ ...order, asset: 'STORED' as never, expiresAt: startMs + 9_000_000 })),
    'transfer/invalid',
  )
  t.is(
    write(() => correct(engine.journal, { entry: entry!.id, reason: 'wrong' })),
    'entry/final',
  )
  const line = (account: string, amount: bigint) => ({ account, amount })
  const moves = [
    ['storage', [line(`charged:${point}`, 5n), line(`stored:${point}`, -5n)]],
    ['storage', [line(`charged:${point}`, -5n), line('owner:alice', 5n)]],
    ['storage', [line(`minted:${point}`, -5n), line('owner:alice', 5n)]],
    ['transfer', [line(`stored:${point}`, -5n), line('owner:alice', 5n)]],
    ['claim', [line(`charged:${point}`, -5n), line(`stored:${point}`, 5n)]],
  ] as const
  for (const [kind, postings] of moves) {
    t.is(
      write(() => engine.journal.append({ kind, note: {}, postings })),
      'journal/broken',
      kind,
    )
  }
  t.is(
    write(() =>
      engine.journal.append({
        kind: 'storage',
        note: {},
        postings: [line(`charged:${point}`, -5n), line(`stored:${point}`, 4n)],
      }),
    ),
    'journal/unbalanced',
  )
  const again = { claim: entry!.claim!, point: device.id, importWh: 50n, exportWh: 20n }
  t.is(
    engine.db.write(() => engine.ledger.store(again)),
    entry!.id,
  )
  for (const other of [{ importWh: 51n }, { exportWh: 0n }]) {
    t.is(
      write(() => engine.ledger.store({ ...again, ...other })),
      'journal/broken',
    )
  }
  t.is(
    write(() => engine.ledger.store({ ...again, claim: 'new', importWh: -1n })),
    'journal/broken',
  )
  t.deepEqual(faultsOf(engine), [])
})

test('SPEC-88: a record of a storage is followed to its entry and back, and balances tell it apart from WATT', async (t) => {
  const { path, folder } = writeConfig(t, { port: 0 })
  const { engine } = openRig(t, { dataDir: join(folder, 'data') })
  const device = battery()
  engine.ingest([
    device.certificateMessage(),
    device.read({ import: 0n, export: 0n }),
    device.read({ import: 5000n, export: 1250n }),
  ])
  const place = `${point}@${device.epoch}/2`
  const trace = traceRecord(engine.db, place)
  t.like(trace, { record: { importWh: 5000n }, from: { importWh: 0n }, entry: { kind: 'storage', point } })
  t.deepEqual(traceEntry(engine.db, trace.entry!.id), trace)
  t.regex(
    formatEntry(trace.entry!),
    / {2}storage {2}gw-1\/battery#\d+\/2 {2}charged:gw-1\/battery -5\.000 kWh, discharged:\S+ 1\.250 kWh, /,
  )
  const entry = engine.journal.read(trace.entry!.id)!
  t.notThrows(() => new StorageAudit().expect(entry, point))
  const other = { ...entry, note: '{"importWh":"5001","exportWh":"1251"}' }
  t.throws(() => new StorageAudit().expect(other, point), { code: 'journal/broken', message: /"5000"/ })
  engine.close()
  const balances = await runCommand(['balances', '--config', path])
  t.regex(
    balances.stdout,
    /^storage +put in kWh +given back kWh +difference kWh\ngw-1\/battery +5\.000 +1\.250 +3\.750\n/m,
  )
  const shown = await runCommand(['trace', '--config', path, '--record', place])
  t.regex(shown.stdout, /entry \d+: storage gw-1\/battery#\d+\/2 .*\n.*\ncharged:gw-1\/battery +-5\.000 kWh\n/)
})

/** Makes what a ledger looked like before storages were booked: their last entries are not there. */
function takeBack(dataDir: string): void {
  const db = new Sqlite(join(dataDir, databaseFile))
  db.exec(`
    DELETE FROM posting WHERE entry IN (SELECT id FROM entry WHERE kind = 'storage');
    DELETE FROM entry WHERE kind = 'storage';
    DELETE FROM balance WHERE account GLOB 'charged:*' OR account GLOB 'discharged:*' OR account GLOB 'stored:*';
    DROP TABLE storage_start;
    ${migrations.find((sql) => sql.includes('CREATE TABLE storage_start'))}
  `)
  db.close()
}

function makeOld(t: Parameters<typeof openRig>[0], role: 'storage' | 'producer'): { device: Device; rig: Rig } {
  const dataDir = tempDir(t)
  const device = battery({ role })
  const { engine } = openRig(t, { dataDir })
  engine.ingest([
    device.certificateMessage(),
    device.read({ import: 0n, export: 0n }),
    device.read({ import: 50n, export: 20n }),
  ])
  engine.close()
  takeBack(dataDir)
  return { device, rig: openRig(t, { dataDir }) }
}

test('SPEC-88: a ledger of an earlier version notes from which record on storages are booked, once, and verifies', (t) => {
  const { device, rig } = makeOld(t, 'storage')
  const { engine, dataDir } = rig
  const starts = (ledger: LedgerEngine) => [...readEntries(ledger.db, { kind: 'storage-start' })]
  t.like(starts(engine), { 0: { note: { records: 2 }, postings: [] }, length: 1 })
  t.deepEqual(faultsOf(engine), [])
  engine.ingest([device.read({ import: 60n, export: 20n })])
  t.deepEqual(storageOf(engine), { point, chargedWh: 10n, dischargedWh: 0n, storedWh: 10n })
  t.deepEqual(faultsOf(engine), [])
  engine.close()
  const again = openRig(t, { dataDir }).engine
  t.is(starts(again).length, 1)
  t.deepEqual(faultsOf(again), [])
  again.db.prepare(`UPDATE entry SET note = '{"records":3}' WHERE kind = 'storage-start'`).run()
  t.true(faultsOf(again).some(({ place }) => place === `${point}@${device.epoch}/3`))
  again.db.prepare(`UPDATE entry SET note = '{"records":1}' WHERE kind = 'storage-start'`).run()
  t.true(faultsOf(again).some(({ place }) => place === `${point}@${device.epoch}/2`))
  again.db.prepare(`UPDATE entry SET note = 'none' WHERE kind = 'storage-start'`).run()
  t.true(faultsOf(again).some(({ message }) => message.includes('JSON')))
})

test('SPEC-88: a ledger that has booked all, or never met a storage, notes nothing', (t) => {
  const { engine } = openRig(t)
  t.deepEqual([...readEntries(engine.db, { kind: 'storage-start' })], [])
  const { rig } = makeOld(t, 'producer')
  t.deepEqual([...readEntries(rig.engine.db, { kind: 'storage-start' })], [])
  t.deepEqual(faultsOf(rig.engine), [])
})

test('a power cut between the change of the tables and the note leaves nothing that verify would take for a fault', (t) => {
  const { rig } = makeOld(t, 'storage')
  rig.engine.db.prepare('INSERT INTO storage_start VALUES (2)').run()
  t.is(
    codeOf(() => faultsOf(rig.engine)),
    'storage/newer',
  )
})
