// What proofs and the audit of possession cost: how fast an archive grows into its tree, how long that keeps the ledger
// from its work at a time, how large a kilowatt-hour's proof is, and what an auditor must download and a keeper must do,
// against handing over the whole archive. `node possession.ts 1000000` takes another number of records.
import { hash } from 'node:crypto'
import { parseAnchor } from '@wattline/protocol'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { Anchors } from '../src/proof/anchors.ts'
import { answerChallenge } from '../src/proof/answer.ts'
import { challengedIndices, checkAnswers, makeChallenge } from '../src/proof/challenge.ts'
import { makeProof } from '../src/proof/make-proof.ts'
import type { Database } from '../src/store/database.ts'
import { Device, fastVerifier, openRig, testSigner } from '../test/rig.ts'

const count = Number(process.argv[2] ?? 100_000)
const asked = 460
const signer = testSigner(1)
const ends: (() => void)[] = []
const teardown = (end: () => void) => ends.push(end)
const filled = openRig({ teardown })

const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
filled.engine.ingest([roof.certificateMessage(), roof.read({ export: 1000n }), roof.read({ export: 2000n })])
fill(filled.engine.db)
// Opened anew: a ledger remembers the head of its journal.
const { engine, clock } = openRig({ teardown }, { dataDir: filled.dataDir })
const { db } = engine

/** Rows as large as true ones: trees and audits are about bytes, whatever they say. */
function fill(db: Database): void {
  const { text } = db.prepare<[], { text: string }>('SELECT text FROM record WHERE id = 1').get() ?? { text: '' }
  const record = db.prepare<[number, number, string], unknown>(
    `INSERT INTO record (id, point, epoch, sequence, hash, tag, full, text, taken_at, accepted_at, terms, outcome, net_wh)
     SELECT ?, point, epoch, ?, hash, tag, 0, ?, taken_at, accepted_at, terms, 'kept', 0 FROM record WHERE id = 1`,
  )
  const entry = db.prepare<[number, string], unknown>(
    `INSERT INTO entry (id, at, kind, note, previous_hash, hash) SELECT ?, at, 'gap', '{}', '', ? FROM entry WHERE id = 1`,
  )
  db.write(() => {
    for (let id = 3; id <= count; id++) {
      record.run(id, id, text.replace('Wattline gateway', `${id}`.padStart(16, '0')))
      entry.run(id, hash('sha256', `${id}`))
    }
  })
}

const anchors = new Anchors({ db, ledger: engine.ledger, signer, clock })
clock.ms += 86_400_000
const steps: number[] = []
const growMs = time(() => {
  for (let more = true; more; ) steps.push(time(() => (more = anchors.step())))
})
const row = db.prepare<[], { text: string }>('SELECT text FROM anchor').get()
const anchor = parseAnchor(row?.text ?? '')

function time(work: () => unknown): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

const read = db.prepare<[], { text: string }>('SELECT text FROM record ORDER BY id')
let archiveBytes = 0
const wholeMs = time(() => {
  for (const { text } of read.iterate()) {
    hash('sha256', text)
    archiveBytes += text.length
  }
})
printFigure({
  name: 'anchor-grow',
  value: (2 * count * 1000) / growMs,
  unit: 'records and entries/s',
  comparedWith: 'reading and hashing each record once',
  reference: (count * 1000) / wholeMs,
})
printFigure({
  name: 'anchor-step-p99',
  value: percentile(steps, 0.99),
  unit: 'ms',
  comparedWith: `closing the day with ${count} records in one go`,
  reference: growMs,
})

const proof = makeProof(db, { point: roof.id, epoch: roof.epoch, sequence: 2 }, { signer, verifier: fastVerifier })
printFigure({
  name: 'proof-bytes',
  value: proof.length,
  unit: 'bytes',
  comparedWith: 'the two signed records in it',
  reference: roof.texts.reduce((sum, text) => sum + text.length, 0),
})

const challenge = makeChallenge(anchor, '5'.padStart(64, '0'), asked)
let lines: string[] = []
const answerMs = time(() => {
  lines = [...answerChallenge(db, challenge)]
})
const answerBytes = lines.reduce((sum, line) => sum + line.length, 0)
let ok = false
const checkMs = time(() => {
  ok = checkAnswers(challenge, lines).ok
})
if (!ok || challengedIndices(challenge).length !== asked) throw new Error('the answer does not hold')
printFigure({
  name: 'possession-answer-bytes',
  value: answerBytes,
  unit: 'bytes',
  comparedWith: `the whole archive of ${count} records`,
  reference: archiveBytes,
})
for (const [name, value] of [
  ['possession-answer', answerMs],
  ['possession-check', checkMs],
] as const) {
  printFigure({ name, value, unit: 'ms', comparedWith: 'reading and hashing the whole archive', reference: wholeMs })
}
for (const end of ends.toReversed()) end()
