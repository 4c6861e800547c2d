import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { addressOf, type Give, makeSigner, signTransferAnswer, WattError } from '@wattline/protocol'
import test from 'ava'
import { Device, startMs, tempDir, testSigner } from '../../test/rig.ts'
import { ledgerSigner, openPages } from '../../test/wallet-rig.ts'
import { pageLength } from '../orders/order-store.ts'
import type { Account } from './accounts.ts'
import { LedgerLink } from './ledger-link.ts'
import { OrderFolder } from './order-folder.ts'
import { order, orderOffline } from './ordering.ts'

/** The key of `testSigner(number)`, as a wallet holds it. */
function accountOf(number: number): Account {
  const secretKey = new Uint8Array(32)
  new DataView(secretKey.buffer).setUint32(28, number + 1)
  const signer = makeSigner(secretKey)
  return { secretKey, signer, address: addressOf(signer.publicKey) }
}

type Fault = 'none' | 'lose-order' | 'lose-answer' | 'foreign-answer' | 'other-answer'

/** A ledger's pages behind a line that can fail in the moment that matters. */
async function openLine(t: Parameters<typeof openPages>[0]) {
  const rig = await openPages(t)
  const line: { fault: Fault } = { fault: 'none' }
  const proxy = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const isOrder = request.url === '/transfers'
    if (isOrder && line.fault === 'lose-order') return void request.socket.destroy()
    const options = request.method === 'POST' ? { method: 'POST', body: Buffer.concat(chunks) } : {}
    const answer = await fetch(`http://127.0.0.1:${rig.server.port}${request.url}`, options)
    let text = await answer.text()
    if (isOrder && line.fault === 'lose-answer') return void request.socket.destroy()
    const facts = { transfer: 'a'.repeat(64), account: ada.address, nonce: 1, at: startMs, entry: 9 }
    if (isOrder && line.fault === 'foreign-answer')
      text = JSON.stringify({ answer: signTransferAnswer(facts, testSigner(908)) })
    if (isOrder && line.fault === 'other-answer')
      text = JSON.stringify({ answer: signTransferAnswer(facts, ledgerSigner) })
    response.writeHead(answer.status).end(text)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', () => resolve()))
  t.teardown(() => proxy.close())
  const folder = join(tempDir(t), 'wallet')
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const ada = accountOf(901)
  const parts = { link: new LedgerLink(url, undefined, () => rig.clock.ms), folder: new OrderFolder(folder) }
  const pay = (amount: bigint, to: string = rig.bea.address): Give => ({ kind: 'pay', asset: 'WATT', to, amount })
  const terms = { account: ada.address, expiresAt: startMs + 600_000 }
  const files = (kind: string) => readdirSync(`${folder}.orders`).filter((name) => name.endsWith(`.${kind}`)).length
  const has = (owner: string) => rig.engine.transfers.holdings(owner, 'WATT').available
  return {
    ...rig,
    line,
    url,
    wallet: ada,
    parts,
    pay,
    terms,
    files,
    has,
    run: (act: Give, by = ada) => order(act, { ...terms, account: by.address }, by, parts),
  }
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
    return 'done'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

test('an order is on the disk before it is sent; repeated after a lost connection, it is paid once', async (t) => {
  const { line, run, pay, files, has, bea } = await openLine(t)
  line.fault = 'lose-order'
  t.is(await codeOf(run(pay(500n))), 'ledger/unreachable')
  t.deepEqual([files('order'), files('answer'), has(bea.address)], [1, 0, 0n])
  line.fault = 'lose-answer'
  t.is(await codeOf(run(pay(500n))), 'ledger/unreachable')
  t.deepEqual([files('order'), files('answer'), has(bea.address)], [1, 0, 500n])
  line.fault = 'none'
  const error = await t.throwsAsync(run(pay(500n)), { code: 'transfer/pending' })
  t.regex(error!.message, /pay 0\.500 WATT .* booked as entry \d+\. Nothing new was ordered/)
  t.deepEqual([files('order'), files('answer'), has(bea.address)], [1, 1, 500n])
  const [second, result] = await run(pay(500n))
  t.is(second.nonce, 2)
  t.true('answer' in result && 'entry' in result.answer)
  t.is(has(bea.address), 1000n)
})

test('what was refused without an answer gives its nonce to the next order: of the two only one counts', async (t) => {
  const { run, pay, files, has, engine, parts } = await openLine(t)
  const cid = accountOf(909)
  const [first, refusal] = await run(pay(700n), cid)
  t.like(refusal, { refused: 'transfer/insufficient' })
  t.is(files('refused'), 1)
  const solar = new Device({ meter: 'solar', role: 'producer', owner: cid.address, key: 913 })
  engine.ingest([solar.certificateMessage(), solar.read({ export: 0n }), solar.read({ export: 5000n })])
  const [second, result] = await run(pay(800n), cid)
  t.true('answer' in result && 'entry' in result.answer)
  t.deepEqual([first.nonce, second.nonce], [1, 1])
  t.like(await parts.link.send(first), { refused: 'transfer/nonce' })
  t.is(has(cid.address), 4200n)
})

test('an answer of another ledger, or to another order, is not believed', async (t) => {
  const { line, run, pay, files, url } = await openLine(t)
  for (const fault of ['foreign-answer', 'other-answer'] as const) {
    line.fault = fault
    t.is(await codeOf(run(pay(1n))), 'receipt/invalid', fault)
    t.is(files('answer'), 0)
  }
  const expected = new LedgerLink(url, addressOf(testSigner(908).publicKey))
  t.is(await codeOf(expected.account(accountOf(901).address)), 'transfer/foreign')
  t.throws(() => new LedgerLink('http://user:secret@host'), { code: 'config/invalid' })
  t.is(await codeOf(new LedgerLink('http://127.0.0.1:1').account('ada')), 'ledger/unreachable')
})

test('orders are complete over all their pages: each order and answer checked, and none of its own missing', async (t) => {
  const { run, pay, parts, wallet, engine, desk, terms } = await openLine(t)
  const ledger = desk.orders.address
  for (let nonce = 1; nonce <= pageLength; nonce++) {
    desk.orders.take(orderOffline(pay(1n), terms, wallet, { ledger, nonce }).text)
  }
  await run(pay(5n))
  const view = await parts.link.account(wallet.address)
  const asker = { account: wallet.address, signer: wallet.signer }
  const history = await parts.link.orders(view, asker)
  t.deepEqual(
    history.map(({ order }) => order.nonce),
    [...Array(pageLength + 1).keys()].map((n) => n + 1),
  )
  engine.db.write(() => engine.db.prepare('DELETE FROM signed_order WHERE nonce > 2').run())
  t.is(await codeOf(parts.link.orders(view, asker)), 'chain/missing')
})
