import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import {
  decodeFrame,
  formatPublicKey,
  fromHex,
  parseAct,
  parseCertificate,
  parseInquiry,
  parseOcmfText,
  parsePublicKey,
  parseReceipt,
  parseStatement,
  parseTransfer,
  parseTransferAnswer,
  readingStateNames,
  verifyRange,
  verifyRecord,
  WattError,
} from './index.ts'

const read = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'))
const records: { text: string; hash: string }[] = read('records').records
const key = parsePublicKey(read('records').key)

test('golden vectors: what is written down is what the code makes', (t) => {
  const generator = fileURLToPath(new URL('../vectors/generate.ts', import.meta.url))
  t.notThrows(() => execFileSync(process.execPath, [generator, '--check'], { stdio: 'pipe' }))
})

test('golden vectors: the certificate and the records are one chain', (t) => {
  const certificate = parseCertificate(read('certificate').text)
  const verdict = verifyRange(
    records.map(({ text }) => text),
    { pointText: 'gw-1 roof', keyOf: () => key, firstSequence: 1, previousHash: certificate.hash },
  )
  t.like(verdict, { ok: true, count: records.length, headHash: records.at(-1)!.hash })
})

test('golden vectors: every frame rebuilds to its text', (t) => {
  const { base: baseHash, frames } = read('frames')
  const states = new Set<string>()
  for (const { base: own, frame, text } of frames) {
    const base = parseOcmfText(records.find(({ hash }) => hash === (own ?? baseHash))!.text)
    const { previousHash, state } = parseOcmfText(text).record
    t.is(decodeFrame(fromHex(frame)!, { base, previousHash }), text)
    states.add(state)
  }
  const told = ['ok', ...states].toSorted()
  t.deepEqual(told, [...readingStateNames].toSorted(), 'the first base is ok, and every other state has a frame')
})

for (const { what, text, verdict } of read('verdicts').records) {
  test(`golden vectors: a record, ${what}, is ${verdict}`, (t) => {
    const result = verifyRecord(text, key)
    t.is(result.ok ? 'valid' : result.code, verdict)
  })
}

test('golden vectors: the receipt is signed by the ledger it names', (t) => {
  t.is(parseReceipt(read('receipt').text, undefined).sequence, 1)
})

test('golden vectors: orders are named by their bytes, and altered ones are refused with their code', (t) => {
  const { orders, verdicts, answers } = read('transfers')
  for (const { text, id } of orders) t.is(parseTransfer(text).id, id)
  for (const { what, text, verdict } of verdicts) {
    let got = 'valid'
    try {
      parseTransfer(text)
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      got = error.code
    }
    t.is(got, verdict, what)
  }
  for (const text of answers) t.is(parseTransferAnswer(text).transfer, orders[0].id)
})

test('golden vectors: a question, the statement that answers it and an operator’s act are read as they were signed', (t) => {
  const { key, ledger, inquiries, statement, statementOfMoney, act } = read('statements')
  for (const { text, id } of inquiries) {
    const inquiry = parseInquiry(text)
    t.deepEqual([inquiry.id, formatPublicKey(inquiry.key)], [id, key])
  }
  const stated = parseStatement(statement)
  t.is(formatPublicKey(stated.ledger), ledger)
  t.like(stated, { inquiry: inquiries[0].id, entries: 9, from: 0, more: false })
  t.deepEqual(stated.holdings, { owner: 7500n, held: 900n, grid: -20n, eea: 3n, 'eea-held': 0n })
  const money = { 'money:EUR': 1250n, 'money-held:EUR': 99n }
  t.deepEqual(parseStatement(statementOfMoney).holdings, { ...stated.holdings, ...money })
  t.like(parseAct(act), { entry: 9, hash: stated.journal })
})
