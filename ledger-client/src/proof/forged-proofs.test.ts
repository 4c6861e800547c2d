import {
  asciiToBytes,
  formatAnchor,
  formatPublicKey,
  fromHex,
  hashLeaf,
  inclusionPath,
  merkleRoot,
  nodesOf,
  noHash,
  parseOcmfText,
  toUpperHex,
} from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, startMs, testSigner } from '../../test/rig.ts'
import { formatEntry } from '../ledger/journal.ts'
import { checkProof } from './check-proof.ts'
import { hashUtf8 } from './hash-utf8.ts'
import { recordLeafContent } from './leaf.ts'
import { formatPath, formatProof, type ProofFile } from './proof-file.ts'

// What a ledger that lies could show: sound trees and signatures over whatever it likes.

const liar = testSigner(970)
const spki = formatPublicKey

interface Claimed {
  readonly kind: string
  readonly claim?: string | null
  readonly note?: object
  readonly postings?: readonly (readonly [account: string, amount: bigint])[]
  readonly at?: number
  readonly point?: string
}

const toHex = (bytes: Uint8Array) => toUpperHex(bytes).toLowerCase()

/** A proof over any entries and records; the last entry is the one that is proven, the one before states its terms. */
function forge(point: string, texts: readonly string[], claimed: readonly Claimed[]): ProofFile {
  const contents = claimed.map(({ kind, claim = null, note = {}, postings = [], at = startMs, point: of }, i) =>
    formatEntry({
      id: i + 1,
      at,
      kind,
      claim,
      point: of ?? point,
      note: JSON.stringify(note),
      postings: postings.map(([account, amount]) => ({ account, amount })),
    }),
  )
  const hashes: string[] = [noHash]
  for (const content of contents) hashes.push(hashUtf8(hashes.at(-1) + content))
  const entries = nodesOf(hashes.slice(1).map((each) => hashLeaf(fromHex(each)!)))
  const records = nodesOf(texts.map((text) => hashLeaf(asciiToBytes(recordLeafContent(point, text)))))
  const tree = (nodes: typeof entries, count: number) => ({ count, root: toHex(merkleRoot(nodes, count)) })
  const anchor = formatAnchor(
    {
      records: tree(records, texts.length),
      entries: { ...tree(entries, contents.length), head: hashes.at(-1)! },
      previous: noHash,
    },
    liar,
  )
  const entry = (index: number) => ({
    content: contents[index]!,
    previous: hashes[index]!,
    path: formatPath(inclusionPath(entries, index, contents.length)),
  })
  const record = (index: number) => ({
    index,
    text: texts[index]!,
    path: formatPath(inclusionPath(records, index, texts.length)),
  })
  const last = contents.length - 1
  if (texts.length === 0) return { wattline: 'proof', v: 1, anchor, entry: entry(last) }
  return {
    ...{ wattline: 'proof', v: 1, anchor, entry: entry(last), terms: entry(last - 1), point },
    record: record(texts.length - 1),
    ...(texts.length < 2 ? {} : { from: record(0) }),
  }
}

function verdict(proof: ProofFile) {
  const report = checkProof(formatProof(proof), {}, fastVerifier)
  const { code, text } = report.findings.find(({ ok }) => !ok) ?? {}
  return { ok: report.ok, code, text, words: report.findings.map((each) => each.text).join('\n') }
}

function makeMeter() {
  const house = new Device({ meter: 'house', role: 'bidirectional', owner: 'alice' })
  house.read({ import: 0n, export: 0n })
  house.read({ import: 0n, export: 1000n })
  const note = { owner: 'alice', role: 'bidirectional', maxPowerW: 500_000, key: spki(house.signer.publicKey) }
  const enrolment: Claimed = { kind: 'enrolment', note }
  return { house, enrolment, claim: `${house.id}#${house.epoch}/2` }
}

test('SPEC-84: a remainder that mints, or that takes from somebody else, is no remainder', (t) => {
  const { house, enrolment, claim } = makeMeter()
  const prove = (postings: Claimed['postings']) =>
    verdict(forge(house.id, house.texts, [enrolment, { kind: 'remainder', claim, postings: postings ?? [] }]))
  const burned = prove([
    ['owner:alice', -7n],
    [`burned:${house.id}`, 7n],
  ])
  t.true(burned.ok, burned.text)
  const minted = prove([
    ['owner:alice', 500_000n],
    [`minted:${house.id}`, -500_000n],
  ])
  t.is(minted.code, 'proof/mismatch', minted.words)
  const stolen = prove([
    ['owner:bob', -7n],
    [`burned:${house.id}`, 7n],
  ])
  t.is(stolen.code, 'proof/mismatch', stolen.words)
})

test('SPEC-181: only what counts energy is proven by a record', (t) => {
  const { house, enrolment, claim } = makeMeter()
  const postings = [
    ['owner:alice', 1000n],
    [`minted:${house.id}`, -1000n],
  ] as const
  const kinds = ['claim', 'correction', 'gift']
  const found = kinds.map((kind) => verdict(forge(house.id, house.texts, [enrolment, { kind, claim, postings }])))
  t.deepEqual(
    found.map(({ code }) => code),
    [undefined, 'proof/mismatch', 'proof/mismatch'],
  )
})

test('SPEC-181: the records of one metering point prove nothing of another, though its key has signed them', (t) => {
  const { house, enrolment } = makeMeter()
  const [other, postings] = ['gw-9/villa', [['owner:alice', 1000n] as const, ['minted:gw-9/villa', -1000n] as const]]
  const claim = `${other}#${house.epoch}/2`
  const { code, words } = verdict(forge(other, house.texts, [enrolment, { kind: 'claim', claim, postings }]))
  t.is(code, 'chain/foreign', words)
})

test('SPEC-180: an entry that claims a time that no calendar has is refused, not stumbled over', (t) => {
  const proof = forge('gw-1/house', [], [{ kind: 'limit', at: Number.MAX_SAFE_INTEGER }])
  t.is(verdict(proof).code, 'proof/malformed')
  t.true(verdict(forge('gw-1/house', [], [{ kind: 'limit' }])).ok)
})

test('SPEC-180: what a file holds beside what it proves is refused', (t) => {
  const { house, enrolment } = makeMeter()
  const alone = forge(house.id, [], [enrolment])
  const whole = forge(house.id, house.texts, [enrolment, enrolment])
  t.true(verdict(alone).ok)
  t.is(verdict({ ...alone, point: house.id }).code, 'proof/malformed')
  t.is(verdict({ ...alone, certificates: [house.certificate.text] }).code, 'proof/malformed')
  const { from: _from, ...without } = whole
  t.is(verdict({ ...without, between: [house.texts[0]!] }).code, 'proof/malformed')
})

test('SPEC-87: a driver is billed for what two marks that name him enclose, and for nothing else', (t) => {
  const [begin, end] = [{ mark: 'B', driver: 'carol' } as const, { mark: 'E', driver: 'carol' } as const]
  const car = new Device({ meter: 'car', role: 'charger', owner: 'bob' })
  car.read({ import: 0n })
  car.read({ import: 100n })
  car.read({ import: 200n }, begin)
  car.read({ import: 300n })
  car.read({ import: 400n }, end)
  const note = { owner: 'bob', role: 'charger', maxPowerW: 500_000, key: spki(car.signer.publicKey) }
  const prove = (texts: readonly string[], wh: bigint, kind = 'session', payer = 'carol', whole = true) => {
    const { sequence } = parseOcmfText(texts.at(-1)!).record
    const postings = [[`grid:${payer}`, -wh] as const, [`burned:${car.id}`, wh] as const]
    const claim = `${car.id}#${car.epoch}/${sequence}`
    const proof = forge(car.id, texts, [
      { kind: 'enrolment', note },
      { kind, claim, postings },
    ])
    return verdict(whole ? { ...proof, between: texts.slice(1, -1) } : proof).code
  }
  const session = car.texts.slice(2)
  t.is(prove(session, 200n), undefined)
  t.is(prove(session, 200n, 'session', 'carol', false), undefined)
  // What flowed before she came, with and without the records between.
  for (const whole of [true, false]) t.is(prove(car.texts, 400n, 'session', 'carol', whole), 'proof/mismatch')
  t.is(prove(car.texts.slice(1), 300n), 'proof/mismatch')
  t.is(prove(session.slice(0, 2), 100n), 'proof/mismatch')
  t.is(prove(session, 200n, 'session', 'dave'), 'proof/mismatch')
  t.is(prove(session, 200n, 'claim', 'bob'), 'proof/mismatch')
  t.is(prove(session, 199n), 'proof/mismatch')
})

test('SPEC-83: a record books the difference to the last one that counted, not what others before it have booked', (t) => {
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  for (const wh of [0n, 1000n, 3000n]) roof.read({ export: wh })
  const note = { owner: 'alice', role: 'producer', maxPowerW: 500_000, key: spki(roof.signer.publicKey) }
  const prove = (texts: readonly string[], wh: bigint) => {
    const postings = [['owner:alice', wh] as const, [`minted:${roof.id}`, -wh] as const]
    const claim = `${roof.id}#${roof.epoch}/3`
    const proof = forge(roof.id, texts, [
      { kind: 'enrolment', note },
      { kind: 'claim', claim, postings },
    ])
    return verdict({ ...proof, between: texts.slice(1, -1) }).code
  }
  t.is(prove(roof.texts.slice(1), 2000n), undefined)
  t.is(prove(roof.texts, 3000n), 'proof/mismatch')
})
