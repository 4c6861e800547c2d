import {
  addressOf,
  isAddress,
  parseTransfer,
  parseTransferAnswer,
  type SignatureVerifier,
  type Transfer,
  type TransferAnswer,
  WattError,
} from '@wattline/protocol'
import { describeAct } from './orders/order-words.ts'
import type { Finding } from './verify-file.ts'

/** Whether a line is a wallet's order or a ledger's answer to one. */
export function isOrderLine(text: string): boolean {
  return text.startsWith('WATT-TRANSFER|') || text.startsWith('WATT-ANSWER|')
}

interface Line {
  readonly number: number
  readonly text: string
}

interface Read<T> {
  readonly line: number
  readonly content: T
}

/** Checks orders and answers. They name their keys, and an account is the name of its key: nothing else is needed. */
export function verifyOrders(lines: readonly Line[], verifier: SignatureVerifier): readonly Finding[] {
  const [orders, answers, findings] = [[] as Read<Transfer>[], [] as Read<TransferAnswer>[], [] as Finding[]]
  for (const { number, text } of lines) {
    try {
      if (text.startsWith('WATT-TRANSFER|')) orders.push({ line: number, content: parseTransfer(text, verifier) })
      else answers.push({ line: number, content: parseTransferAnswer(text, verifier) })
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      findings.push({ subject: `line ${number}`, ok: false, text: `${error.message} (${error.code})` })
    }
  }
  for (const order of orders) findings.push(...verifyOrder(order, answers))
  const known = new Set(orders.map(({ content }) => content.id))
  for (const { content } of answers) if (!known.has(content.transfer)) findings.push(describeStray(content))
  return [...findings, ...findLies(answers)]
}

function verifyOrder({ content: order }: Read<Transfer>, answers: readonly Read<TransferAnswer>[]): Finding[] {
  const { account, nonce, ledger, signer, expiresAt } = order
  const subject = `order ${nonce} of ${account}`
  const whose = isAddress(account)
    ? "the account's own key has signed it"
    : `${signer} has signed it; that this key speaks for the account, only the ledger can say`
  const until = new Date(expiresAt).toISOString()
  const what = `${describeAct(order)}, at ledger ${ledger}, to be carried out until ${until}: ${whose}`
  const own = answers.filter(({ content }) => content.transfer === order.id)
  if (own.length === 0) {
    return [{ subject, ok: true, text: `${what}; whether it was carried out is not in the file` }]
  }
  return own.map(({ line, content }) => {
    const by = addressOf(content.ledger)
    if (by !== ledger) {
      return {
        subject,
        ok: false,
        text: `line ${line}: the answer is signed by ${by}, not by ledger ${ledger} (receipt/invalid)`,
      }
    }
    if (content.account !== account || content.nonce !== nonce) {
      const other = `order ${content.nonce} of ${content.account}`
      const text = `line ${line}: ledger ${by} has signed an answer to it that calls it ${other} (receipt/invalid)`
      return { subject, ok: false, text }
    }
    return { subject, ok: true, text: `${what}; that ledger has ${describeOutcome(content)}` }
  })
}

function describeStray(answer: TransferAnswer): Finding {
  const { account, nonce, ledger } = answer
  const text = `ledger ${addressOf(ledger)} has ${describeOutcome(answer)}; the order itself is not in the file`
  return { subject: `order ${nonce} of ${account}`, ok: true, text }
}

function describeOutcome(answer: TransferAnswer): string {
  const at = new Date(answer.at).toISOString()
  return 'entry' in answer ? `booked it at ${at} as entry ${answer.entry}` : `refused it at ${at}: ${answer.refused}`
}

// SPEC-153: a nonce has one order and an order one answer; a ledger that signs two has lied, and these lines prove it.
function findLies(answers: readonly Read<TransferAnswer>[]): Finding[] {
  const seen = new Map<string, Read<TransferAnswer>>()
  return answers.flatMap((each) => {
    const { account, nonce, ledger, text } = each.content
    const by = addressOf(ledger)
    const other = seen.get(`${by} ${nonce} ${account}`)
    if (other === undefined) {
      seen.set(`${by} ${nonce} ${account}`, each)
      return []
    }
    if (other.content.text === text) return []
    const lie = `ledger ${by} has answered it in two ways: lines ${other.line} and ${each.line} (receipt/invalid)`
    return [{ subject: `order ${nonce} of ${account}`, ok: false, text: lie }]
  })
}
