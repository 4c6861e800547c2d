import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  formatPublicKey,
  isAccount,
  maxTransferLength,
  type PublicKey,
  parseTransferAnswer,
  WattError,
} from '@wattline/protocol'
import type { OrderStore } from './order-store.ts'
import type { Orders } from './orders.ts'
import { RateLimit } from './rate-limit.ts'
import type { Statements } from './statements.ts'

/** A person asks a few times a minute, a shop's till a few times a second. */
const perVisitor = { perSecond: 5, burst: 40, visitors: 2000 } as const
/** All together: what the ledger can do besides its own work. */
const together = { perSecond: 100, burst: 200, visitors: 1 } as const

/** What the pages are made from. */
export interface OrderDesk {
  readonly orders: Orders
  readonly statements: Statements
  readonly store: OrderStore
  readonly publicKey: PublicKey
}

/** Who wants to know what becomes of requests. */
export interface OrderWatch {
  /** `booked`, or the code of the refusal. */
  told(result: string): void
  failed(error: unknown): void
}

interface Page {
  readonly status: number
  readonly body: object
}

/**
 * Serves wallets over HTTP: `POST /transfers`, `POST /inquiries`, and what a wallet must know to make either. What an
 * account holds and what moved it is told only to a signed question.
 */
export class OrderPages {
  readonly #desk: OrderDesk
  readonly #watch: OrderWatch
  readonly #visitors: RateLimit
  readonly #together: RateLimit

  constructor(desk: OrderDesk, watch: OrderWatch, nowMs: () => number = () => performance.now()) {
    this.#desk = desk
    this.#watch = watch
    this.#visitors = new RateLimit(perVisitor, nowMs)
    this.#together = new RateLimit(together, nowMs)
  }

  /** Whether a path is one of these. */
  serves(path: string): boolean {
    return path === '/transfers' || path === '/inquiries' || path === '/ledger' || path.startsWith('/accounts/')
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
    const { pathname } = new URL(request.url ?? '/', 'http://ledger')
    const expected = pathname === '/transfers' || pathname === '/inquiries' ? 'POST' : 'GET'
    if (request.method !== expected) {
      return { status: 405, body: { code: 'message/invalid', message: `${pathname}: ${expected} expected` } }
    }
    if (pathname === '/transfers') return this.#take(await readBody(request))
    if (pathname === '/inquiries') return this.#tell(await readBody(request))
    if (pathname === '/ledger') return { status: 200, body: this.#ledger() }
    return this.#account(pathname)
  }

  // What a visitor did wrong is told; what is wrong in here is not.
  #refuse(error: unknown): Page {
    if (error instanceof WattError && !/^(storage|journal)\//.test(error.code)) {
      const { code, message } = error
      this.#watch.told(code)
      return { status: statuses[code] ?? 400, body: { code, message } }
    }
    this.#watch.failed(error)
    return { status: 503, body: { code: 'ledger/busy', message: 'try again later' } }
  }

  #take(text: string): Page {
    const answer = this.#desk.orders.take(text.trim())
    const outcome = parseTransferAnswer(answer)
    this.#watch.told('entry' in outcome ? 'booked' : outcome.refused)
    return { status: 'entry' in outcome ? 200 : 409, body: { answer } }
  }

  #ledger(): object {
    return { ledger: this.#desk.orders.address, publicKey: formatPublicKey(this.#desk.publicKey) }
  }

  #tell(text: string): Page {
    return { status: 200, body: this.#desk.statements.take(text.trim()) }
  }

  // How many orders an account has made is all that a stranger learns.
  #account(path: string): Page {
    const account = decode(/^\/accounts\/([^/]{1,200})$/.exec(path)?.[1] ?? '')
    if (account === undefined || !isAccount(account)) {
      throw new WattError('account/invalid', `'${path.slice(0, 200)}': /accounts/<account> expected`)
    }
    const nextNonce = this.#desk.store.lastNonce(account) + 1
    return { status: 200, body: { ...this.#ledger(), account, nextNonce } }
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
  'inquiry/expired': 410,
  'inquiry/forbidden': 403,
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
