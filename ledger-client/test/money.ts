import { type Currency, isCurrency } from '@wattline/protocol'

/** Currencies of the tests. */
export const [eur, usd] = ['EUR', 'USD'].filter(isCurrency) as [Currency, Currency]
