import { hash } from 'node:crypto'
import {
  formatHello,
  isEquivocation,
  type PointId,
  parseOcmfText,
  parsePublicKey,
  signRecord,
} from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, openRig, quarantined } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'

test('SPEC-36: a copy of a key that has gone freezes nothing: what waits at its place is of another key', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const thief = roof.signer
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10n })])
  const papers = { topic: roof.topic('certificate'), payload: Buffer.from(roof.rotate(9400).join('\n')) }
  const missing = roof.read({ export: 20n })
  const waiting = roof.read({ export: 30n })
  t.is(engine.ingest([papers, waiting]).held, 1)
  const { record } = parseOcmfText(roof.texts.at(-1) ?? '')
  const lie = signRecord({ ...record, registers: { export: 31n } }, thief).text
  t.is(engine.ingest([roof.message(lie)]).answers.get(roof.id)?.refusal?.code, 'point/revoked')
  // Nor does one that came first keep the true one from its place.
  const early = signRecord({ ...record, sequence: record.sequence + 1, previousHash: '0'.repeat(64) }, thief).text
  engine.ingest([roof.message(early)])
  t.is(engine.ingest([missing, roof.read({ export: 40n })]).accepted, 3)
  t.is(engine.registry.get(roof.id)?.mintedWh, 40n)
  t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
})

const garbage: readonly (readonly [name: string, bytes: Uint8Array, code: string])[] = [
  ['empty', Buffer.alloc(0), 'message/unreadable'],
  ['noise', Buffer.from([0xff, 0x00, 0x41]), 'message/unreadable'],
  ['text of another kind', Buffer.from('hello'), 'message/unreadable'],
  ['a broken text', Buffer.from('OCMF|{}|{}'), 'record/malformed'],
  ['a short frame', Buffer.from([0x10, 1, 2, 3]), 'frame/unreadable'],
  ['a text beyond ASCII', Buffer.from('OCMF|ä|'), 'message/unreadable'],
]

for (const [name, bytes, code] of garbage) {
  test(`SPEC-63: garbage is quarantined with its code, and other points go on: ${name}`, (t) => {
    const { engine } = openRig(t)
    const [roof, house] = [
      new Device({ meter: 'roof', role: 'producer' }),
      new Device({ meter: 'house', role: 'consumer' }),
    ]
    engine.ingest([
      roof.certificateMessage(),
      house.certificateMessage(),
      roof.read({ export: 1n }),
      house.read({ import: 1n }),
    ])
    const bad = { topic: roof.topic('record'), payload: bytes }
    const out = engine.ingest([bad, bad, house.read({ import: 4n })])
    t.is(out.accepted, 1)
    const [row, ...others] = quarantined(engine)
    t.deepEqual([row?.code, row?.count, others.length], [code, 2, 0])
    t.regex(row?.reason ?? '', /gw-1\/roof/)
    t.is(engine.registry.get(house.id)?.burnedWh, 3n)
    t.is(engine.ingest([roof.read({ export: 9n })]).accepted, 1)
  })
}

test('SPEC-62: an oversized message is refused unread, with its length and hash', (t) => {
  const { engine } = openRig(t)
  const payload = Buffer.alloc(16_385, 'O')
  engine.ingest([{ topic: 'wattline/v1/gw-1/roof/record', payload }])
  const row = engine.db
    .prepare<[], { code: string; length: number; digest: string; payload: null }>(
      'SELECT code, length, digest, payload FROM quarantine',
    )
    .get()
  t.deepEqual(row, { code: 'message/oversized', length: 16_385, digest: hash('sha256', payload), payload: null })
})

test('a topic that is none of ours, and a hello of another gateway, are quarantined', (t) => {
  const { engine } = openRig(t)
  const hello = (points: string[]) => Buffer.from(formatHello({ gatewayVersion: '1', points: points as PointId[] }))
  engine.ingest([
    { topic: 'wattline/v1/gw 1/roof/record', payload: Buffer.from('x') },
    { topic: 'wattline/v1/gw-1/roof/receipt', payload: Buffer.from('x') },
    { topic: 'wattline/v1/gw-1/hello', payload: Buffer.from('{') },
    { topic: 'wattline/v1/gw-1/hello', payload: hello(['gw-2/roof']) },
  ])
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    Array(4).fill('message/unreadable'),
  )
})

test('a record signed by another key is refused as such, and no record of the point is named', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const thief = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  const forged = engine.ingest([thief.read({ export: 900n })])
  t.is(forged.answers.get(roof.id)?.refusal?.code, 'record/bad-signature')
  t.is(forged.answers.get(roof.id)?.refusal?.sequence, 0)
  t.is(engine.ingest([thief.certificateMessage()]).answers.get(roof.id)?.refusal?.code, 'record/wrong-key')
  engine.ingest([thief.read({ export: 901n })])
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['record/bad-signature', 'record/wrong-key', 'record/wrong-key'],
  )
  t.is(engine.ingest([roof.read({ export: 3n })]).accepted, 1, 'the first key stays')
})

test('a record on the topic of another point is foreign there', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const house = new Device({ meter: 'house', role: 'consumer' })
  engine.ingest([roof.certificateMessage(), house.certificateMessage()])
  engine.ingest([{ topic: house.topic('record'), payload: roof.read({ export: 1n }).payload }])
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['chain/foreign'],
  )
})

test('a certificate whose key is already the key of another point is refused', (t) => {
  const { engine } = openRig(t)
  engine.ingest([new Device({ meter: 'a', role: 'producer', key: 900 }).certificateMessage()])
  engine.ingest([new Device({ meter: 'b', role: 'producer', key: 900 }).certificateMessage()])
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['key/exists'],
  )
})

test('points that would form a circle, or hang behind a stranger, are refused', (t) => {
  const { engine } = openRig(t)
  engine.ingest([new Device({ meter: 'a', role: 'consumer', behind: 'gw-1/b' }).certificateMessage()])
  engine.ingest([new Device({ meter: 'b', role: 'consumer', behind: 'gw-1/a' }).certificateMessage()])
  engine.ingest([new Device({ gateway: 'gw-2', meter: 'c', role: 'producer', behind: 'gw-1/a' }).certificateMessage()])
  t.deepEqual(
    quarantined(engine).map(({ topic, code }) => [topic.split('/')[3], code]),
    [
      ['b', 'certificate/invalid'],
      ['c', 'certificate/invalid'],
    ],
  )
})

test('a record that does not follow from the head is refused with its place', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  const out = engine.ingest([roof.read({ export: 2n }, { change: { previousHash: '0'.repeat(64) } })])
  t.like(out.answers.get(roof.id)?.refusal, { code: 'chain/broken', sequence: 2 })
})

test('SPEC-36: equivocation is proven, and freezes this point only', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const house = new Device({ meter: 'house', role: 'consumer' })
  engine.ingest([
    roof.certificateMessage(),
    house.certificateMessage(),
    roof.read({ export: 1n }),
    house.read({ import: 0n }),
  ])
  const honest = roof.read({ export: 2n })
  const lie = signRecord({ ...parseOcmfText(roof.texts[1] ?? '').record, registers: { export: 999n } }, roof.signer)
  const out = engine.ingest([honest, roof.message(lie.text)])
  t.is(out.answers.get(roof.id)?.refusal?.code, 'record/equivocation')
  const proof = engine.db
    .prepare<[], { key: string; first: string; second: string }>('SELECT key, first, second FROM equivocation')
    .get()
  t.true(
    proof !== undefined &&
      isEquivocation({ publicKey: parsePublicKey(proof.key), first: proof.first, second: proof.second }),
  )
  engine.ingest([roof.read({ export: 3n }), house.read({ import: 5n })])
  t.is(engine.registry.get(roof.id)?.head?.sequence, 2)
  t.is(engine.registry.get(house.id)?.burnedWh, 5n)
  t.deepEqual(
    quarantined(engine).map(({ code }) => code),
    ['record/equivocation', 'point/frozen'],
  )
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('SPEC-36: two held records at one place are equivocation as well', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  roof.read({ export: 1n })
  const second = roof.read({ export: 2n })
  const lie = signRecord({ ...parseOcmfText(roof.texts[1] ?? '').record, registers: { export: 999n } }, roof.signer)
  engine.ingest([roof.certificateMessage(), second, roof.message(lie.text)])
  t.not(engine.registry.get(roof.id)?.frozen, undefined)
})

test('a frozen point lives on with a new key, and its old one says nothing more', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 2n })])
  const lie = signRecord({ ...parseOcmfText(roof.texts[1] ?? '').record, registers: { export: 999n } }, roof.signer)
  engine.ingest([roof.message(lie.text)])
  const next = new Device({ meter: 'roof', role: 'producer' })
  const { id, terms } = engine.registry.get(roof.id)!
  engine.db.write(() => engine.enrolment.enrol({ point: id, key: next.signer.publicKey, terms }))
  next.epoch += 10_000
  next.sequence = 2
  next.previousHash = next.certificate.hash
  const out = engine.ingest([next.certificateMessage(), next.read({ export: 12n }), roof.read({ export: 500n })])
  t.is(out.accepted, 1)
  t.is(engine.registry.get(roof.id)?.mintedWh, 11n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('a revoked key is valid up to its last sequence', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n }), roof.read({ export: 2n })])
  const revoked = engine.db.write(() => engine.enrolment.revoke(roof.id, { epoch: roof.epoch, sequence: 3 }))
  t.like(revoked, { acceptedAfter: false })
  const out = engine.ingest([roof.read({ export: 5n }), roof.read({ export: 6n })])
  t.is(out.accepted, 1)
  t.like(out.answers.get(roof.id)?.refusal, { code: 'point/revoked', sequence: 4 })
  t.is(engine.registry.get(roof.id)?.mintedWh, 4n)
})

test('the quarantine of one gateway is bounded; beyond it messages are counted', (t) => {
  const { engine } = openRig(t)
  const bad = Array.from({ length: 1200 }, (_, n) => ({
    topic: 'wattline/v1/gw-9/x/record',
    payload: Buffer.from(`bad ${n}`),
  }))
  engine.ingest(bad)
  engine.ingest([{ topic: 'wattline/v1/gw-8/x/record', payload: Buffer.from('bad') }])
  const counts = engine.db
    .prepare<[], { rows: number }>("SELECT count(*) AS rows FROM quarantine WHERE gateway = 'gw-9'")
    .get()
  const more = engine.db
    .prepare<[], { count: number }>("SELECT count FROM quarantine_overflow WHERE gateway = 'gw-9'")
    .get()
  t.deepEqual([counts?.rows, more?.count, quarantined(engine).at(-1)?.topic], [1000, 200, 'wattline/v1/gw-8/x/record'])
})

function makeTrap(name: string) {
  const trap = {
    name: 'trap',
    armed: true,
    verify: (...args: Parameters<typeof fastVerifier.verify>) => {
      if (trap.armed && Buffer.from(args[0]).includes(name)) throw new RangeError('a bug')
      return fastVerifier.verify(...args)
    },
  }
  return trap
}

test('SPEC-63: a turn processes what an earlier one has stored, and stores what comes even if that breaks the program', (t) => {
  const broken = new Device({ meter: 'broken', role: 'producer' })
  const { engine } = openRig(t, { verifier: makeTrap('gw-1 broken') })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const toMessages = (...messages: { topic: string; payload: Uint8Array }[]) =>
    messages.map((each) => ({ gateway: 'gw-1', ...each }))
  const first = toMessages(broken.certificateMessage(), broken.read({ export: 1n }), roof.certificateMessage())
  t.like(engine.turn(first).outcome, { accepted: 0, quarantined: 0 })
  t.is(engine.intake.waiting(), first.length, 'nothing is processed in the commit that stores it')
  const second = toMessages(roof.read({ export: 1n }), roof.read({ export: 2n }))
  t.like(engine.turn(second).outcome, { accepted: 0, quarantined: 1 })
  t.is(engine.intake.waiting(), second.length)
  t.is(engine.turn([]).outcome.accepted, 2)
  t.is(engine.intake.waiting(), 0)
})

test('a message that breaks the program is put aside, the ones around it are processed', (t) => {
  const broken = new Device({ meter: 'broken', role: 'producer' })
  const trap = makeTrap('gw-1 broken')
  const { engine } = openRig(t, { verifier: trap })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const out = engine.ingest([
    roof.certificateMessage(),
    broken.certificateMessage(),
    roof.read({ export: 1n }),
    broken.read({ export: 1n }),
    roof.read({ export: 2n }),
  ])
  t.is(out.accepted, 2)
  t.like(quarantined(engine)[0], { code: 'message/unreadable' })
  t.regex(quarantined(engine)[0]?.reason ?? '', /a bug/)
  trap.armed = false
  t.is(engine.ingest([broken.message(broken.texts[0] ?? '')]).accepted, 1)
})
