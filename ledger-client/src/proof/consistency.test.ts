import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatAnchor, formatPublicKey, noHash, parseAnchor } from '@wattline/protocol'
import test from 'ava'
import { Command } from 'commander'
import { runVerify } from '../../test/programs.ts'
import { Device, fastVerifier, openRig, tempDir, testSigner } from '../../test/rig.ts'
import { Anchors, readAnchors } from './anchors.ts'
import { checkConsistency, checkProofFile } from './check-consistency.ts'
import type { ProofReport } from './check-proof.ts'
import { makeConsistency } from './make-consistency.ts'
import { addProofs } from './proof-commands.ts'
import { formatConsistency, parseConsistency } from './proof-file.ts'

const signer = testSigner(980)
const dayMs = 86_400_000

/** A ledger of three anchored days, and something that no anchor covers yet. */
function makeLedger(t: Parameters<typeof openRig>[0], dataDir = tempDir(t)) {
  const { engine, clock } = openRig(t, { dataDir })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const anchors = new Anchors({ db: engine.db, ledger: engine.ledger, signer, clock })
  engine.ingest([roof.certificateMessage()])
  for (const [day, records] of [5, 11, 2, 3].entries()) {
    for (let n = 0; n < records; n++) engine.ingest([roof.read({ export: BigInt(1000 * day + n) })])
    if (day === 3) break
    clock.ms += dayMs
    while (anchors.step());
  }
  const days = readAnchors(engine.db).map(({ day }) => day)
  return { engine, days }
}

const check = (content: string, ledger = signer.publicKey) => checkConsistency(content, { ledger }, fastVerifier)
const words = ({ findings }: ProofReport) => findings.map(({ subject, text }) => `${subject}: ${text}`).join('\n')
const codeOf = (report: ProofReport) => report.findings.find(({ ok }) => !ok)?.code

test('SPEC-185: each anchor is shown to extend each before it, and so does what came after the last', (t) => {
  const { engine, days } = makeLedger(t)
  t.is(days.length, 3)
  for (const [at, from] of days.entries()) {
    for (const to of days.slice(at)) {
      const report = check(makeConsistency(engine.db, { from, to, signer }))
      t.true(report.ok, words(report))
    }
    const report = check(makeConsistency(engine.db, { from, signer }))
    t.regex(words(report), /and a head \([0-9a-f]{16}\.\.\.\) are signed by the ledger key that you gave/)
    t.regex(words(report), /entries: all \d+ journal entries of the earlier one stand unaltered/)
  }
  const file = makeConsistency(engine.db, { from: days[0]!, to: days[1]!, signer: undefined })
  t.regex(words(check(file)), /records: all 5 records of the earlier one stand unaltered .*, 11 came after them/)
  t.regex(check(file).notProven.join('\n'), /that the ledger shows everybody the same/)
  t.regex(checkConsistency(file).notProven.join('\n'), /whose the ledger's key is/)
  t.log(`${file.length} bytes`)
})

test('SPEC-185: altered in any byte, or of another ledger, nothing is shown', (t) => {
  const { engine, days } = makeLedger(t)
  const file = makeConsistency(engine.db, { from: days[0]!, to: days[2]!, signer })
  t.is(codeOf(check(file, testSigner(981).publicKey)), 'anchor/invalid')
  const seen = new Set<string>()
  for (let at = 0; at < file.length; at += 7) {
    const bytes = Buffer.from(file, 'latin1')
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 7))
    const code = codeOf(check(bytes.toString('latin1'))) ?? 'none'
    t.true(
      ['proof/malformed', 'anchor/invalid', 'proof/not-included', 'key/unreadable'].includes(code),
      `${at} ${code}`,
    )
    seen.add(code)
  }
  for (const code of ['proof/malformed', 'anchor/invalid', 'proof/not-included']) t.true(seen.has(code), code)
  const { from, to, records, ...rest } = parseConsistency(file)
  t.is(codeOf(check(formatConsistency({ ...rest, from: to, to: from, records }))), 'anchor/invalid')
})

test('SPEC-99: two stories of one ledger cannot be made consistent, and are told', (t) => {
  const { engine, days } = makeLedger(t)
  const truth = parseAnchor(readAnchors(engine.db)[1]!.text)
  const { ledger: _ledger, hash: _hash, text: _text, ...facts } = truth
  const root = 'ab'.repeat(32)
  const lie = formatAnchor({ ...facts, records: { ...facts.records, root }, previous: noHash }, signer)
  t.throws(() => makeConsistency(engine.db, { from: lie, signer }), {
    code: 'proof/unavailable',
    message: /not shown that the later tree begins/,
  })
  const file = parseConsistency(makeConsistency(engine.db, { from: days[1]!, to: days[1]!, signer }))
  const twice = check(formatConsistency({ ...file, from: lie }))
  t.regex(words(twice), /exclude each other: the ledger has told two stories/)
  t.is(codeOf(twice), 'anchor/invalid')
  // A past that was made anew since: the ledger cannot show any more what it has published.
  engine.db.prepare("UPDATE record SET text = replace(text, 'Acme', 'Acmf') WHERE id = 2").run()
  engine.db.prepare('DELETE FROM merkle_tile').run()
  t.throws(() => makeConsistency(engine.db, { from: days[0]!, signer }), { code: 'proof/unavailable' })
})

test('SPEC-185: what cannot be shown is told', (t) => {
  const { engine, days } = makeLedger(t)
  const make = (from: string, to?: string) => () =>
    makeConsistency(engine.db, { from, ...(to === undefined ? {} : { to }), signer: undefined })
  t.throws(make('2020-01-01'), { code: 'anchor/invalid' })
  t.throws(make(days[2]!, days[0]), { code: 'proof/unavailable' })
  t.throws(make('WATT-ANCHOR|{}|x'), { code: 'anchor/invalid' })
  t.true(check(make(days[0]!)()).ok, 'without a key, up to the last anchor')
  const empty = openRig(t).engine
  t.throws(() => makeConsistency(empty.db, { from: readAnchors(engine.db)[0]!.text, signer: undefined }), {
    code: 'proof/unavailable',
  })
})

test('the command prints it, and the program checks it', async (t) => {
  const folder = tempDir(t)
  const { engine, days } = makeLedger(t, join(folder, 'data'))
  const config = join(folder, 'ledger.yaml')
  writeFileSync(config, 'version: 1\nledger: { dataDir: ./data }\nmqtt: { url: mqtt://127.0.0.1:1 }\n')
  const printed: string[] = []
  const program = new Command().exitOverride()
  addProofs(program, { print: (text) => void printed.push(text), fault: () => t.fail() })
  const published = join(folder, 'published')
  writeFileSync(published, `${readAnchors(engine.db)[0]!.text}\n`)
  await program.parseAsync(['consistency', '--config', config, '--from', published, '--to', days[2]!], { from: 'user' })
  const stdout = printed.join('')
  t.true(checkProofFile(stdout, { ledger: signer.publicKey }, fastVerifier).ok)
  const file = join(folder, 'file')
  writeFileSync(file, stdout)
  const good = await runVerify([file, '--ledger', formatPublicKey(signer.publicKey)])
  t.is(good.code, 0)
  t.regex(good.stdout, /^proven {2}records: all 5 records .* 13 came after them$/m)
})
