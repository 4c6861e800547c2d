import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseOcmfText, parsePointId, WattError } from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, openRig, testSigner } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import { readWitnesses } from './audit/witness.ts'
import { HeadFile, headFile, parseHead } from './head.ts'
import { Anchors, readAnchors } from './proof/anchors.ts'
import { Receipts } from './receipts.ts'

const signer = testSigner(9001)

test('SPEC-53: the head says how far the ledger has come, and only its key may say so', (t) => {
  const { engine, clock, dataDir } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const head = new HeadFile(engine.db, { signer, clock })
  head.write()
  const path = join(dataDir, headFile)
  const first = parseHead(readFileSync(path, 'utf8').trim(), signer.publicKey)
  t.like(first, { records: 0, entries: 0, at: clock.ms })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 5n })])
  head.write()
  const text = readFileSync(path, 'utf8').trim()
  t.like(parseHead(text, signer.publicKey), { records: 2, entries: 2 })
  const code = (work: () => unknown) => t.throws(work, { instanceOf: WattError })?.code
  t.is(
    code(() => parseHead(text, testSigner(9002).publicKey)),
    'receipt/invalid',
  )
  t.is(
    code(() => parseHead(text.replace('"records":2', '"records":3'), undefined)),
    'receipt/invalid',
  )
  t.is(
    code(() => parseHead('WATT-HEAD|{}|x', undefined)),
    'receipt/invalid',
  )
})

test('SPEC-53: a database that is older than its head is noticed, and the head is kept as proof', (t) => {
  const young = openRig(t)
  const old = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const messages = [roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 5n })]
  young.engine.ingest(messages)
  const head = new HeadFile(young.engine.db, { signer, clock: young.clock })
  t.is(head.keepIfAhead(), undefined)
  head.write()
  t.is(head.keepIfAhead(), undefined)
  old.engine.ingest(messages.slice(0, 2))
  const restored = new HeadFile(old.engine.db, { signer, clock: old.clock })
  writeFileSync(join(old.dataDir, headFile), readFileSync(join(young.dataDir, headFile)))
  const kept = restored.keepIfAhead() ?? ''
  t.is(kept, join(old.dataDir, `${headFile}.${young.clock.ms}`))
  const { faults } = auditLedger(old.engine.db, fastVerifier, {
    witnesses: readWitnesses(old.dataDir, [kept], fastVerifier),
  })
  t.deepEqual(
    faults.map(({ place, code }) => `${place} ${code}`),
    ['records chain/missing', 'entry 2 journal/broken'],
  )
})

test('SPEC-54: a receipt that was given is a witness; one of another ledger is refused', (t) => {
  const { engine, clock, dataDir } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 5n })])
  const receipts = new Receipts(engine, signer, clock)
  const path = join(dataDir, 'receipts')
  writeFileSync(path, `kept by ${parsePointId(roof.id).gatewayId}\n${receipts.make(roof.id, { resend: false }).text}\n`)
  const audit = () => {
    return auditLedger(engine.db, fastVerifier, { witnesses: readWitnesses(dataDir, [path], fastVerifier) })
  }
  t.like(audit(), { ok: true, checks: { witnesses: 1 } })
  engine.db.prepare("UPDATE record SET hash = replace(hash, 'a', 'b') WHERE sequence = 2").run()
  t.deepEqual(
    audit().faults.map(({ place, message }) => [place, message.includes(`${path}:2`)]),
    [
      [`${roof.id}@${roof.epoch}/2`, false],
      [`${roof.id}@${roof.epoch}/2`, true],
    ],
  )
  new HeadFile(engine.db, { signer: testSigner(9002), clock }).write()
  t.is(t.throws(audit, { instanceOf: WattError })?.code, 'receipt/invalid')
})

test('SPEC-54: a published anchor is a witness: a past that was made anew, its anchors with it, is found', (t) => {
  const made = (serial: string) => {
    const { engine, clock, dataDir } = openRig(t)
    const roof = new Device({ meter: 'roof', role: 'producer', key: 9003 })
    const template = { ...parseOcmfText(roof.sign({ registers: { export: 0n } })).record.template, meterSerial: serial }
    Object.assign(roof, { sequence: 0, page: 0, previousHash: roof.certificate.hash })
    engine.ingest([
      roof.certificateMessage(),
      roof.read({ export: 1n }),
      roof.read({ export: 5n }, { change: { template } }),
    ])
    clock.ms += 86_400_000
    const anchors = new Anchors({ db: engine.db, ledger: engine.ledger, signer, clock })
    while (anchors.step());
    return { engine, dataDir }
  }
  const [truth, lie] = [made('4711'), made('4712')]
  const published = join(truth.dataDir, 'published')
  writeFileSync(published, `${readAnchors(truth.engine.db)[0]?.text}\n`)
  const audit = ({ engine, dataDir }: Pick<typeof truth, 'engine' | 'dataDir'>, files: string[]) =>
    auditLedger(engine.db, fastVerifier, { witnesses: readWitnesses(dataDir, files, fastVerifier) }).faults
  t.deepEqual(audit(truth, [published]), [])
  t.deepEqual(audit(lie, []), [], 'nothing inside the tables shows it')
  t.deepEqual(
    audit(lie, [published]).map(({ place, code }) => `${place} ${code}`),
    ['records chain/inserted'],
    'the same registers, so the same journal, of another meter',
  )
  t.deepEqual(
    audit(openRig(t), [published]).map(({ place, code }) => `${place} ${code}`),
    ['entry 2 journal/broken', 'records chain/missing'],
  )
})
