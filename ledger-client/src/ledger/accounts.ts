import { WattError } from '@wattline/protocol'

/**
 * What is counted. WATT: energy, 1 WATT = 1 kWh = 1,000 base units, so a base unit is 1 Wh. EEA: the right to store,
 * indivisible.
 */
export const assets = ['WATT', 'EEA'] as const
export type Asset = (typeof assets)[number]

/** What an account is for, told by its name up to the first colon, and the side of zero that it stays on. */
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
} as const satisfies Readonly<Record<string, { readonly asset: Asset; readonly sign: 1n | -1n }>>

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
} as const

/** The account that holds what an owner may use of an asset, and the one for what is reserved. */
export const accountsFor: Readonly<
  Record<Asset, { readonly free: (owner: string) => string; readonly held: (owner: string) => string }>
> = {
  WATT: { free: accountOf.owner, held: accountOf.held },
  EEA: { free: (owner) => `eea:${owner}`, held: (owner) => `eea-held:${owner}` },
}

/** The class in an account's name; undefined where there is no such class. */
export function classOf(account: string): AccountClass | undefined {
  const name = account.slice(0, account.indexOf(':'))
  return Object.hasOwn(accountClasses, name) ? (name as AccountClass) : undefined // its own key
}

/** The asset that an account counts. */
export function assetOf(account: string): Asset {
  const name = classOf(account)
  if (name === undefined) throw new WattError('journal/broken', `account '${account}': of no known class`)
  return accountClasses[name].asset
}

/** Whether a balance lies on the side of zero that its account must keep: nobody owes, and no grid account is owed. */
export function isWithinBounds(account: string, balance: bigint): boolean {
  const name = classOf(account)
  return name !== undefined && balance * accountClasses[name].sign >= 0n
}
