import { currenciesIn, type HoldingName, type Holdings, parseOcmfText, type TransferAsset } from '@wattline/protocol'
import { formatAmount } from '../orders/amounts.ts'
import { describeAct } from '../orders/order-words.ts'
import { type CheckedHistory, type HistoryLine, isUnordered } from './history.ts'

/** What is held, in words: nothing that is zero but the free WATT. */
export function describeHoldings(holdings: Holdings): string {
  const { owner, held, grid, eea, 'eea-held': eeaHeld } = holdings
  const tell = (amount: bigint, asset: TransferAsset, what = '') =>
    amount === 0n ? [] : [`${formatAmount(amount, asset)}${what}`]
  return [
    formatAmount(owner, 'WATT'),
    ...tell(held, 'WATT', ' reserved'),
    ...tell(-grid, 'WATT', ' short'),
    ...tell(eea, 'EEA'),
    ...tell(eeaHeld, 'EEA', ' reserved'),
    ...currenciesIn(holdings).flatMap((code) => [
      ...tell(holdings[`money:${code}`] ?? 0n, code),
      ...tell(holdings[`money-held:${code}`] ?? 0n, code, ' reserved'),
    ]),
  ].join(', ')
}

/** One line of a history: when, which entry, what it moved, what was held after it, why, and what proves it. */
export function formatLine(line: HistoryLine, owner: string): string {
  const { entry, moved, after } = line
  const proof = proofOf(line)
  const warning = isUnordered(line, owner) ? '  NOT ORDERED BY THIS KEY' : ''
  return [
    new Date(entry.at).toISOString(),
    `entry ${entry.id}`,
    describeMove(moved),
    `has ${describeHoldings(after)}`,
    describeCause(line, owner) + warning,
    ...(proof === '' ? [] : [proof]),
  ].join('  ')
}

// An entry moves one asset of an owner: the one of which an account changed, even where it all stays the owner's.
function describeMove(moved: Holdings): string {
  const [code] = currenciesIn(moved)
  const sumOf = (...names: readonly HoldingName[]) => names.reduce((sum, name) => sum + (moved[name] ?? 0n), 0n)
  if (code !== undefined) return signed(sumOf(`money:${code}`, `money-held:${code}`), code)
  if (moved.eea !== 0n || moved['eea-held'] !== 0n) return signed(sumOf('eea', 'eea-held'), 'EEA')
  return signed(sumOf('owner', 'held', 'grid'), 'WATT')
}

function signed(amount: bigint, asset: TransferAsset): string {
  return `${amount < 0n ? '' : '+'}${formatAmount(amount, asset)}`
}

function describeCause({ entry, moved, order, records }: HistoryLine, owner: string): string {
  const { kind, point } = entry
  const between = records.length < 2 ? '' : ` from ${timeOf(records[0])} to ${timeOf(records.at(-1))}`
  switch (kind) {
    case 'claim':
      return `${moved.owner + moved.grid > 0n ? 'minted' : 'burned'} by ${point}${between}`
    case 'remainder':
      return `burned by ${point}: what no meter below it counted`
    case 'session':
      return `charged at ${point}${between}`
    case 'correction':
      return `correction of entry ${field(entry.note, 'corrects')}: ${field(entry.note, 'reason')}`
    case 'issue':
      return 'first issue of EEA'
    case 'deposit':
      return `brought in: ${field(entry.note, 'reference')}`
    case 'withdrawal':
      return `paid out to ${field(inner(entry.note), 'payout')}: ${field(inner(entry.note), 'reference')}`
    default:
      return order === undefined
        ? describeTransfer(kind, entry.note, owner)
        : `${order.order.account === owner ? '' : `${order.order.account}: `}${describeAct(order.order)}`
  }
}

function describeTransfer(kind: string, note: unknown, owner: string): string {
  const [from, to] = [field(note, 'from'), field(note, 'to')]
  if (from === '') {
    const reference = field(note, 'reference')
    const paid = reference === '' ? '' : `, paid out: ${reference}`
    return `${kind} of reservation ${field(note, 'reservation')}${paid}`
  }
  return from === owner ? `${kind} to ${to}` : `${kind} from ${from}`
}

const inner = (note: unknown) => valueIn(note, 'note')

function valueIn(note: unknown, name: string): unknown {
  return typeof note === 'object' && note !== null ? Reflect.get(note, name) : undefined
}

function field(note: unknown, name: string): string {
  const value = valueIn(note, name)
  return value === undefined ? '' : String(value)
}

function timeOf(text: string | undefined): string {
  return new Date(parseOcmfText(text ?? '').record.takenAt).toISOString()
}

// Where what the wallet has not checked can be looked up, by whom it may concern.
function proofOf({ entry: { kind, claim }, order }: HistoryLine): string {
  if (kind === 'claim' || kind === 'session' || kind === 'remainder') return `prove '${claim}'`
  return order === undefined ? '' : `order ${order.order.id}`
}

/** What the ledger has signed and what nobody has proven yet, in plain words. */
export function describeTrust({ statement, lines, complete }: CheckedHistory): string {
  const { at, entries, journal } = statement
  const reach = complete
    ? 'Read to its beginning: these entries add up to what is held.'
    : `The latest ${lines.length} entries; with --all they are added up from the beginning.`
  return `${reach}
Signed by the ledger at ${new Date(at).toISOString()}: what is held, and each entry by its hash; its journal then had ${entries} entries, the last one ${journal}.
Not proven here: that the ledger tells everybody the same, and what the meters have signed. The command in a line shows the latter
(wattline-ledger prove, checked by wattline-verify); an auditor with the journal shows the former (wattline-ledger verify).`
}
