import { readFileSync } from 'node:fs'
import { setDefaultCACertificates } from 'node:tls'
import {
  type Address,
  addressOf,
  decodeWith,
  type ErrorCode,
  errorCodes,
  type InquiryFacts,
  integerBetween,
  parseAddress,
  parsePublicKey,
  parseStatement,
  parseTransfer,
  parseTransferAnswer,
  type Signer,
  type Statement,
  signInquiry,
  type Transfer,
  type TransferAnswer,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'
import { toPrintableLine } from '../printable.ts'

const accountShape = v.strictObject({
  ledger: v.string(),
  publicKey: v.string(),
  account: v.string(),
  nextNonce: integerBetween(1, Number.MAX_SAFE_INTEGER),
})
const signedOrder = { order: v.string(), answer: v.string() }
const ordersShape = v.strictObject({
  account: v.string(),
  orders: v.array(v.strictObject({ seq: integerBetween(1, Number.MAX_SAFE_INTEGER), ...signedOrder })),
  more: v.boolean(),
})
const statementShape = v.strictObject({
  statement: v.string(),
  lines: v.array(
    v.strictObject({
      content: v.string(),
      previous: v.string(),
      order: v.exactOptional(v.strictObject(signedOrder)),
      records: v.exactOptional(v.array(v.string())),
    }),
  ),
})
const answerShape = v.strictObject({ answer: v.string() })
// Whoever answers there writes on the user's terminal.
const refusalShape = v.strictObject({
  code: v.picklist(errorCodes),
  message: v.pipe(v.string(), v.maxLength(2000), v.transform(toPrintableLine)),
})

/** What everybody may know of an account. */
export interface AccountView {
  readonly ledger: Address
  readonly account: string
  readonly nextNonce: number
}

/** Who asks for an account: its own key, or one that the ledger has bound to its name. */
export interface Asker {
  readonly account: string
  readonly signer: Signer
}

/** A page of a history, as the ledger has signed it; the entries themselves are not checked yet. */
export interface StatedPage {
  readonly statement: Statement
  readonly lines: v.InferOutput<typeof statementShape>['lines']
}

/** An order and what the ledger answered, both checked. */
export interface ProvenOrder {
  readonly order: Transfer
  readonly answer: TransferAnswer
}

/** What came of sending: a signed answer, or a refusal that the ledger does not stand for. */
export type SendResult = { readonly answer: TransferAnswer } | { readonly refused: ErrorCode; readonly message: string }

const patienceMs = 20_000
/** How long a question is good for: whoever overhears one can ask the same again for so long. */
const inquiryMs = 60_000
const longestPage = 1_000_000

/** A ledger's pages for wallets. What comes back is checked against the ledger's key; the wire needs no trust. */
export class LedgerLink {
  readonly #url: string
  readonly #expected: Address | undefined
  readonly #nowMs: () => number

  /** `expected` is the one ledger that may answer; any if left out. */
  constructor(url: string, expected?: string, nowMs: () => number = Date.now) {
    if (!/^(https:\/\/[^/\s@]+|http:\/\/(127(\.\d{1,3}){3}|\[::1\]|localhost)(:\d+)?)\/?$/.test(url)) {
      const expected = 'https://host:port, or http://127.0.0.1:port on this machine'
      throw new WattError('config/invalid', `--url: ${expected} expected, got '${url}'`)
    }
    this.#url = url.replace(/\/$/, '')
    this.#expected = expected === undefined ? undefined : parseAddress(expected)
    this.#nowMs = nowMs
  }

  async account(account: string): Promise<AccountView> {
    const { status, content } = await this.#ask(`/accounts/${encodeURIComponent(account)}`)
    if (status !== 200) throw this.#toError(content)
    const view = decodeWith(accountShape, content, this.#url, 'message/invalid')
    const ledger = addressOf(parsePublicKey(view.publicKey))
    if (ledger !== view.ledger || (this.#expected !== undefined && ledger !== this.#expected)) {
      const expected = this.#expected ?? ledger
      throw new WattError('transfer/foreign', `${this.#url} is ledger ${view.ledger}, ${expected} expected`)
    }
    if (view.account !== account) throw new WattError('message/invalid', `${this.#url}: tells of '${view.account}'`)
    return { ledger, account, nextNonce: view.nextNonce }
  }

  /** Sends an order, as often as one likes: it counts once. */
  async send(order: Transfer): Promise<SendResult> {
    const { content } = await this.#ask('/transfers', order.text)
    const answered = v.safeParse(answerShape, content)
    if (answered.success) return { answer: checkAnswer(order, answered.output.answer) }
    const { code, message } = decodeWith(refusalShape, content, this.#url, 'message/invalid')
    if (code === 'ledger/busy') throw new WattError(code, `${this.#url}: ${message}`, { retryable: true })
    return { refused: code, message }
  }

  /** All answered orders of or to an account. Those of its own are counted: none may be missing. */
  async orders({ account, nextNonce, ledger }: AccountView, asker: Asker): Promise<readonly ProvenOrder[]> {
    const found: ProvenOrder[] = []
    for (let [from, more] = [0, true]; more; ) {
      const [, content] = await this.#inquire({ ledger, kind: 'orders', from }, asker)
      const page = decodeWith(ordersShape, content, this.#url, 'message/invalid')
      for (const { order, answer } of page.orders) found.push(proveOrder(order, answer))
      const last = page.orders.at(-1)?.seq ?? from
      more = page.more && last > from
      from = last
    }
    const own = found.filter(({ order }) => order.account === account).map(({ order }) => order.nonce)
    if (own.length !== nextNonce - 1 || own.some((nonce, i) => nonce !== i + 1)) {
      throw new WattError(
        'chain/missing',
        `${this.#url}: orders 1 to ${nextNonce - 1} of '${account}' expected, got ${own.join(' ')}`,
      )
    }
    return found
  }

  /** What an account holds, and the entries before one (0: the newest) that moved it, as the ledger signs it. */
  async state(
    about: { readonly ledger: Address; readonly kind: 'balance' | 'history'; readonly from: number },
    asker: Asker,
  ): Promise<StatedPage> {
    const [inquiry, content] = await this.#inquire(about, asker)
    const { statement: text, lines } = decodeWith(statementShape, content, this.#url, 'message/invalid')
    const statement = parseStatement(text)
    const by = addressOf(statement.ledger)
    if (by !== about.ledger) throw new WattError('receipt/invalid', `${this.#url}: statement of ledger ${by}`)
    if (statement.inquiry !== inquiry || statement.account !== asker.account || statement.from !== about.from) {
      throw new WattError('receipt/invalid', `${this.#url}: statement that answers another question`)
    }
    return { statement, lines }
  }

  async #inquire(
    about: Pick<InquiryFacts, 'ledger' | 'kind' | 'from'>,
    { account, signer }: Asker,
  ): Promise<readonly [id: string, content: unknown]> {
    const inquiry = signInquiry({ ...about, account, expiresAt: this.#nowMs() + inquiryMs }, signer)
    const { status, content } = await this.#ask('/inquiries', inquiry.text)
    if (status !== 200) throw this.#toError(content)
    return [inquiry.id, content]
  }

  async #ask(path: string, body?: string): Promise<{ readonly status: number; readonly content: unknown }> {
    const options = body === undefined ? {} : { method: 'POST', body, headers: { 'content-type': 'text/plain' } }
    let [status, text] = [0, '']
    try {
      const response = await fetch(this.#url + path, {
        ...options,
        redirect: 'error',
        signal: AbortSignal.timeout(patienceMs),
      })
      status = response.status
      text = await readPage(response)
    } catch (cause) {
      throw new WattError('ledger/unreachable', `${this.#url}: no answer${reasonOf(cause)}`, { cause, retryable: true })
    }
    try {
      if (text.length <= longestPage) return { status, content: JSON.parse(text) }
    } catch {
      // Told below: some other program answers there.
    }
    throw new WattError(
      'message/invalid',
      `${this.#url}${path}: no answer of a ledger that serves wallets (status ${status})`,
    )
  }

  #toError(content: unknown): WattError {
    const { code, message } = decodeWith(refusalShape, content, this.#url, 'message/invalid')
    return new WattError(code, `${this.#url}: ${message}`)
  }
}

// No more than can be a page is taken in, whatever is sent.
async function readPage({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body ?? []) {
    chunks.push(chunk)
    length += chunk.length
    if (length > longestPage) break
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** An order and its answer, both checked by themselves and against each other. */
export function proveOrder(text: string, answer: string): ProvenOrder {
  const order = parseTransfer(text)
  return { order, answer: checkAnswer(order, answer) }
}

// What TLS or the socket says is in the cause of what fetch throws.
function reasonOf(error: unknown): string {
  const cause: unknown = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
}

/** Trusts the authorities in a file, and no other, for every https address from now on. */
export function trustAuthorities(file: string): void {
  try {
    setDefaultCACertificates([readFileSync(file, 'utf8')])
  } catch (cause) {
    throw new WattError('config/unreadable', `--ca: ${file}: no certificates in PEM`, { cause })
  }
}

/** Checks that an answer is the named ledger's, to this order. */
export function checkAnswer(order: Transfer, text: string): TransferAnswer {
  const answer = parseTransferAnswer(text)
  const [signer, what] = [addressOf(answer.ledger), `answer to order ${order.nonce} of '${order.account}'`]
  if (signer !== order.ledger)
    throw new WattError('receipt/invalid', `${what}: of ${signer}, not of ledger ${order.ledger}`)
  if (answer.transfer !== order.id || answer.account !== order.account || answer.nonce !== order.nonce)
    throw new WattError('receipt/invalid', `${what}: is to another order`)
  return answer
}
