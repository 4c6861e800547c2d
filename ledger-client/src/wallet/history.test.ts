import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { parseTransferAnswer, type StatementFacts, signStatement, toHoldings } from '@wattline/protocol'
import test from 'ava'
import { charger } from '../../test/charging-rig.ts'
import { eur } from '../../test/money.ts'
import { fastVerifier, startMs, testSigner } from '../../test/rig.ts'
import { ledgerSigner, openPages } from '../../test/wallet-rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { readWitnesses } from '../audit/witness.ts'
import { historyLength } from '../orders/history.ts'
import { postWithdrawal } from '../orders/money-desk.ts'
import { isUnordered, readHistory } from './history.ts'
import { describeTrust, formatLine } from './history-words.ts'
import { LedgerLink, type StatedPage } from './ledger-link.ts'

/** Ada has minted 10 WATT, charged a car, paid, reserved, and been paid. */
async function openPast(t: Parameters<typeof openPages>[0]) {
  const rig = await openPages(t)
  const { ada, bea, engine, desk, clock, server } = rig
  const car = charger()
  engine.ingest([
    car.certificateMessage(),
    car.read({ import: 0n }, { mark: 'B', driver: ada.address }),
    car.read({ import: 1500n }, { mark: 'E', driver: ada.address }),
  ])
  desk.orders.take(ada.pay(bea.address, 2500n))
  desk.orders.take(
    ada.order({ kind: 'reserve', asset: 'WATT', to: bea.address, amount: 900n, heldUntil: startMs + 60_000 }),
  )
  desk.orders.take(bea.pay(ada.address, 100n))
  const link = new LedgerLink(`http://127.0.0.1:${server.port}`, desk.orders.address, () => clock.ms)
  const asker = { account: ada.address, signer: ada.signer }
  return { ...rig, car, link, asker, ledger: desk.orders.address }
}

test('SPEC-155: an owner sees what meters, cars and people moved, each entry checked and leading to its proof', async (t) => {
  const { link, ledger, asker, ada, bea, car } = await openPast(t)
  const history = await readHistory(link, ledger, asker)
  t.true(history.complete)
  const text = history.lines.map((line) => formatLine(line, ada.address))
  t.is(text.length, 5)
  t.regex(
    text[0]!,
    new RegExp(`\\+0\\.100 WATT  has 5\\.200 WATT, 0\\.900 WATT reserved  ${bea.address}: pay 0.100 WATT to`),
  )
  t.regex(
    text[1]!,
    /\+0\.000 WATT {2}has 5\.100 WATT, 0\.900 WATT reserved {2}reserve 0\.900 WATT to .* order [0-9a-f]{64}$/,
  )
  t.regex(text[2]!, /-2\.500 WATT {2}has 6\.000 WATT {2}pay 2\.500 WATT to /)
  t.regex(
    text[3]!,
    /-1\.500 WATT {2}has 8\.500 WATT {2}charged at gw-1\/CP1\.1 from 2026-11-21T09:01:00\.000Z to 2026-11-21T09:02:00\.000Z/,
  )
  t.true(text[3]!.endsWith(`prove '${car.id}#${car.epoch}/2'`))
  t.regex(
    text[4]!,
    /entry \d+ {2}\+10\.000 WATT {2}has 10\.000 WATT {2}minted by gw-1\/roof from .* to .* {2}prove 'gw-1\/roof#/,
  )
  t.true(history.lines.every((line) => !isUnordered(line, ada.address)))
  t.regex(describeTrust(history), /add up to what is held[\s\S]*Not proven here/)
  const latest = await readHistory(link, ledger, asker, 2)
  t.deepEqual([latest.lines.length, latest.complete], [2, false])
})

/** Ada has brought 50 EUR, paid 12.50, ordered 20 to be paid out, and was paid 15 of it. */
async function openMoney(t: Parameters<typeof openPages>[0]) {
  const past = await openPast(t)
  const { engine, ada, bea, desk } = past
  engine.db.write(() =>
    engine.transfers.deposit({ id: 'in', asset: eur, owner: ada.address, amount: 5000n, reference: 'SEPA 1' }),
  )
  desk.orders.take(ada.order({ kind: 'pay', asset: eur, to: bea.address, amount: 1250n }))
  const heldUntil = startMs + 60_000
  const act = { kind: 'withdraw', asset: eur, amount: 2000n, payout: 'ref 17', heldUntil } as const
  const { transfer: reservation } = parseTransferAnswer(desk.orders.take(ada.order(act)))
  const paid = { reservation, amount: '15', reference: 'SEPA 2' }
  engine.db.write(() => postWithdrawal(engine, paid))
  return past
}

test('SPEC-155: a history tells money, added up as the rest, in words and amounts', async (t) => {
  const { link, ledger, asker, ada, bea } = await openMoney(t)
  const history = await readHistory(link, ledger, asker)
  t.true(history.complete)
  const text = history.lines.map((line) => formatLine(line, ada.address))
  const [paid, ordered, given, brought] = text
  const watt = '5.200 WATT, 0.900 WATT reserved'
  t.regex(brought!, new RegExp(`  \\+50.00 EUR  has ${watt}, 50.00 EUR  brought in: SEPA 1$`))
  t.regex(given!, new RegExp(`  -12.50 EUR  has ${watt}, 37.50 EUR  pay 12.50 EUR to ${bea.address}  order`))
  t.regex(
    ordered!,
    /\+0\.00 EUR {2}has .*, 17\.50 EUR, 20\.00 EUR reserved {2}withdraw 20\.00 EUR, to be paid out to 'ref 17'/,
  )
  t.regex(paid!, new RegExp(`  -15.00 EUR  has ${watt}, 22.50 EUR  post of reservation [0-9a-f]+, paid out: SEPA 2$`))
  t.true(history.lines.every((line) => !isUnordered(line, ada.address)))
  const { statement } = await link.state({ ledger, kind: 'balance', from: 0 }, asker)
  t.like(statement.holdings, { 'money:EUR': 2250n, 'money-held:EUR': 0n })
})

test('SPEC-155: money that a ledger leaves out, or tells otherwise, is found by the wallet and by the journal', async (t) => {
  const { link, ledger, asker, engine, dataDir, ada } = await openMoney(t)
  const { statement } = await readHistory(link, ledger, asker)
  const { text: _text, ledger: _ledger, ...facts } = statement
  const file = join(dataDir, 'told.txt')
  const faultsOf = (told: string) => {
    writeFileSync(file, told)
    const witnesses = readWitnesses(dataDir, [file], fastVerifier)
    return auditLedger(engine.db, fastVerifier, { witnesses }).faults.map(({ place, code }) => `${place}: ${code}`)
  }
  t.deepEqual(faultsOf(statement.text), [])
  const without = toHoldings((name) => facts.holdings[name] ?? 0n)
  const more = { ...facts.holdings, 'money:EUR': 2251n }
  for (const holdings of [without, more]) {
    t.deepEqual(faultsOf(signStatement({ ...facts, holdings }, ledgerSigner)), [
      `account money:EUR:${ada.address}: journal/unbalanced`,
    ])
    const page = await link.state({ ledger, kind: 'history', from: 0 }, asker)
    const told = { ...page, statement: { ...page.statement, holdings } }
    const liar = { state: async () => told } as unknown as LedgerLink
    const error = await t.throwsAsync(readHistory(liar, ledger, asker), { code: 'receipt/invalid' })
    t.regex(error!.message, /what moved account 'money:EUR:0x\w+' leaves (1|-2250) unexplained/)
  }
})

test('SPEC-155: a long history is read over its pages and added up; what left without an order is told', async (t) => {
  const { link, ledger, asker, engine, ada, clock } = await openPast(t)
  const order = { asset: 'WATT', from: ada.address, to: 'shop', amount: 1n, kind: 'payment' } as const
  engine.db.write(() => {
    for (let n = 0; n < 2 * historyLength; n++) engine.transfers.transfer({ ...order, id: `op-${n}` })
  })
  clock.ms += 1000
  const { lines, complete, statement } = await readHistory(link, ledger, asker)
  t.is(lines.length, 5 + 2 * historyLength)
  t.true(complete)
  t.is(statement.holdings.owner, 5200n - BigInt(2 * historyLength))
  t.is(lines.filter((line) => isUnordered(line, ada.address)).length, 2 * historyLength)
  t.regex(formatLine(lines[0]!, ada.address), /payment to shop {2}NOT ORDERED BY THIS KEY$/)
})

test('SPEC-155: a page that was altered, cut, made up or signed by another is not believed', async (t) => {
  const { link, ledger, asker, bea } = await openPast(t)
  const good = await link.state({ ledger, kind: 'history', from: 0 }, asker)
  const codeOf = async (change: (page: StatedPage) => StatedPage) => {
    const altered = { state: async () => change(structuredClone(good)) } as unknown as LedgerLink
    const error = await t.throwsAsync(readHistory(altered, ledger, asker))
    return error!.message
  }
  const { text: _text, ledger: _ledger, ...facts } = good.statement
  const [first, ...rest] = good.lines
  const shown = (line: object) => ({ ...good, lines: [{ ...first!, ...line }, ...rest] })
  t.regex(await codeOf((page) => ({ ...page, lines: page.lines.slice(1) })), /5 entries are signed for, 4 shown/)
  t.regex(await codeOf(() => shown({ content: first!.content.replace('"100"', '"900"') })), /not what was signed/)
  t.regex(await codeOf(() => shown({ previous: '0'.repeat(64) })), /not what was signed/)
  t.regex(await codeOf(() => shown({ order: good.lines[2]!.order })), /an order that it does not carry out/)
  t.regex(await codeOf(() => shown({ records: good.lines[3]!.records })), /is not that of order:/)
  // The ledger signs, and leaves a line out: what is left does not add up.
  const cut = { ...good.statement, lines: facts.lines.slice(1) }
  t.regex(await codeOf(() => ({ statement: cut, lines: rest })), /leaves 100 unexplained/)
  const turned = { ...good.statement, lines: facts.lines.toReversed() }
  t.regex(await codeOf(() => ({ statement: turned, lines: good.lines.toReversed() })), /stands after entry/)
  const foreign = { ...asker, account: bea.address, signer: bea.signer }
  t.regex(
    (await t.throwsAsync(readHistory({ state: async () => good } as unknown as LedgerLink, ledger, foreign)))!.message,
    /does not move/,
  )
})

test('SPEC-155: a statement of another ledger, of another account or to another question is not believed', async (t) => {
  const { link, ledger, asker, bea } = await openPast(t)
  const { statement } = await link.state({ ledger, kind: 'balance', from: 0 }, asker)
  t.deepEqual([statement.lines, statement.holdings.owner], [[], 5200n])
  let told = statement.text
  const server = createServer((_request, response) => response.end(JSON.stringify({ statement: told, lines: [] })))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const liar = new LedgerLink(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const ask = async (who = asker) => {
    const error = await t.throwsAsync(liar.state({ ledger, kind: 'balance', from: 0 }, who), {
      code: 'receipt/invalid',
    })
    return error!.message
  }
  t.regex(await ask(), /answers another question/)
  t.regex(await ask({ account: bea.address, signer: bea.signer }), /answers another question/)
  told = signStatement(statement, testSigner(1))
  t.regex(await ask(), /statement of ledger 0x/)
  told = told.replace('"5200"', '"9200"')
  t.regex(await ask(), /not signed by the key it names/)
})

test('SPEC-155: what an owner was told is held against the journal: a hash, an amount or a line that differs is named', async (t) => {
  const { link, ledger, asker, engine, dataDir, ada } = await openPast(t)
  const { evidence, statement } = await readHistory(link, ledger, asker)
  const { text: _text, ledger: _ledger, ...facts } = statement
  const file = join(dataDir, 'told.txt')
  const faultsOf = (...told: readonly string[]) => {
    writeFileSync(file, told.join('\n'))
    const witnesses = readWitnesses(dataDir, [file], fastVerifier)
    return auditLedger(engine.db, fastVerifier, { witnesses }).faults.map(({ place, code }) => `${place}: ${code}`)
  }
  const { statement: balance } = await link.state({ ledger, kind: 'balance', from: 0 }, asker)
  t.deepEqual(faultsOf(...evidence, balance.text), [])
  const lie = (change: Partial<StatementFacts>) => signStatement({ ...facts, ...change }, ledgerSigner)
  const { owner, ...rest } = facts.holdings
  t.deepEqual(faultsOf(lie({ holdings: { owner: owner + 7n, ...rest } })), [
    `account owner:${ada.address}: journal/unbalanced`,
  ])
  const [newest, second, ...older] = facts.lines
  t.deepEqual(faultsOf(lie({ lines: [newest!, ...older] })), [`entry ${second![0]}: journal/broken`])
  t.deepEqual(faultsOf(lie({ lines: [second!, ...older] })), [`entry ${newest![0]}: journal/broken`])
  t.deepEqual(faultsOf(lie({ lines: [newest!, second!], more: true })), [])
  t.deepEqual(faultsOf(lie({ from: newest![0], lines: [second!, ...older] })), [])
  t.deepEqual(faultsOf(lie({ journal: 'a'.repeat(64) })), [`entry ${facts.entries}: journal/broken`])
  const forged = signStatement(facts, testSigner(1))
  t.throws(() => faultsOf(statement.text, forged), { code: 'receipt/invalid', message: /of another ledger/ })
})
