import { request as ask } from 'node:http'
import {
  addressOf,
  formatPublicKey,
  type InquiryFacts,
  maxTransferLength,
  parseTransferAnswer,
  signInquiry,
} from '@wattline/protocol'
import test from 'ava'
import { ledgerSigner, openPages, TestWallet } from '../../test/wallet-rig.ts'
import { RateLimit } from './rate-limit.ts'

test('SPEC-153: over HTTP an order is answered, its replay with the same answer, a refused one with 409', async (t) => {
  const { call, ada, bea, failures, server } = await openPages(t)
  const text = ada.pay(bea.address, 2500n)
  const first = await call('/transfers', text)
  t.is(first.status, 200)
  t.true('entry' in parseTransferAnswer(String(first.content['answer'])))
  t.deepEqual(await call('/transfers', `${text}\n`), first)
  const refused = await call('/transfers', ada.pay(bea.address, 7501n))
  t.is(refused.status, 409)
  t.like(parseTransferAnswer(String(refused.content['answer'])), { refused: 'transfer/insufficient' })
  t.like(await call('/transfers', text.replace('"2500"', '"2501"')), {
    status: 403,
    content: { code: 'transfer/bad-signature' },
  })
  t.like(await call('/transfers', ada.pay(bea.address, 1n, { nonce: 9 })), {
    status: 409,
    content: { code: 'transfer/nonce' },
  })
  t.like(await call('/transfers', 'hello'), { status: 400, content: { code: 'transfer/invalid' } })
  t.deepEqual(failures, [])
  const metrics = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text()
  t.true(metrics.includes('wattline_ledger_orders_total{result="booked"} 2'))
  t.true(metrics.includes('wattline_ledger_orders_total{result="transfer/nonce"} 1'))
})

test('a stranger learns which ledger it is and an account’s next nonce, and nothing of what it holds', async (t) => {
  const { call, ada, bea } = await openPages(t)
  const ledger = { ledger: addressOf(ledgerSigner.publicKey), publicKey: formatPublicKey(ledgerSigner.publicKey) }
  t.deepEqual(await call('/ledger'), { status: 200, content: ledger })
  await call('/transfers', ada.pay(bea.address, 2500n))
  t.deepEqual((await call(`/accounts/${ada.address}`)).content, { ...ledger, account: ada.address, nextNonce: 2 })
  const stranger = new TestWallet(906)
  t.like((await call(`/accounts/${stranger.address}`)).content, { nextNonce: 1 })
  for (const bad of ['/accounts/', '/accounts/%', `/accounts/${ada.address.toLowerCase()}`, '/accounts/a/orders']) {
    t.like(await call(bad), { status: 400, content: { code: 'account/invalid' } }, bad)
  }
  t.is((await call('/transfers')).status, 405)
  t.is((await call('/inquiries')).status, 405)
})

test('SPEC-156: an account is told to the key that speaks for it, for minutes, by the ledger that is named', async (t) => {
  const { call, ada, bea, desk, engine, clock } = await openPages(t)
  const text = ada.pay(bea.address, 2500n)
  const { content } = await call('/transfers', text)
  const ask = (wallet: TestWallet, change: Partial<InquiryFacts> = {}) => {
    const good = { ledger: desk.orders.address, account: wallet.address, expiresAt: clock.ms + 60_000 }
    return call('/inquiries', signInquiry({ ...good, kind: 'orders', from: 0, ...change }, wallet.signer).text)
  }
  for (const wallet of [ada, bea]) {
    const orders = [{ seq: 1, order: text, answer: content['answer'] }]
    const told = { status: 200, content: { account: wallet.address, orders, more: false } }
    t.deepEqual(await ask(wallet), told)
    t.deepEqual((await ask(wallet, { from: 1 })).content['orders'], [])
  }
  engine.db.write(() => engine.bindings.bind('shop', bea.address))
  t.is((await ask(bea, { account: 'shop' })).status, 200)
  const forbidden = { status: 403, content: { code: 'inquiry/forbidden' } }
  t.like(await ask(ada, { account: 'shop' }), forbidden)
  t.like(await ask(ada, { account: 'nobody' }), forbidden)
  t.like(await ask(ada, { ledger: ada.address }), forbidden)
  const expired = { status: 410, content: { code: 'inquiry/expired' } }
  t.like(await ask(ada, { expiresAt: clock.ms }), expired)
  t.like(await ask(ada, { expiresAt: clock.ms + 300_001 }), expired)
  t.like(await call('/inquiries', 'hello'), { status: 400, content: { code: 'inquiry/invalid' } })
})

test('too much at once is refused unread, and too many requests are, until time has passed', async (t) => {
  let now = 0
  const { call, server, failures } = await openPages(t, { now: () => now })
  t.like(await call('/transfers', 'x'.repeat(maxTransferLength + 17)), {
    status: 413,
    content: { code: 'message/oversized' },
  })
  const statuses: number[] = []
  for (let n = 0; n < 45; n++) statuses.push((await call('/ledger')).status)
  t.is(statuses.indexOf(429), 39, 'a burst of 40, and one was asked for before')
  t.is((await call('/transfers', 'x')).status, 429)
  now += 1000
  t.is((await call('/ledger')).status, 200)
  // A request that ends early is the visitor's affair.
  await new Promise<void>((resolve) => {
    const request = ask({
      port: server.port,
      host: '127.0.0.1',
      path: '/transfers',
      method: 'POST',
      headers: { 'content-length': 500 },
    })
    request.on('error', () => resolve())
    request.write('WATT', () => request.destroy())
  })
  t.is((await call('/ledger')).status, 200)
  t.deepEqual(failures, [])
})

test('wallets are served only where the config says so', async (t) => {
  const { server } = await openPages(t, { wallets: false })
  t.is((await fetch(`http://127.0.0.1:${server.port}/ledger`)).status, 404)
  t.is((await fetch(`http://127.0.0.1:${server.port}/transfers`, { method: 'POST', body: 'x' })).status, 405)
})

test('a crowd of visitors is forgotten in the order of their last ask, and one does not use up the other’s', (t) => {
  const limit = new RateLimit({ perSecond: 1, burst: 2, visitors: 3 }, () => 0)
  t.deepEqual(
    ['a', 'a', 'a', 'b'].map((visitor) => limit.take(visitor)),
    [true, true, false, true],
  )
  for (const visitor of ['c', 'd', 'e']) limit.take(visitor)
  t.true(limit.take('a'), 'forgotten, so as new')
})
