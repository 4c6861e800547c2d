import { type Currency, isCurrency, WattError } from '@wattline/protocol'

/**
 * What owners have besides money. WATT: energy, 1 WATT = 1 kWh = 1,000 base units, so a base unit is 1 Wh. EEA: the right
 * to store, indivisible.
 */
export const assets = ['WATT', 'EEA'] as const
/** What owners have: of money, a currency's minor units. */
export type Asset = (typeof assets)[number] | Currency

/** Whether a text names an asset. */
export function isAsset(text: unknown): text is Asset {
  return assets.some((known) => known === text) || (typeof text === 'string' && isCurrency(text))
}

/**
 * All that the journal counts. STORED: what went into storages and came out of them, in Wh. It is nobody's, so that no
 * order can name it.
 */
export type CountedAsset = Asset | 'STORED'

/** What an account is for, told by its name up to the first colon, and the side of zero that it stays on; 0: either. */
const accountClasses = {
  /** What an owner may use. */
  owner: { asset: 'WATT', sign: 1n },
  /** What an owner has reserved. */
  held: { asset: 'WATT', sign: 1n },
  /** The shortfall: consumption that found no WATT. */
  grid: { asset: 'WATT', sign: -1n },
  /** The other side of what metering points minted and burned. */
  minted: { asset: 'WATT', sign: -1n },
  burned: { asset: 'WATT', sign: 1n },
  /** What owners gave up by their own will. */
  retired: { asset: 'WATT', sign: 1n },
  eea: { asset: 'EEA', sign: 1n },
  'eea-held': { asset: 'EEA', sign: 1n },
  /** The other side of all EEA there is. */
  'eea-issued': { asset: 'EEA', sign: -1n },
  /** What devices put into a storage, and what it gave back to them. */
  charged: { asset: 'STORED', sign: -1n },
  discharged: { asset: 'STORED', sign: 1n },
  /** The difference. What a storage held when counting began is not known, so it may have given more than it got. */
  stored: { asset: 'STORED', sign: 0n },
  /** Of money the name goes on with the currency: `money:EUR:bob`, `money-added:EUR`. */
  money: { asset: 'money', sign: 1n },
  'money-held': { asset: 'money', sign: 1n },
  /** The other side of what users brought from outside, and where what was paid out to them has gone. */
  'money-added': { asset: 'money', sign: -1n },
  'money-removed': { asset: 'money', sign: 1n },
} as const satisfies Readonly<
  Record<string, { readonly asset: (typeof assets)[number] | 'STORED' | 'money'; readonly sign: 1n | 0n | -1n }>
>

export type AccountClass = keyof typeof accountClasses

/** Names of accounts. */
export const accountOf = {
  owner: (owner: string) => `owner:${owner}`,
  held: (owner: string) => `held:${owner}`,
  grid: (owner: string) => `grid:${owner}`,
  minted: (point: string) => `minted:${point}`,
  burned: (point: string) => `burned:${point}`,
  retired: (owner: string) => `retired:${owner}`,
  eeaIssued: 'eea-issued:genesis',
  charged: (point: string) => `charged:${point}`,
  discharged: (point: string) => `discharged:${point}`,
  stored: (point: string) => `stored:${point}`,
  moneyAdded: (asset: Asset) => `money-added:${asset}`,
  moneyRemoved: (asset: Asset) => `money-removed:${asset}`,
} as const

interface OwnersAccounts {
  readonly free: (owner: string) => string
  readonly held: (owner: string) => string
}

const ownersAccounts: Readonly<Record<(typeof assets)[number], OwnersAccounts>> = {
  WATT: { free: accountOf.owner, held: accountOf.held },
  EEA: { free: (owner) => `eea:${owner}`, held: (owner) => `eea-held:${owner}` },
}

/** The account that holds what an owner may use of an asset, and the one for what is reserved. */
export function accountsFor(asset: Asset): OwnersAccounts {
  if (!isCurrency(asset)) return ownersAccounts[asset]
  return { free: (owner) => `money:${asset}:${owner}`, held: (owner) => `money-held:${asset}:${owner}` }
}

/** The account that what is reserved in one came from, and goes back to; any other account itself. */
export function freeOf(account: string): string {
  return account
    .replace(/^held:/, 'owner:')
    .replace(/^eea-held:/, 'eea:')
    .replace(/^money-held:/, 'money:')
}

/** The class in an account's name; undefined where there is no such class. */
export function classOf(account: string): AccountClass | undefined {
  return findAsset(account) === undefined ? undefined : (nameOf(account) as AccountClass) // one that counts something
}

/** The asset that an account counts. */
export function assetOf(account: string): CountedAsset {
  const asset = findAsset(account)
  if (asset === undefined) throw new WattError('journal/broken', `account '${account}': of no known class`)
  return asset
}

const nameOf = (account: string) => account.slice(0, account.indexOf(':'))

/** The asset that an account counts, if it is of a class that there is. */
export function findAsset(account: string): CountedAsset | undefined {
  const name = nameOf(account)
  if (!Object.hasOwn(accountClasses, name)) return undefined
  const { asset } = accountClasses[name as AccountClass] // its own key
  return asset === 'money' ? currencyIn(account) : asset
}

// An owner's money has an owner, and the rest of the ledger's has none.
function currencyIn(account: string): Currency | undefined {
  const [, owned, rest] = /^money(?:-held)?:(...):.|^money-(?:added|removed):(...)$/s.exec(account) ?? []
  const code = owned ?? rest ?? ''
  return isCurrency(code) ? code : undefined
}

/** Whether a balance lies on the side of zero that its account must keep: nobody owes, and no grid account is owed. */
export function isWithinBounds(account: string, balance: bigint): boolean {
  const name = classOf(account)
  return name !== undefined && balance * accountClasses[name].sign >= 0n
}
