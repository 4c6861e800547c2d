import {
  type Address,
  addressOf,
  decodeWith,
  type ErrorCode,
  errorCodes,
  integerBetween,
  parseAddress,
  parsePublicKey,
  parseTransfer,
  parseTransferAnswer,
  type Transfer,
  type TransferAnswer,
  type TransferAsset,
  transferAssets,
  WattError,
} from '@wattline/protocol'
import * as v from 'valibot'

const amount = v.pipe(v.string(), v.regex(/^\d{1,19}$/))
const accountShape = v.strictObject({
  ledger: v.string(),
  publicKey: v.string(),
  account: v.string(),
  nextNonce: integerBetween(1, Number.MAX_SAFE_INTEGER),
  holdings: v.array(v.strictObject({ asset: v.picklist(transferAssets), available: amount, reserved: amount })),
})
const pageShape = v.strictObject({
  account: v.string(),
  orders: v.array(
    v.strictObject({ seq: integerBetween(1, Number.MAX_SAFE_INTEGER), order: v.string(), answer: v.string() }),
  ),
  more: v.boolean(),
})
const answerShape = v.strictObject({ answer: v.string() })
const refusalShape = v.strictObject({ code: v.picklist(errorCodes), message: v.string() })

/** What a ledger says of an account. */
export interface AccountView {
  readonly ledger: Address
  readonly account: string
  readonly nextNonce: number
  readonly holdings: readonly { readonly asset: TransferAsset; readonly available: bigint; readonly reserved: bigint }[]
}

/** An order and what the ledger answered, both checked. */
export interface ProvenOrder {
  readonly order: Transfer
  readonly answer: TransferAnswer
}

/** What came of sending: a signed answer, or a refusal that the ledger does not stand for. */
export type SendResult = { readonly answer: TransferAnswer } | { readonly refused: ErrorCode; readonly message: string }

const patienceMs = 20_000
const longestPage = 1_000_000

/** A ledger's pages for wallets. What comes back is checked against the ledger's key; the wire needs no trust. */
export class LedgerLink {
  readonly #url: string
  readonly #expected: Address | undefined

  /** `expected` is the one ledger that may answer; any if left out. */
  constructor(url: string, expected?: string) {
    if (!/^https?:\/\/[^/\s@]+\/?$/.test(url)) {
      throw new WattError('config/invalid', `--url: http://host:port or https://host:port expected, got '${url}'`)
    }
    this.#url = url.replace(/\/$/, '')
    this.#expected = expected === undefined ? undefined : parseAddress(expected)
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
    const holdings = view.holdings.map(({ asset, available, reserved }) => ({
      asset,
      available: BigInt(available),
      reserved: BigInt(reserved),
    }))
    return { ledger, account, nextNonce: view.nextNonce, holdings }
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
  async orders({ account, nextNonce }: AccountView): Promise<readonly ProvenOrder[]> {
    const found: ProvenOrder[] = []
    for (let [after, more] = [0, true]; more; ) {
      const { status, content } = await this.#ask(`/accounts/${encodeURIComponent(account)}/orders?after=${after}`)
      if (status !== 200) throw this.#toError(content)
      const page = decodeWith(pageShape, content, this.#url, 'message/invalid')
      for (const { order: text, answer } of page.orders) {
        const order = parseTransfer(text)
        found.push({ order, answer: checkAnswer(order, answer) })
      }
      const last = page.orders.at(-1)?.seq ?? after
      more = page.more && last > after
      after = last
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
      text = await response.text()
    } catch (cause) {
      throw new WattError('ledger/unreachable', `${this.#url}: no answer`, { cause, retryable: true })
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

/** Checks that an answer is the named ledger's, to this order. */
export function checkAnswer(order: Transfer, text: string): TransferAnswer {
  const answer = parseTransferAnswer(text)
  const [signer, what] = [addressOf(answer.ledger), `answer to order ${order.nonce} of '${order.account}'`]
  if (signer !== order.ledger)
    throw new WattError('receipt/invalid', `${what}: of ${signer}, not of ledger ${order.ledger}`)
  if (answer.transfer !== order.id) throw new WattError('receipt/invalid', `${what}: is to another order`)
  return answer
}
