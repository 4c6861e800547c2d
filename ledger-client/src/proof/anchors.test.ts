import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AnchorFacts, formatAnchor, hashText, noHash, parseAnchor, WattError } from '@wattline/protocol'
import test from 'ava'
import Sqlite from 'better-sqlite3'
import { Device, fastVerifier, openRig, type Rig, startMs, testSigner } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { Faults } from '../audit/report.ts'
import { Health } from '../health.ts'
import { type Entry, genesisHash, hashEntry, type Posting } from '../ledger/journal.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { makeLogger } from '../log.ts'
import { databaseFile, openDatabase } from '../store/database.ts'
import { auditAnchors } from './anchor-audit.ts'
import { checkAnchors } from './anchor-list.ts'
import { startAnchoring } from './anchoring.ts'
import { type AnchorRow, Anchors, readAnchors, toUtcDay } from './anchors.ts'
import { Archive } from './archive.ts'

const signer = testSigner(900)
const dayMs = 86_400_000

function anchorsOf({ engine, clock }: Rig, ledger: Ledger = engine.ledger): Anchors {
  return new Anchors({ db: engine.db, ledger, signer, clock })
}

function stepAll(anchors: Anchors): void {
  while (anchors.step());
}

/** A ledger that has taken records on some days, with the clock at the last one's noon; nothing is anchored. */
function makeDays(t: Parameters<typeof openRig>[0], days: readonly number[]): Rig {
  const rig = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  rig.engine.ingest([roof.certificateMessage()])
  for (const [at, day] of days.entries()) {
    rig.clock.ms = startMs + day * dayMs
    rig.engine.ingest([roof.read({ export: BigInt(10 * at) }, { takenAt: rig.clock.ms })])
  }
  return rig
}

function audit({ dataDir }: Rig) {
  const db = openDatabase(dataDir, { readonly: true })
  try {
    return auditLedger(db, fastVerifier, { ledgerKey: signer.publicKey })
  } finally {
    db.close()
  }
}

const brief = ({ day, records, entries }: AnchorRow) => [day, records, entries]

test('SPEC-98: each day on which something came has one anchor, also after days without the ledger', (t) => {
  const rig = makeDays(t, [0, 0, 1, 4])
  const anchors = anchorsOf(rig)
  stepAll(anchors)
  const rows = readAnchors(rig.engine.db)
  // Entries: the enrolment, then a claim with each record after the first.
  t.deepEqual(rows.map(brief), [
    ['2026-11-21', 2, 2],
    ['2026-11-22', 3, 3],
  ])
  const [first, second] = rows.map(({ text }) => parseAnchor(text, signer.publicKey))
  t.deepEqual([first!.previous, second!.previous], [noHash, first!.hash])
  t.is(first!.hash, hashText(first!.text.split('|')[1]!))
  t.false(anchors.step())
  t.is(readAnchors(rig.engine.db).length, 2, 'the day of today is open')
  rig.clock.ms += dayMs
  stepAll(anchors)
  stepAll(anchors)
  t.deepEqual(
    readAnchors(rig.engine.db).map(({ day }) => day),
    ['2026-11-21', '2026-11-22', '2026-11-25'],
  )
  t.true(audit(rig).ok)
  t.is(audit(rig).counts.anchors, 3)
})

test('SPEC-98: an anchor follows from the data alone, whenever and however often it is made', (t) => {
  const [now, later] = [makeDays(t, [0]), makeDays(t, [0])]
  for (const [rig, wait] of [
    [now, 1],
    [later, 9],
  ] as const)
    rig.clock.ms += wait * dayMs
  stepAll(anchorsOf(now))
  stepAll(anchorsOf(later))
  const texts = [now, later].map(({ engine }) => readAnchors(engine.db)[0]?.text)
  // The two rigs have points with different keys, so only the shape is the same; the same rig gives the same text.
  t.is(texts.filter((text) => text?.includes('"day":"2026-11-21"')).length, 2)
  now.engine.db.write(() => now.engine.db.prepare('DELETE FROM anchor').run())
  now.engine.db.write(() => now.engine.db.prepare('DELETE FROM merkle_tile').run())
  stepAll(anchorsOf(now))
  t.is(readAnchors(now.engine.db)[0]?.text, texts[0])
})

test('SPEC-98: a cut in the middle of closing a day leaves nothing, and the next try makes the same one', (t) => {
  const rig = makeDays(t, [0, 0])
  rig.clock.ms += dayMs
  const broken: Ledger = Object.assign(Object.create(rig.engine.ledger), {
    note: () => {
      throw new Error('power')
    },
  })
  const failing = anchorsOf(rig, broken)
  t.throws(() => stepAll(failing), { message: 'power' })
  t.deepEqual(readAnchors(rig.engine.db), [])
  t.is(rig.engine.db.prepare<[], { n: number }>('SELECT count(*) AS n FROM merkle_tile').get()?.n, 0)
  stepAll(anchorsOf(rig))
  stepAll(failing) // the day is closed: there is nothing left to do
  t.deepEqual(readAnchors(rig.engine.db).map(brief), [['2026-11-21', 2, 2]])
  t.true(audit(rig).ok)
})

test('SPEC-98: a clock that ran ahead from the first record on does not stop the anchors either', (t) => {
  const rig = makeDays(t, [])
  rig.clock.ms = startMs - 5 * dayMs // the enrolment is dated after this
  stepAll(anchorsOf(rig))
  t.deepEqual(readAnchors(rig.engine.db).map(brief), [['2026-11-15', 0, 1]])
  t.true(audit(rig).ok)
})

test('SPEC-98: a clock that ran ahead does not stop the anchors', (t) => {
  const rig = makeDays(t, [0, 2000])
  rig.clock.ms = startMs + dayMs
  stepAll(anchorsOf(rig))
  t.deepEqual(readAnchors(rig.engine.db).map(brief), [['2026-11-21', 2, 2]], 'what says 2032 is in the next one')
  rig.clock.ms += dayMs
  stepAll(anchorsOf(rig))
  t.deepEqual(readAnchors(rig.engine.db).map(brief), [
    ['2026-11-21', 2, 2],
    ['2026-11-22', 2, 3],
  ])
  t.true(audit(rig).ok)
})

test('SPEC-98: a large archive grows into the trees in steps, each a commit', (t) => {
  const rig = makeDays(t, [0])
  const { db } = rig.engine
  const insert = db.prepare<[number, number], unknown>(
    `INSERT INTO record (id, point, epoch, sequence, hash, tag, full, text, taken_at, accepted_at, terms, outcome, net_wh)
     SELECT ?, point, epoch, id + ?, hash, tag, 0, text, taken_at, accepted_at, terms, outcome, 0 FROM record WHERE id = 1`,
  )
  db.write(() => {
    for (let id = 2; id <= 5000; id++) insert.run(id, id)
  })
  const anchors = anchorsOf(rig)
  const stored = () =>
    db.prepare<[], { n: number }>(`SELECT count(*) AS n FROM merkle_tile WHERE tree = 'records' AND level = 0`).get()?.n
  const sizes: unknown[] = []
  while (anchors.step()) sizes.push(stored())
  t.deepEqual([...sizes, stored()], [4, 8, 12, 16, 20], 'tiles of 256')
  rig.clock.ms += dayMs
  t.true(anchors.step())
  const [anchor] = readAnchors(db)
  const trees = new Archive(db).openTrees({ records: undefined, entries: undefined })
  t.is(parseAnchor(anchor!.text).records.root, trees.records.root(5000))
})

const faults: readonly (readonly [name: string, sql: string, code: string, place: string])[] = [
  ['a removed anchor', 'DELETE FROM anchor WHERE id = 2', 'anchor/invalid', 'entry 6'],
  [
    'another text',
    `UPDATE anchor SET text = replace(text, '"count":2', '"count":3') WHERE id = 1`,
    'anchor/invalid',
    'anchor 2026-11-21',
  ],
  ['another count', 'UPDATE anchor SET records = 1 WHERE id = 1', 'anchor/invalid', 'anchor 2026-11-21'],
  ['another day', `UPDATE anchor SET day = '2026-11-20' WHERE id = 1`, 'anchor/invalid', 'anchor 2026-11-20'],
  [
    'swapped anchors',
    'UPDATE anchor SET id = -id; UPDATE anchor SET id = 3 + id',
    'anchor/invalid',
    'anchor 2026-11-22',
  ],
  [
    'an added anchor',
    `INSERT INTO anchor SELECT 9, '2026-12-01', hash, text, records, entries, 1 FROM anchor WHERE id = 1`,
    'anchor/invalid',
    'anchor 2026-12-01',
  ],
  [
    'a damaged tile',
    `UPDATE merkle_tile SET hashes = zeroblob(64) WHERE tree = 'entries'`,
    'storage/corrupt',
    'entries number 1',
  ],
]
for (const [name, sql, code, place] of faults) {
  test(`verify finds ${name}`, (t) => {
    const rig = makeDays(t, [0, 0, 1, 2])
    stepAll(anchorsOf(rig))
    t.deepEqual(audit(rig).faults, [])
    const db = new Sqlite(join(rig.dataDir, databaseFile))
    db.exec(sql)
    db.close()
    const { faults: found } = audit(rig)
    t.true(
      found.some((fault) => fault.code === code && fault.place === place),
      JSON.stringify(found),
    )
  })
}

test('verify finds a past that was made anew, hashes and all, since it was anchored', (t) => {
  const rig = makeDays(t, [0, 0, 1, 2])
  stepAll(anchorsOf(rig))
  const db = new Sqlite(join(rig.dataDir, databaseFile))
  const rows = db.prepare('SELECT * FROM entry ORDER BY id').all() as Omit<Entry, 'postings'>[]
  let previous = genesisHash
  for (const row of rows) {
    const postings = db
      .prepare('SELECT account, amount FROM posting WHERE entry = ? ORDER BY line')
      .safeIntegers()
      .all(row.id)
    const at = row.id === 2 ? row.at + 1 : row.at
    const hash = hashEntry(previous, { ...row, at, postings: postings as Posting[] })
    db.prepare('UPDATE entry SET at = ?, previous_hash = ?, hash = ? WHERE id = ?').run(at, previous, hash, row.id)
    previous = hash
  }
  db.exec(`DELETE FROM merkle_tile`)
  db.close()
  const { faults: found } = audit(rig)
  t.is(found.length, 1, JSON.stringify(found))
  t.like(found[0], { place: 'anchor 2026-11-21', code: 'anchor/invalid' })
  t.regex(found[0]!.message, /^the first 2 entries hash to [0-9a-f]{8}, [0-9a-f]{8} was signed$/)
})

test("verify finds an archive that was cut off after its last anchor, and another ledger's anchors", (t) => {
  const rig = makeDays(t, [0, 0, 1, 2])
  stepAll(anchorsOf(rig))
  const check = (ledgerKey: Uint8Array) => {
    const found = new Faults()
    auditAnchors(rig.engine.db, { verifier: fastVerifier, ledgerKey }, found)
    return found.found
  }
  t.deepEqual(check(signer.publicKey), [])
  t.regex(check(testSigner(901).publicKey)[0]?.message ?? '', /not from the ledger that is trusted/)
  rig.engine.db.write(() => rig.engine.db.prepare('DELETE FROM record WHERE id > 1').run())
  t.regex(check(signer.publicKey)[0]?.message ?? '', /its hash is not the one in the tree of 3/)
  t.true(
    check(signer.publicKey).some(
      ({ code, message }) => code === 'chain/missing' && message === '2 records expected, 1 are here',
    ),
  )
})

test('days are those of UTC', (t) => {
  t.is(toUtcDay(Date.parse('2026-12-31T23:59:59.999Z')), '2026-12-31')
  t.is(toUtcDay(Date.parse('2027-01-01T00:00:00Z')), '2027-01-01')
})

test('SPEC-99: published anchors are checked without the ledger: whose they are, and that none is missing', (t) => {
  const rig = makeDays(t, [0, 0, 1, 2, 3])
  stepAll(anchorsOf(rig))
  const texts = readAnchors(rig.engine.db).map(({ text }) => text)
  t.is(texts.length, 3)
  const check = (lines: readonly string[], key = signer.publicKey) => checkAnchors(lines.join('\n'), key, fastVerifier)
  const good = check([...texts, ''])
  t.true(good.every(({ ok }) => ok))
  t.regex(good[0]!.text, /^fixes 2 records and 2 journal entries; it is the ledger's first$/)
  const { day: _day, ...undated } = parseAnchor(texts[0]!)
  const [head] = check([formatAnchor(undated, signer)])
  t.like(head, { subject: 'a head', ok: true })
  t.regex(head!.text, /; no day was anchored before it$/)
  t.regex(good[1]!.text, /, 1 and 1 more than the one before it, which it names$/)
  t.regex(check(texts.slice(1))[0]!.text, /the ones before it are not in the file$/)
  const fault = (lines: readonly string[], key?: Uint8Array) => check(lines, key).find(({ ok }) => !ok)
  t.like(fault(texts.toSpliced(1, 1)), { subject: 'line 2', code: 'anchor/invalid' })
  t.regex(fault(texts.toSpliced(1, 1))!.text, /names [0-9a-f]{8} as the anchor before it/)
  t.truthy(fault(texts.toReversed()))
  t.truthy(fault(texts.with(1, texts[1]!.replace('"count":3', '"count":2'))))
  t.truthy(fault(texts, testSigner(901).publicKey))
  t.is(fault(texts.with(2, texts[1]!))?.subject, 'line 3')
  const sign = (facts: Partial<AnchorFacts>) =>
    formatAnchor({ ...parseAnchor(texts[2]!), previous: parseAnchor(texts[1]!).hash, ...facts }, signer)
  t.regex(
    fault([texts[0]!, texts[1]!, sign({ day: '2026-11-22' })])!.text,
    /'2026-11-22' does not come after '2026-11-22'/,
  )
  t.regex(fault([texts[0]!, texts[1]!, sign({ records: { count: 1, root: noHash } })])!.text, /counts less/)
})

const log = makeLogger('error')

test('anchoring goes on while there is work and after storage that was full, and ends with its ledger', async (t) => {
  const health = new Health()
  let steps = 0
  const enough = Promise.withResolvers<void>()
  const step = () => {
    if (++steps === 2) throw new WattError('storage/full', 'no room', { retryable: true })
    if (steps >= 5) enough.resolve()
    return true
  }
  const stop = startAnchoring({ step }, { health, log })
  await enough.promise
  stop()
  const seen = steps
  await sleep(30)
  t.is(steps, seen)
  t.deepEqual(health.troubles(), [])
})

test('damage is told once, and nothing more is anchored', async (t) => {
  const health = new Health()
  const told: unknown[] = []
  const ended = Promise.withResolvers<void>()
  const step = (): boolean => {
    setImmediate(() => ended.resolve())
    throw new WattError('storage/corrupt', 'records: number 3 is missing')
  }
  const stop = startAnchoring(
    { step },
    { health, log: Object.assign(Object.create(log), { error: (fields: unknown) => told.push(fields) }) },
  )
  t.teardown(stop)
  await ended.promise
  t.deepEqual(health.troubles(), [{ code: 'storage/corrupt', message: 'records: number 3 is missing' }])
  t.deepEqual(told, [{ event: 'anchor.failed', code: 'storage/corrupt', reason: 'records: number 3 is missing' }])
})
