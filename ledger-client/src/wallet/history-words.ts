import { formatKwh, type Holdings, parseOcmfText } from '@wattline/protocol'
import { describeAct, formatAmount } from '../orders/order-words.ts'
import { type CheckedHistory, type HistoryLine, isUnordered } from './history.ts'

/** What is held, in words: nothing that is zero but the free WATT. */
export function describeHoldings({ owner, held, grid, eea, 'eea-held': eeaHeld }: Holdings): string {
  const parts = [
    formatAmount(owner, 'WATT'),
    ...(held === 0n ? [] : [`${formatAmount(held, 'WATT')} reserved`]),
    ...(grid === 0n ? [] : [`${formatAmount(-grid, 'WATT')} short`]),
    ...(eea === 0n ? [] : [formatAmount(eea, 'EEA')]),
    ...(eeaHeld === 0n ? [] : [`${formatAmount(eeaHeld, 'EEA')} reserved`]),
  ]
  return parts.join(', ')
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

function describeMove({ owner, held, grid, eea, 'eea-held': eeaHeld }: Holdings): string {
  const [watt, asset] = [owner + held + grid, eea + eeaHeld]
  const kwh = `${watt < 0n ? '' : '+'}${formatKwh(watt)} WATT`
  if (asset === 0n) return watt === 0n && eea !== 0n ? '+0 EEA' : kwh
  return `${asset < 0n ? '' : '+'}${asset} EEA`
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
    default:
      return order === undefined
        ? describeTransfer(kind, entry.note, owner)
        : `${order.order.account === owner ? '' : `${order.order.account}: `}${describeAct(order.order)}`
  }
}

function describeTransfer(kind: string, note: unknown, owner: string): string {
  const [from, to] = [field(note, 'from'), field(note, 'to')]
  if (from === '') return `${kind} of reservation ${field(note, 'reservation')}`
  return from === owner ? `${kind} to ${to}` : `${kind} from ${from}`
}

function field(note: unknown, name: string): string {
  const value: unknown = typeof note === 'object' && note !== null ? Reflect.get(note, name) : undefined
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
