/** The ISO 4217 code of a currency: `EUR`. */
export type Currency = string & { readonly __brand: 'Currency' }

/**
 * SPEC-88: money is named by three capital letters that are no other asset. Currencies come and go, and lists of them
 * differ from one machine to the next: who orders looks at such a list, who checks must not depend on one.
 */
export function isCurrency(text: string): text is Currency {
  return /^[A-Z]{3}$/.test(text) && text !== 'EEA'
}
