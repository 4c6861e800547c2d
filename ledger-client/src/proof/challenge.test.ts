import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Anchor, formatAnchor, noHash, parseAnchor } from '@wattline/protocol'
import test from 'ava'
import { Command } from 'commander'
import { Device, openRig, tempDir, testSigner } from '../../test/rig.ts'
import { Anchors } from './anchors.ts'
import { answerChallenge } from './answer.ts'
import { archiveLeaf } from './archive.ts'
import {
  challengedIndices,
  checkAnswers,
  detectionProbability,
  drawIndices,
  formatAnswer,
  formatChallenge,
  makeChallenge,
  parseChallenge,
  sampleFor,
} from './challenge.ts'
import { checkProof } from './check-proof.ts'
import { addProofs } from './proof-commands.ts'
import { formatPath } from './proof-file.ts'
import { MemoryTiles, MerkleTiles } from './tiles.ts'

const signer = testSigner(960)
const dayMs = 86_400_000
const seedOf = (number: number) => number.toString(16).padStart(64, '0')

/** An archive of made-up texts: possession is of bytes, whatever they say. */
function makeArchive(size: number) {
  const texts = Array.from({ length: size }, (_, at) => `OCMF|${at}`)
  const tiles = new MerkleTiles(new MemoryTiles())
  tiles.append(texts.map((text) => archiveLeaf('gw-1/roof', text)))
  const facts = {
    day: '2026-11-21',
    records: { count: size, root: tiles.root(size) },
    entries: { count: 0, root: noHash, head: noHash },
    previous: noHash,
  }
  const anchor = parseAnchor(formatAnchor(facts, signer))
  const answer = (index: number) =>
    formatAnswer({ index, point: 'gw-1/roof', text: texts[index]!, path: formatPath(tiles.path(index, size)) })
  return { anchor, answer }
}

/** A share of an archive that is gone, chosen by a seed of its own. */
const lost = (run: number, size: number, missing: number) => new Set(drawIndices(`lost ${run}`, size, missing))

test('SPEC-182: indices are drawn without bias, each once, and follow from seed and anchor', (t) => {
  const { anchor } = makeArchive(300)
  const all = challengedIndices(makeChallenge(anchor, seedOf(1), 300))
  t.deepEqual(
    [...all].toSorted((a, b) => a - b),
    Array.from({ length: 300 }, (_, at) => at),
  )
  t.deepEqual(challengedIndices(makeChallenge(anchor, seedOf(1), 20)), all.slice(0, 20))
  t.notDeepEqual(challengedIndices(makeChallenge(anchor, seedOf(2), 20)), all.slice(0, 20))
  const hits = new Array<number>(10).fill(0)
  for (let run = 0; run < 1500; run++) for (const index of drawIndices(`run ${run}`, 10, 2)) hits[index]!++
  // 300 expected, standard deviation 16: five of them.
  t.true(
    hits.every((count) => Math.abs(count - 300) < 80),
    hits.join(),
  )
})

test('SPEC-183: with 1 % missing, 460 challenged records find it in at least 99 % of the runs', (t) => {
  const [size, missing, count, runs] = [2000, 20, 460, 500]
  let found = 0
  for (let run = 0; run < runs; run++) {
    const gone = lost(run, size, missing)
    if (drawIndices(seedOf(run), size, count).some((index) => gone.has(index))) found++
  }
  const stated = detectionProbability(size, missing, count)
  t.log(`${found} of ${runs} runs, ${(100 * stated).toFixed(2)} % stated`)
  t.true(found >= 0.99 * runs)
  t.true(Math.abs(found / runs - stated) < 3 * Math.sqrt((stated * (1 - stated)) / runs))
})

test('SPEC-183: the stated probability is that of drawing without putting back, and never less than promised', (t) => {
  t.is(detectionProbability(10, 0, 10), 0)
  t.is(detectionProbability(10, 1, 10), 1)
  t.true(Math.abs(detectionProbability(10, 1, 3) - 0.3) < 1e-12)
  for (const size of [100, 1000, 1_000_000]) {
    t.true(detectionProbability(size, size / 100, Math.min(460, size)) >= 1 - 0.99 ** 460)
  }
  t.true(1 - 0.99 ** 460 > 0.99)
  t.is(sampleFor(1_000_000, 10_000, 0.99), 459)
  t.is(sampleFor(10, 1, 0.99), 10)
  t.true(detectionProbability(5000, 50, sampleFor(5000, 50, 0.99)) >= 0.99)
  t.true(detectionProbability(5000, 50, sampleFor(5000, 50, 0.99) - 1) < 0.99)
})

test('SPEC-183: what is missing, altered, or another record is found; what is not asked for is refused', (t) => {
  const { anchor, answer } = makeArchive(1000)
  const challenge = makeChallenge(anchor, seedOf(3), 40)
  const asked = challengedIndices(challenge)
  const lines = asked.map(answer)
  const [first, second] = [asked[0]!, asked[1]!]
  t.deepEqual(checkAnswers(challenge, lines), { ok: true, asked: 40, shown: 40, faults: [] })
  t.deepEqual(checkAnswers(challenge, lines.slice(1)).faults, [{ index: first, reason: 'it is not shown' }])
  const reason = 'what is shown is not the record under the anchor'
  const faultsOf = (line: string) => checkAnswers(challenge, [line, ...lines.slice(1)]).faults
  t.deepEqual(faultsOf(lines[0]!.replace(`OCMF|${first}`, `OCMF|${first}0`)), [{ index: first, reason }])
  t.deepEqual(faultsOf(lines[0]!.replace('OCMF', 'OCM\u00c9')), [{ index: first, reason }])
  t.deepEqual(faultsOf(lines[0]!.replace('gw-1/roof', 'gw-1/road')), [{ index: first, reason }])
  t.deepEqual(faultsOf(lines[0]!.replace(/[0-9a-f]{64}"/, '"')), [{ index: first, reason }])
  t.deepEqual(faultsOf(answer(second).replace(`"index":${second}`, `"index":${first}`)), [{ index: first, reason }])
  const other = Array.from({ length: 1000 }, (_, at) => at).find((at) => !asked.includes(at))!
  for (const bad of [answer(other), lines[1]!, 'nonsense', '{}'])
    t.throws(() => faultsOf(bad), { code: 'proof/malformed' })
})

test('SPEC-182: a challenge that is altered, too large, or of another ledger is refused', (t) => {
  const { anchor } = makeArchive(100)
  const text = formatChallenge(makeChallenge(anchor, seedOf(4), 5))
  t.like(parseChallenge(text, signer.publicKey), { seed: seedOf(4), count: 5 })
  t.throws(() => parseChallenge(text, testSigner(961).publicKey), { code: 'anchor/invalid' })
  t.throws(() => parseChallenge(text.replace(/"count\\":100/, '"count\\":101')), { code: 'anchor/invalid' })
  t.throws(() => makeChallenge(anchor, seedOf(4), 101), { code: 'proof/malformed' })
  for (const bad of ['', '{}', text.replace('challenge', 'chall'), text.replace(seedOf(4), 'xyz')]) {
    t.throws(() => parseChallenge(bad), { code: 'proof/malformed' })
  }
})

/** A ledger with records of two days, the first one anchored. */
function makeLedger(t: Parameters<typeof openRig>[0], count: number, dataDir?: string) {
  const rig = openRig(t, dataDir === undefined ? {} : { dataDir })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  rig.engine.ingest([
    roof.certificateMessage(),
    ...Array.from({ length: count }, (_, at) => roof.read({ export: BigInt(10 * at) })),
  ])
  rig.clock.ms += dayMs
  const anchors = new Anchors({ db: rig.engine.db, ledger: rig.engine.ledger, signer, clock: rig.clock })
  while (anchors.step());
  const text = rig.engine.db.prepare<[], { text: string }>('SELECT text FROM anchor').get()!.text
  return { ...rig, roof, anchor: parseAnchor(text) as Anchor }
}

test('SPEC-182: a ledger shows what it is asked for; lost and altered records are found, and only those', (t) => {
  const { engine, anchor, roof } = makeLedger(t, 300)
  // What came after the anchor does not change what is under it.
  engine.ingest([roof.read({ export: 9000n })])
  const challenge = makeChallenge(anchor, seedOf(5), 300)
  t.true(checkAnswers(challenge, answerChallenge(engine.db, challenge)).ok)
  engine.db.write(() => {
    engine.db.prepare('DELETE FROM record WHERE id = 17').run()
    engine.db.prepare(`UPDATE record SET text = replace(text, '"RV":1.990', '"RV":1.991') WHERE id = 200`).run()
  })
  const verdict = checkAnswers(challenge, answerChallenge(engine.db, challenge))
  t.deepEqual(
    verdict.faults.map(({ index }) => index + 1).toSorted((a, b) => a - b),
    [17, 200],
  )
  const { anchor: foreign } = makeArchive(300)
  t.throws(() => [...answerChallenge(engine.db, makeChallenge(foreign, seedOf(5), 3))], { code: 'proof/unavailable' })
  const { anchor: longer } = makeArchive(302)
  engine.db.write(() => engine.db.prepare('DELETE FROM merkle_tile').run())
  t.throws(() => [...answerChallenge(engine.db, makeChallenge(longer, seedOf(5), 3))], { code: 'storage/corrupt' })
})

test('the commands: anchors, prove, challenge, answer, check', async (t) => {
  const folder = tempDir(t)
  const { engine, anchor, roof } = makeLedger(t, 30, join(folder, 'data'))
  const config = join(folder, 'ledger.yaml')
  writeFileSync(config, 'version: 1\nledger: { dataDir: ./data }\nmqtt: { url: mqtt://127.0.0.1:1 }\n')
  const run = async (name: string, args: readonly string[]) => {
    let [stdout, code] = ['', 0]
    const program = new Command().exitOverride()
    const print = (text: string) => {
      stdout += text
    }
    addProofs(program, { print, fault: () => (code = 1) })
    await program.parseAsync([...args], { from: 'user' })
    const path = join(folder, name)
    writeFileSync(path, stdout)
    return { code, stdout, path }
  }
  const anchors = await run('anchors', ['anchors', '--config', config])
  t.is(anchors.stdout, `${anchor.text}\n`)
  const challenge = await run('challenge', ['challenge', '--anchor', anchors.path, '--count', '12'])
  t.is(challenge.code, 0)
  const answer = await run('answer', ['answer', '--config', config, '--challenge', challenge.path])
  t.is(answer.stdout.trimEnd().split('\n').length, 12)
  const check = await run('check', ['check', '--challenge', challenge.path, '--answer', answer.path])
  t.is(check.code, 0)
  t.regex(
    check.stdout,
    /^nothing missing: all 12 records .* of 30\. If 1 were missing, 40\.00 % of such audits would have found it\.$/m,
  )
  writeFileSync(answer.path, answer.stdout.split('\n').slice(1).join('\n'))
  const lacking = await run('check', ['check', '--challenge', challenge.path, '--answer', answer.path, '--json'])
  t.is(lacking.code, 1)
  t.like(JSON.parse(lacking.stdout), { ok: false, asked: 12, shown: 11, size: 30, ofMissing: 1 })
  const proof = await run('proof', ['prove', `${roof.id}#${roof.epoch}/2`, '--config', config])
  t.true(checkProof(proof.stdout).ok)
  await t.throwsAsync(run('none', ['prove', 'nonsense', '--config', config]), { code: 'point/unknown' })
  await t.throwsAsync(run('none', ['check', '--challenge', challenge.path, '--answer', config]), {
    code: 'proof/malformed',
  })
  await t.throwsAsync(run('none', ['challenge', '--anchor', config]), { code: 'anchor/invalid' })
  t.truthy(engine)
})
