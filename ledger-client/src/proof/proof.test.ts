import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, parseOcmfText } from '@wattline/protocol'
import test from 'ava'
import { runVerify } from '../../test/programs.ts'
import { Device, openRig, startMs, tempDir, testSigner } from '../../test/rig.ts'
import { check, makeTown, options, signer, words } from '../../test/town.ts'
import { formatEntry, hashEntry } from '../ledger/journal.ts'
import { archiveLeaf } from './archive.ts'
import { explainBooking } from './check-booking.ts'
import type { ProofReport } from './check-proof.ts'
import { parseEntryContent } from './entry-content.ts'
import { hashUtf8 } from './hash-utf8.ts'
import { recordLeaf } from './leaf.ts'
import { makeProof, parseProofSubject } from './make-proof.ts'
import { looksLikeProof, parseProof } from './proof-file.ts'

test('SPEC-180: a kilowatt-hour is proven from two signed registers to the journal, to a head and to an anchor', (t) => {
  const town = makeTown(t)
  const claim = `gw-1/roof#${town.roof.epoch}/2`
  const head = town.prove(claim)
  t.regex(words(check(head)), /^ledger: a head /)
  town.anchor()
  const proof = town.prove(claim)
  const report = check(proof)
  t.true(report.ok, words(report))
  const text = words(report)
  t.regex(text, /ledger: the anchor of 2026-11-21 \([0-9a-f]{16}\.\.\.\) is signed by the key that it names/)
  t.regex(
    text,
    /the record is signed by the key of its certificate, \.\.\.[0-9A-F]{16}, and is number 4 of the archive: export register 1\.000 kWh/,
  )
  t.regex(text, /the record before is signed by .*: export register 0\.000 kWh/)
  t.regex(
    text,
    /mints 1\.000 WATT for 'alice' \(producer by journal entry \d+\): exactly the energy between the two registers/,
  )
  t.regex(text, /nothing is missing between the two/)
  t.regex(
    report.notProven.join('\n'),
    /whose the ledger's key is[\s\S]*no later terms[\s\S]*|no later terms[\s\S]*whose the ledger's key is/,
  )
  t.true(check(proof, { ledger: signer.publicKey, point: town.roof.signer.publicKey }).ok)
  t.true(check(proof, { ledger: signer.publicKey }).notProven.every((line) => !line.includes("ledger's key")))
  // By its claim, by its record's place and by its entry: the same file.
  t.is(town.prove(claim.replace('#', '@')), proof)
  const { id } = town.engine.db.prepare<[string], { id: number }>('SELECT id FROM entry WHERE claim = ?').get(claim)!
  t.is(town.prove(`${id}`), proof)
  t.true(looksLikeProof(proof))
  t.log(`${proof.length} bytes`)
})

test('SPEC-180: every booking and every record can be proven', (t) => {
  const town = makeTown(t)
  town.anchor()
  const db = town.engine.db
  const entries = db.prepare<[], { id: number; kind: string }>('SELECT id, kind FROM entry').all()
  for (const { id } of entries) t.true(check(town.prove(`${id}`)).ok, `entry ${id}`)
  t.deepEqual(
    new Set(entries.map(({ kind }) => kind)),
    new Set(['enrolment', 'claim', 'remainder', 'session', 'storage', 'anchor']),
  )
  const records = db
    .prepare<[], { name: string; epoch: number; sequence: number }>(
      'SELECT name, record.epoch, record.sequence FROM record JOIN point ON point.id = record.point WHERE record.id % 4 < 2',
    )
    .all()
  for (const { name, epoch, sequence } of records) {
    const report = check(town.prove(`${name}#${epoch}/${sequence}`))
    t.true(report.ok, words(report))
  }
})

test('SPEC-181: what a proof says of a session, a remainder, a record that moved nothing, and an enrolment', (t) => {
  const town = makeTown(t)
  town.anchor()
  const session = check(town.prove(`gw-1/CP1.1#${town.charger.epoch}/15`))
  t.regex(words(session), /burns 1\.500 WATT for 'bob' \(charger by journal entry \d+\), a session that 'carol' pays/)
  t.regex(session.notProven.join('\n'), /what the 12 records between the two say/)
  const remainder = check(town.prove(`gw-1/house#${town.house.epoch}/2`))
  t.regex(words(remainder), /burns 1\.007 WATT, the remainder of the meter of 'alice' \(bidirectional/)
  t.regex(remainder.notProven.join('\n'), /how large the remainder is/)
  const kept = check(town.prove(`gw-1/roof#${town.roof.epoch}/5`))
  t.regex(words(kept), /no energy \(no-answer\)/)
  t.notRegex(words(kept), /journal entry \d+: /)
  const bridged = check(town.prove(`gw-1/roof#${town.roof.epoch}/6`))
  t.regex(words(bridged), /mints 1\.000 WATT/)
  t.regex(words(bridged), /nothing is missing between the two/)
  t.regex(
    words(check(town.prove('1'))),
    /journal entry 1: is in the journal: enrolment gw-1\/house, made at .*, moves nothing/,
  )
})

test('SPEC-181: what a proof says of a storage, and what an entry of one must not say', (t) => {
  const town = makeTown(t)
  const proof = town.prove(`gw-1/battery#${town.battery.epoch}/2`)
  const text = words(check(proof))
  t.regex(
    text,
    /1\.200 kWh went into the storage and 0\.450 kWh came out of it, of 'alice' \(storage by journal entry \d+\): exactly the energy between the two registers; no WATT moved/,
  )
  t.regex(text, /import register 1\.200 kWh, export register 0\.450 kWh/)
  const { entry, terms, record, from, point = '' } = parseProof(proof)
  const recordOf = (each: typeof record) => parseOcmfText(each?.text ?? '').record
  const facts = {
    point,
    booking: parseEntryContent(entry?.content ?? ''),
    stated: parseEntryContent(terms?.content ?? ''),
    before: [],
    last: recordOf(record),
    first: recordOf(from),
    between: [],
  }
  const refusal = (change: Partial<typeof facts>) =>
    t.throws(() => explainBooking({ ...facts, ...change }), { code: 'proof/mismatch' })?.message ?? ''
  const { booking } = facts
  const moving = (...lines: readonly (readonly [string, bigint])[]) => {
    return { booking: { ...booking, postings: lines.map(([account, amount]) => ({ account, amount })) } }
  }
  const [charged, discharged, stored] = ['charged', 'discharged', 'stored'].map((name) => `${name}:${point}`) as [
    string,
    string,
    string,
  ]
  t.notThrows(() => explainBooking(facts))
  t.regex(refusal(moving([charged, -1201n], [discharged, 450n], [stored, 751n])), /1\.201 kWh went into/)
  const sound = [
    [charged, -1200n],
    [discharged, 450n],
    [stored, 750n],
  ] as const
  t.regex(refusal(moving(...sound, ['owner:alice', 5n], ['minted:gw-1/battery', -5n])), /'storage' has 2 to 3 postings/)
  t.regex(
    refusal(moving([charged, -1200n], [discharged, 450n], ['owner:alice', 750n])),
    /must not move 750 .*'owner:alice'/,
  )
  const foreign = ['stored:gw-1/other', 750n] as const
  t.regex(refusal(moving([charged, -1200n], [discharged, 450n], foreign)), /moves more than its storage/)
  const producer = { owner: 'alice', role: 'producer', maxPowerW: 1_000_000 }
  t.regex(refusal({ stated: { ...facts.stated, note: producer } }), /it books a storage; the meter is that of 'alice'/)
  t.regex(
    refusal({ booking: { ...booking, kind: 'claim' } }),
    /'claim' must not move -1200 on account 'charged:gw-1\/battery'/,
  )
})

test('SPEC-180: counting that began anew on the way is proven with all records between', (t) => {
  const { engine } = openRig(t)
  const charger = new Device({ meter: 'CP1', role: 'charger', owner: 'bob' })
  engine.ingest([
    charger.certificateMessage(),
    charger.read({ import: 10n }, { mark: 'B' }),
    ...Array.from({ length: 6 }, (_, at) => charger.read({ import: 10n + 10n * BigInt(at) })),
    charger.read({ import: 3n }, { state: 're-based' }),
    ...Array.from({ length: 6 }, (_, at) => charger.read({ import: 3n + 10n * BigInt(at) })),
    charger.read({ import: 60n }, { mark: 'E' }),
  ])
  const claim = `gw-1/CP1#${charger.epoch}/15`
  const proof = makeProof(engine.db, parseProofSubject(claim), options)
  t.regex(words(check(proof)), /burns 0\.107 WATT for 'bob'/)
  t.is(parseProof(proof).between?.length, 13)
})

test('SPEC-180: a point without a certificate is proven by the key of its enrolment', (t) => {
  const town = makeTown(t)
  const spki = formatPublicKey(town.roof.signer.publicKey)
  town.engine.db.write(() => town.engine.db.prepare('DELETE FROM certificate').run())
  const proof = town.prove(`gw-1/roof#${town.roof.epoch}/2`)
  t.regex(words(check(proof)), new RegExp(`signed by the key of journal entry 2, \\.\\.\\.${spki.slice(-16)}`))
})

test('SPEC-181: without a key, or with another one, nothing is proven', (t) => {
  const town = makeTown(t)
  town.anchor()
  const proof = town.prove(`gw-1/roof#${town.roof.epoch}/2`)
  const code = (report: ProofReport) => report.findings.find(({ ok }) => !ok)?.code
  t.is(code(check(proof, { ledger: testSigner(951).publicKey })), 'anchor/invalid')
  t.is(code(check(proof, { point: testSigner(951).publicKey })), 'record/bad-signature')
})

test('SPEC-180: what cannot be proven is told', (t) => {
  const town = makeTown(t)
  t.throws(() => town.prove('nonsense'), { code: 'point/unknown' })
  t.throws(() => town.prove('gw-1/roof#1/99'), { code: 'point/unknown' })
  t.throws(() => town.prove('9999'), { code: 'point/unknown' })
  const { db } = town.engine
  const subject = parseProofSubject(`gw-1/roof#${town.roof.epoch}/2`)
  t.throws(() => makeProof(db, subject, { ...options, signer: undefined }), {
    code: 'proof/unavailable',
    message: /no anchor covers it/,
  })
  db.write(() =>
    db
      .prepare(
        `UPDATE posting SET amount = amount * 2 WHERE entry = (SELECT id FROM entry WHERE claim LIKE '%roof#%/2')`,
      )
      .run(),
  )
  // The hash in the row is the true one: the tree does not hold the forged content.
  t.throws(() => town.prove(`gw-1/roof#${town.roof.epoch}/2`), {
    code: 'proof/unavailable',
    message: /proof\/not-included/,
  })
})

test('leaves and entries are hashed in the page as in the ledger', (t) => {
  t.deepEqual(Buffer.from(recordLeaf('gw-1/roof', 'OCMF|x')), Buffer.from(archiveLeaf('gw-1/roof', 'OCMF|x')))
  const entry = {
    id: 1,
    at: 2,
    kind: 'claim',
    claim: 'ä#1/2',
    point: null,
    note: '{"owner":"Zoë"}',
    postings: [{ account: 'owner:Zoë', amount: 5n }],
  }
  t.is(hashUtf8(`00${formatEntry(entry)}`), hashEntry('00', entry))
})

test("SPEC-181: a head that another ledger signs over the same data is not the trusted one's", (t) => {
  const town = makeTown(t)
  const forged = makeProof(town.engine.db, parseProofSubject('1'), { ...options, signer: testSigner(952) })
  t.true(check(forged).ok, 'sound in itself')
  t.false(check(forged, { ledger: signer.publicKey }).ok)
  t.is(parseOcmfText(town.roof.texts[0]!).record.takenAt, (startMs + 60_000) as never)
})

test('the program checks a proof and says what is proven and what is not', async (t) => {
  const town = makeTown(t)
  town.anchor()
  const folder = tempDir(t)
  const proof = town.prove(`gw-1/roof#${town.roof.epoch}/2`)
  const good = join(folder, 'good')
  writeFileSync(good, proof)
  const keys = ['--ledger', formatPublicKey(signer.publicKey), '--key', formatPublicKey(town.roof.signer.publicKey)]
  const { code, stdout } = await runVerify([good, ...keys])
  t.is(code, 0, stdout)
  t.regex(stdout, /^proven {2}ledger: the anchor of 2026-11-21 .* signed by the ledger key that you gave/m)
  t.regex(stdout, /^open {4}not proven by this file: that the meter measures right/m)
  const bad = join(folder, 'bad')
  writeFileSync(bad, proof.replace('RV\\":1.000', 'RV\\":9.000'))
  const altered = await runVerify([bad])
  t.is(altered.code, 1)
  t.regex(altered.stdout, /^FAULT {3}gw-1\/roof, the record: .*\(record\/bad-signature\)$/m)
})
