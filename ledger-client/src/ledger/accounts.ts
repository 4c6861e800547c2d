import { WattError } from '@wattline/protocol'

/**
 * What owners have. WATT: energy, 1 WATT = 1 kWh = 1,000 base units, so a base unit is 1 Wh. EEA: the right to store,
 * indivisible.
 */
export const assets = ['WATT', 'EEA'] as const
export type Asset = (typeof assets)[number]

/**
 * All that the journal counts. STORED: what went into storages and came out of them, in Wh. It is nobody's, so that no
 * order can name it.
 */
export const countedAssets = [...assets, 'STORED'] as const
export type CountedAsset = (typeof countedAssets)[number]

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
} as const satisfies Readonly<Record<string, { readonly asset: CountedAsset; readonly sign: 1n | 0n | -1n }>>

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
export function assetOf(account: string): CountedAsset {
  const name = classOf(account)
  if (name === undefined) throw new WattError('journal/broken', `account '${account}': of no known class`)
  return accountClasses[name].asset
}

/** Whether an account counts Wh. */
export function isEnergy(account: string): boolean {
  const asset = assetOf(account)
  return asset === 'WATT' || asset === 'STORED'
}

/** Whether a balance lies on the side of zero that its account must keep: nobody owes, and no grid account is owed. */
export function isWithinBounds(account: string, balance: bigint): boolean {
  const name = classOf(account)
  return name !== undefined && balance * accountClasses[name].sign >= 0n
}
