import { type Currency, formatKwh, isCurrency, parseKwh, type TransferAsset, WattError } from '@wattline/protocol'

// Amounts as people read and write them. What is counted are whole base units: of money the minor units of ISO 4217.

// Currencies whose minor unit is no hundredth. Not from Intl: its digits are those in use, and change from one version to
// the next (HUF), so that two machines would read one amount in two ways.
const minorDigits = new Map<string, number>([
  ...inEach(0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'),
  ...inEach(3, 'BHD IQD JOD KWD LYD OMR TND'),
  ...inEach(4, 'CLF UYW'),
])

function inEach(digits: number, codes: string): readonly [string, number][] {
  return codes.split(' ').map((code) => [code, digits])
}

function digitsOf(asset: TransferAsset): number {
  if (asset === 'WATT') return 3
  return asset === 'EEA' ? 0 : (minorDigits.get(asset) ?? 2)
}

/** An amount with the name of its asset: WATT in kWh, EEA whole, money in its major unit; what went into a storage in kWh. */
export function formatAmount(amount: bigint, asset: TransferAsset | 'STORED'): string {
  if (asset === 'STORED') return `${formatKwh(amount)} kWh`
  return `${formatUnits(amount, asset)} ${asset}`
}

/** An amount alone. */
export function formatUnits(amount: bigint, asset: TransferAsset): string {
  if (asset === 'WATT') return formatKwh(amount)
  const digits = digitsOf(asset)
  const text = (amount < 0n ? -amount : amount).toString().padStart(digits + 1, '0')
  const [whole, rest] = [text.slice(0, text.length - digits), text.slice(text.length - digits)]
  return `${amount < 0n ? '-' : ''}${whole}${rest === '' ? '' : `.${rest}`}`
}

/** Reads an amount with at most as many decimals as the asset has: nothing is rounded. */
export function parseAmount(text: string, asset: TransferAsset): bigint {
  const [, whole = '', decimals = ''] = /^(\d{1,15})(?:\.(\d{1,4}))?$/.exec(text) ?? []
  const digits = digitsOf(asset)
  if (whole === '' || decimals.length > digits || whole.length + digits > 18) {
    const expected = digits === 0 ? `a whole number of ${asset}` : `${asset} with at most ${digits} decimals`
    throw new WattError('transfer/invalid', `amount '${text}': ${expected} expected`)
  }
  if (asset === 'WATT') return parseKwh(`${BigInt(whole)}.${decimals.padEnd(digits, '0')}`)
  return BigInt(whole + decimals.padEnd(digits, '0'))
}

/** Reads the name of an asset. Of currencies those that are in use by what this machine knows: others are mistyped. */
export function parseAsset(text: string): TransferAsset {
  return text === 'WATT' || text === 'EEA' ? text : parseCurrency(text)
}

/** Reads the ISO 4217 code of a currency that is in use. */
export function parseCurrency(text: string): Currency {
  if (isCurrency(text) && Intl.supportedValuesOf('currency').includes(text)) return text
  throw new WattError('transfer/invalid', `'${text.slice(0, 20)}': the ISO 4217 code of a currency expected, as EUR`)
}
