import {
  type PublicKey,
  parseOcmfText,
  signConsent,
  signOrder,
  signRecord,
  formatPublicKey as spkiOf,
} from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, openRig, startMs, testSigner } from '../../test/rig.ts'
import type { LedgerEngine } from '../engine.ts'
import { checkProof, type ProofReport } from './check-proof.ts'
import { parseEntryContent, parseTerms } from './entry-content.ts'
import { makeProof, parseProofSubject } from './make-proof.ts'
import { formatProof, parseProof } from './proof-file.ts'

// Proofs of what was counted while something about the point changed: its key, its owner, its meter, its fuse.

const signer = testSigner(960)
const options = { signer, verifier: fastVerifier }
const [alice, bob] = [testSigner(8201), testSigner(8202)]

const prove = (engine: LedgerEngine, subject: string) => makeProof(engine.db, parseProofSubject(subject), options)
const check = (content: string, point?: PublicKey): ProofReport =>
  checkProof(content, point === undefined ? {} : { point }, fastVerifier)
const words = ({ findings }: ProofReport) => findings.map(({ subject, text }) => `${subject}: ${text}`).join('\n')
const faultOf = ({ findings }: ProofReport) => findings.find(({ ok }) => !ok)?.code

/** A roof whose key changes twice; what the first has signed comes after the word that it goes. */
function rotated(t: Parameters<typeof openRig>[0], silent = 0) {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const first = roof.signer.publicKey
  const [certificate, before] = [roof.certificate.text, [roof.read({ export: 0n }), roof.read({ export: 1000n })]]
  const documents = [certificate, ...roof.rotate(8210)]
  const second = roof.signer.publicKey
  const between = Array.from({ length: silent }, () => roof.read({}, { state: 'no-answer' }))
  documents.push(...roof.rotate(8211))
  const third = roof.signer.publicKey
  const message = { topic: roof.topic('certificate'), payload: Buffer.from(documents.join('\n')) }
  engine.ingest([message, ...before, ...between, roof.read({ export: 2000n }), roof.read({ export: 3000n })])
  const claimOf = (sequence: number) => {
    const row = engine.db.prepare<[number], string>('SELECT claim FROM entry WHERE claim LIKE ?').pluck()
    return row.get(`%/${sequence}` as never) as string
  }
  return { engine, roof, keys: [first, second, third] as const, claimOf, last: 3 + silent }
}

test('SPEC-184: a kilowatt-hour is proven that was measured while one key went and another came', (t) => {
  const { engine, keys, claimOf, last } = rotated(t)
  const proof = prove(engine, claimOf(last))
  const report = check(proof)
  t.true(report.ok, words(report))
  t.regex(words(report), /mints 1\.000 WATT for 'alice'/)
  t.regex(words(report), /the record before is signed by the key of its certificate/)
  // Whichever of the two the reader knows: the old one has named the new one, the new one names the old one's record.
  for (const key of keys) {
    const known = check(proof, key)
    t.true(known.ok, words(known))
    t.notRegex(known.notProven.join('\n'), /was its key/)
  }
  t.regex(words(check(proof, keys[0])), /the record is signed by a key that the one that you gave has named/)
  t.is(faultOf(check(proof, testSigner(8299).publicKey)), 'record/bad-signature')
  // Every other record, too: before the change and after it.
  for (const sequence of [1, 2, last + 1]) {
    const place = engine.db
      .prepare<[number], string>("SELECT 'gw-1/roof#' || epoch || '/' || sequence FROM record WHERE sequence = ?")
      .pluck()
      .get(sequence)!
    t.true(check(prove(engine, place)).ok, place)
  }
  t.log(`${proof.length} bytes`)
})

test('SPEC-184: where the records between are not in the file, the journal alone speaks for the earlier key', (t) => {
  const { engine, keys, claimOf, last } = rotated(t, 12)
  const proof = prove(engine, claimOf(last))
  t.is(parseProof(proof).between, undefined)
  t.true(check(proof).ok)
  t.true(check(proof, keys[0]).ok)
  const known = check(proof, keys[2])
  t.true(known.ok, words(known))
  t.regex(known.notProven.join('\n'), /that \.\.\.[0-9A-F]{16} was its key: the key of journal entry \d+ says so/)
})

test('SPEC-184: a key that nobody enrolled, or that had gone, proves nothing', (t) => {
  const { engine, keys, claimOf, last } = rotated(t)
  const proof = parseProof(prove(engine, claimOf(last)))
  const codeOf = (change: object) => faultOf(check(formatProof({ ...proof, ...change })))
  const { earlier = [], terms } = proof
  t.true(earlier.length > 1)
  t.is(codeOf({}), undefined)
  const { earlier: _earlier, ...without } = proof
  t.is(faultOf(check(formatProof(without))), 'record/wrong-key')
  // Without the word of the key that went, the one that a reader knows leads nowhere: the journal alone does.
  const severed = check(formatProof({ ...proof, earlier: earlier.slice(0, 1) }), keys[0])
  t.regex(severed.notProven.join('\n'), /was its key/)
  t.is(codeOf({ earlier: [terms, proof.entry] }), 'proof/mismatch')
  const foreign = new Device({ meter: 'roof', role: 'producer', key: 8298 })
  t.is(codeOf({ certificates: [foreign.certificate.text] }), 'record/wrong-key')
})

test('SPEC-184: altered in a byte, the proof of a changed key fails with the right reason', (t) => {
  const { engine, claimOf, last } = rotated(t)
  const proof = prove(engine, claimOf(last))
  const from = proof.indexOf('"earlier"')
  const to = proof.indexOf('\n ]', from)
  t.true(from > 0 && to > from)
  const expected = ['proof/malformed', 'proof/not-included']
  const seen = new Set<string>()
  for (let at = from; at < to; at += 37) {
    const bytes = Buffer.from(proof, 'latin1')
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 7))
    const code = faultOf(check(bytes.toString('latin1'))) ?? 'none'
    t.true(expected.includes(code), `byte ${at}: ${code}`)
    seen.add(code)
  }
  t.is(seen.size, 2)
})

test('SPEC-184: across a change of owner the energy is the new owner’s, and both terms are in the file', (t) => {
  const { engine } = openRig(t, { enrolment: 'signed' })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  let issuedAt = startMs
  const order = (action: Parameters<typeof signOrder>[0]['action'], by: typeof alice) =>
    signOrder({ point: roof.id, action, issuedAt: ++issuedAt }, by)
  const apply = (...texts: string[]) => engine.db.write(() => engine.orders.apply(texts))
  apply(roof.certificate.text, order({ do: 'accept', certificate: roof.certificate.hash, owner: 'alice' }, alice).text)
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 500n })])
  const { publicKey } = bob
  const offer = order({ do: 'transfer', after: roof.place, owner: 'bob', to: spkiOf(publicKey) }, alice)
  apply(offer.text, signConsent({ point: roof.id, order: offer.hash, issuedAt: ++issuedAt }, bob).text)
  engine.ingest([roof.read({ export: 1500n })])
  const proof = prove(engine, `gw-1/roof#${roof.epoch}/3`)
  t.regex(words(check(proof)), /mints 1\.000 WATT for 'bob'/)
  t.true(check(proof, roof.signer.publicKey).ok)
  const stated = (parseProof(proof).earlier ?? []).map(({ content }) => parseTerms(parseEntryContent(content)).owner)
  t.deepEqual(stated, ['alice'])
  t.regex(words(check(prove(engine, `gw-1/roof#${roof.epoch}/2`))), /mints 0\.500 WATT for 'alice'/)
})

test('SPEC-184: a record that a key signed after it had gone proves nothing, whoever has accepted it', (t) => {
  const { engine, claimOf, last } = rotated(t)
  const subject = claimOf(last + 1)
  const row = engine.db
    .prepare<[number], { id: number; text: string }>('SELECT id, text FROM record WHERE sequence = ?')
    .get(last + 1)!
  // The second key's secret, of the test's numbers.
  const { text } = signRecord(parseOcmfText(row.text).record, testSigner(8210))
  engine.db.write(() => engine.db.prepare('UPDATE record SET text = ? WHERE id = ?').run(text, row.id))
  t.throws(() => prove(engine, subject), { code: 'proof/unavailable', message: /ended at .*point\/revoked/ })
})

test('SPEC-184: across a freeze, another certificate, a swap of the meter and another fuse', (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n })])
  const [twin, next] = [roof.sign({ registers: { export: 5n } }), new Device({ meter: 'roof', role: 'producer' })]
  Object.assign(roof, { sequence: 1, page: 1, previousHash: parseOcmfText(roof.texts[0]!).hash })
  engine.ingest([roof.message(twin), roof.read({ export: 6n })])
  t.not(engine.registry.get(roof.id)?.frozen, undefined)
  const { certificate, signer: own } = next
  const terms = { owner: 'alice', role: 'producer', maxPowerW: 500_000 } as const
  engine.db.write(() => engine.enrolment.enrol({ point: roof.id, key: own.publicKey, terms, certificate }))
  Object.assign(roof, { signer: own, epoch: roof.epoch + 9, sequence: 2, page: 2, base: undefined })
  Object.assign(roof, { previousHash: parseOcmfText(twin).hash })
  engine.ingest([
    roof.read({ export: 1005n }),
    roof.read({ export: 7n }, { state: 're-based' }),
    roof.read({ export: 107n }),
  ])
  const [over, swapped] = [3, 5].map((sequence) => check(prove(engine, `gw-1/roof#${roof.epoch}/${sequence}`)))
  t.regex(words(over!), /mints 1\.000 WATT for 'alice'/)
  t.regex(words(swapped!), /mints 0\.100 WATT for 'alice'/)
  t.true(over?.ok && swapped?.ok)
  const known = check(prove(engine, `gw-1/roof#${roof.epoch}/3`), own.publicKey)
  t.true(known.ok, words(known))
})

test('SPEC-184: a session in which the fuse was changed is proven by its begin and end', (t) => {
  const { engine } = openRig(t)
  const car = new Device({ meter: 'car', role: 'charger', owner: 'bob' })
  const read = (wh: bigint) => car.read({ import: wh })
  const begin = car.read({ import: 0n }, { mark: 'B' })
  engine.ingest([car.certificateMessage(), begin, ...[10_000n, 20_000n, 30_000n].map(read)])
  engine.db.write(() => {
    const point = engine.registry.get(car.id)!
    engine.enrolment.changeTerms(point, { ...point.terms, maxPowerW: 60_000 })
  })
  engine.ingest(Array.from({ length: 8 }, (_, at) => read(30_500n + 500n * BigInt(at))))
  engine.ingest([car.read({ import: 34_500n }, { mark: 'E' })])
  const proof = prove(engine, `gw-1/car#${car.epoch}/13`)
  t.is(parseProof(proof).between, undefined)
  t.regex(words(check(proof)), /burns 34\.500 WATT for 'bob'/)
  const { earlier: _earlier, ...without } = parseProof(proof)
  t.is(faultOf(check(formatProof(without))), 'proof/mismatch')
})
