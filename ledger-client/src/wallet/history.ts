import { hash } from 'node:crypto'
import {
  type Address,
  addressOf,
  currenciesIn,
  type HoldingName,
  type Holdings,
  holdingOf,
  isAddress,
  namesIn,
  parseOcmfText,
  type Statement,
  type Transfer,
  toHoldings,
  WattError,
} from '@wattline/protocol'
import { claimOfOrder } from '../ledger/transfer-rules.ts'
import { type EntryContent, parseEntryContent } from '../proof/entry-content.ts'
import { type Asker, type LedgerLink, type ProvenOrder, proveOrder, type StatedPage } from './ledger-link.ts'

// SPEC-155. What a wallet can check of a history by itself: that the ledger has signed each page; that each entry is the
// one whose hash it signed; that the amounts lead from what is held now back to nothing; that what was ordered carries
// the signature of who ordered it. It cannot see whether the ledger told others the same, nor the keys of the meters:
// the journal (`verify`) and a booking's proof (`prove`) show that.

/** One entry that moved an account. */
export interface HistoryLine {
  readonly entry: EntryContent
  /** Its hash, as the ledger has signed it. */
  readonly hash: string
  /** By how much it moved what is held, and what was held after it. */
  readonly moved: Holdings
  readonly after: Holdings
  readonly order?: ProvenOrder
  /** Energy: the signed records that it was counted between, earliest first. */
  readonly records: readonly string[]
}

/** A history as far as it was read. */
export interface CheckedHistory {
  /** The newest page's statement: what is held. */
  readonly statement: Statement
  /** The ledger's signed texts, newest first: who keeps them can hold it to what it said. */
  readonly evidence: readonly string[]
  /** Newest first. */
  readonly lines: readonly HistoryLine[]
  /** Whether it was read to its beginning, where nothing was held. */
  readonly complete: boolean
}

/** Reads an account's history, newest first, and checks it; ends at its beginning, or once there are `most` lines. */
export async function readHistory(
  link: LedgerLink,
  ledger: Address,
  asker: Asker,
  most = Number.POSITIVE_INFINITY,
): Promise<CheckedHistory> {
  const first = await link.state({ ledger, kind: 'history', from: 0 }, asker)
  const lines: HistoryLine[] = []
  const evidence: string[] = []
  let { holdings: after } = first.statement
  for (let page = first; ; ) {
    evidence.push(page.statement.text)
    for (const line of checkPage(page, lines.at(-1)?.entry.id)) {
      const moved = movedBy(line.entry, asker.account)
      lines.push({ ...line, moved, after })
      after = less(after, moved)
    }
    const last = lines.at(-1)?.entry.id
    if (!page.statement.more || last === undefined || lines.length >= most) {
      return finish(first.statement, { evidence, lines, complete: !page.statement.more, most, before: after })
    }
    page = await link.state({ ledger, kind: 'history', from: last }, asker)
    if (page.lines.length === 0) throw broken(`no entries before ${last}, where more were promised`)
  }
}

function less(after: Holdings, moved: Holdings): Holdings {
  const currencies = [...new Set([...currenciesIn(after), ...currenciesIn(moved)])]
  return toHoldings((name) => (after[name] ?? 0n) - (moved[name] ?? 0n), currencies)
}

function finish(
  statement: Statement,
  read: {
    readonly evidence: readonly string[]
    readonly lines: HistoryLine[]
    readonly complete: boolean
    readonly most: number
    readonly before: Holdings
  },
): CheckedHistory {
  const { evidence, lines, complete, most, before } = read
  const left = namesIn(before).find((name) => complete && before[name] !== 0n)
  if (left !== undefined)
    throw broken(`what moved account '${left}:${statement.account}' leaves ${before[left]} unexplained`)
  return { statement, evidence, lines: lines.slice(0, most), complete: complete && lines.length <= most }
}

// Cannot be: there are as many lines as names.
const emptyLine: StatedPage['lines'][number] = { content: '', previous: '' }

type CheckedLine = Omit<HistoryLine, 'moved' | 'after'>

function checkPage({ statement, lines }: StatedPage, last: number | undefined): readonly CheckedLine[] {
  const { lines: names } = statement
  if (names.length !== lines.length) throw broken(`${names.length} entries are signed for, ${lines.length} shown`)
  let below = last ?? statement.entries + 1
  return names.map(([id, signed], i) => {
    const { content, previous, order, records = [] } = lines[i] ?? emptyLine
    const entry = parseEntryContent(content)
    if (entry.id !== id || hash('sha256', previous + content) !== signed)
      throw broken(`entry ${id}: not what was signed`)
    if (id >= below) throw broken(`entry ${id} stands after entry ${below}`)
    below = id
    if (id === statement.entries && signed !== statement.journal)
      throw broken(`entry ${id}: not the journal's last one`)
    checkRecords(entry, records)
    return { entry, hash: signed, records, ...checkOrder(entry, order, statement) }
  })
}

function checkOrder(
  entry: EntryContent,
  shown: { readonly order: string; readonly answer: string } | undefined,
  { ledger }: Statement,
): { order?: ProvenOrder } {
  if (shown === undefined) return {}
  const proven = proveOrder(shown.order, shown.answer)
  const { order, answer } = proven
  const fits = entry.claim === claimOfOrder(order.id) && 'entry' in answer && answer.entry === entry.id
  if (!fits || order.ledger !== addressOf(ledger)) {
    throw broken(`entry ${entry.id}: is shown with an order that it does not carry out`)
  }
  if (!('reservation' in order) && !entry.postings.some(({ amount }) => amount === order.amount)) {
    throw broken(`entry ${entry.id}: moves another amount than was ordered, ${order.amount}`)
  }
  return { order: proven }
}

// Their signatures need the meter's key, which a wallet has not; that they are the claim's own, their text tells.
function checkRecords({ id, point, claim }: EntryContent, texts: readonly string[]): void {
  const text = texts.at(-1)
  if (text === undefined) return
  const { epoch, sequence } = parseOcmfText(text).record
  if (claim === `${point}#${epoch}/${sequence}`) return
  throw broken(`entry ${id}: is shown with record ${epoch}/${sequence}, which is not that of ${claim}`)
}

function movedBy({ id, postings }: EntryContent, owner: string): Holdings {
  const moved = new Map<HoldingName, bigint>()
  for (const { account, amount } of postings) {
    const name = holdingOf(account, owner)
    if (name !== undefined) moved.set(name, (moved.get(name) ?? 0n) + amount)
  }
  if (moved.size === 0) throw broken(`entry ${id}: does not move what is '${owner}'s`)
  return toHoldings((name) => moved.get(name) ?? 0n, currenciesIn(Object.fromEntries(moved)))
}

/**
 * Whether a line takes from a wallet's account without an order of its key: nothing but meters, fees and corrections may
 * (SPEC-154).
 */
export function isUnordered({ entry: { kind, note }, order }: HistoryLine, owner: string): boolean {
  const from: unknown = typeof note === 'object' && note !== null ? Reflect.get(note, 'from') : undefined
  const needs = ['transfer', 'payment', 'burn', 'withdrawal', 'reserve'].includes(kind)
  return needs && from === owner && isAddress(owner) && !isOrderOf(order?.order, owner)
}

function isOrderOf(order: Transfer | undefined, owner: string): boolean {
  return order?.account === owner
}

function broken(message: string): WattError {
  return new WattError('receipt/invalid', `history: ${message}`)
}
