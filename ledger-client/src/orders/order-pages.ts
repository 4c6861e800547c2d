import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  formatPublicKey,
  isAccount,
  maxTransferLength,
  type PublicKey,
  parseTransferAnswer,
  WattError,
} from '@wattline/protocol'
import { assets } from '../ledger/accounts.ts'
import type { Transfers } from '../ledger/transfers.ts'
import { type OrderStore, pageLength } from './order-store.ts'
import type { Orders } from './orders.ts'
import { RateLimit } from './rate-limit.ts'

/** A person asks a few times a minute, a shop's till a few times a second. */
const perVisitor = { perSecond: 5, burst: 40, visitors: 2000 } as const
/** All together: what the ledger can do besides its own work. */
const together = { perSecond: 100, burst: 200, visitors: 1 } as const

/** What the pages are made from. */
export interface OrderDesk {
  readonly orders: Orders
  readonly store: OrderStore
  readonly transfers: Transfers
  readonly publicKey: PublicKey
}

interface Page {
  readonly status: number
  readonly body: object
}

/** Serves wallets over HTTP: `POST /transfers`, and what a wallet must know to make an order. */
export class OrderPages {
  readonly #desk: OrderDesk
  readonly #failed: (error: unknown) => void
  readonly #visitors: RateLimit
  readonly #together: RateLimit

  constructor(desk: OrderDesk, failed: (error: unknown) => void, nowMs: () => number = () => performance.now()) {
    this.#desk = desk
    this.#failed = failed
    this.#visitors = new RateLimit(perVisitor, nowMs)
    this.#together = new RateLimit(together, nowMs)
  }

  /** Whether a path is one of these. */
  serves(path: string): boolean {
    return path === '/transfers' || path === '/ledger' || path.startsWith('/accounts/')
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { status, body } = await this.#answer(request).catch((error: unknown) => this.#refuse(error))
    response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    response.end(`${JSON.stringify(body)}\n`)
  }

  async #answer(request: IncomingMessage): Promise<Page> {
    const visitor = request.socket.remoteAddress ?? ''
    if (!this.#visitors.take(visitor) || !this.#together.take('all')) {
      request.resume()
      throw new WattError('ledger/busy', 'too many requests: ask again in some seconds', { retryable: true })
    }
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://ledger')
    const expected = pathname === '/transfers' ? 'POST' : 'GET'
    if (request.method !== expected) {
      return { status: 405, body: { code: 'message/invalid', message: `${pathname}: ${expected} expected` } }
    }
    if (pathname === '/transfers') return this.#take(await readBody(request))
    if (pathname === '/ledger') return { status: 200, body: this.#ledger() }
    return this.#account(pathname, searchParams.get('after') ?? '0')
  }

  // What a visitor did wrong is told; what is wrong in here is not.
  #refuse(error: unknown): Page {
    if (error instanceof WattError && !/^(storage|journal)\//.test(error.code)) {
      const { code, message } = error
      return { status: statuses[code] ?? 400, body: { code, message } }
    }
    this.#failed(error)
    return { status: 503, body: { code: 'ledger/busy', message: 'try again later' } }
  }

  #take(text: string): Page {
    const answer = this.#desk.orders.take(text.trim())
    return { status: 'entry' in parseTransferAnswer(answer) ? 200 : 409, body: { answer } }
  }

  #ledger(): object {
    return { ledger: this.#desk.orders.address, publicKey: formatPublicKey(this.#desk.publicKey) }
  }

  #account(path: string, after: string): Page {
    const [, name = '', rest] = /^\/accounts\/([^/]{1,200})(\/orders)?$/.exec(path) ?? []
    const account = decode(name)
    if (account === undefined || !isAccount(account)) {
      throw new WattError('account/invalid', `'${path.slice(0, 200)}': /accounts/<account> expected`)
    }
    if (!/^\d{1,15}$/.test(after))
      throw new WattError('message/invalid', `after: a number expected, got '${after.slice(0, 20)}'`)
    const { store, transfers } = this.#desk
    if (rest !== undefined) {
      const orders = store.page(account, Number(after))
      return { status: 200, body: { account, orders, more: orders.length === pageLength } }
    }
    const holdings = assets.map((asset) => {
      const { available, reserved } = transfers.holdings(account, asset)
      return { asset, available: available.toString(), reserved: reserved.toString() }
    })
    return { status: 200, body: { ...this.#ledger(), account, nextNonce: store.lastNonce(account) + 1, holdings } }
  }
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined // a percent sign with no hex after it
  }
}

// White space around the order is let through.
const longestBody = maxTransferLength + 16

async function readBody(request: IncomingMessage): Promise<string> {
  const oversized = () => new WattError('message/oversized', `at most ${maxTransferLength} bytes expected`)
  if (Number(request.headers['content-length'] ?? 0) > longestBody) throw oversized()
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of request) {
      length += chunk.length
      if (length > longestBody) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw new WattError('message/unreadable', 'the request ended early', { cause })
  }
  if (length > longestBody) throw oversized()
  return Buffer.concat(chunks).toString('latin1')
}

const statuses: Readonly<Record<string, number>> = {
  'ledger/busy': 429,
  'message/oversized': 413,
  'transfer/expired': 410,
  'transfer/forbidden': 403,
  'transfer/bad-signature': 403,
  'transfer/foreign': 421,
  'transfer/nonce': 409,
  'transfer/insufficient': 409,
  'transfer/over-limit': 409,
  'transfer/unknown': 404,
}
