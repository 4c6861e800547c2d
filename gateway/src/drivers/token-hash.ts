import { scryptSync } from 'node:crypto'
import { type DriverList, normaliseToken } from '@wattline/protocol'

type HashTerms = Pick<DriverList, 'salt' | 'cost'>

/** The hash under which a token stands in a list (SPEC-141). Slow on purpose: there are few tokens to try. */
export function hashToken(token: string, { salt, cost }: HashTerms): string {
  const N = 2 ** cost
  return scryptSync(normaliseToken(token), Buffer.from(salt, 'hex'), 32, {
    N,
    r: 8,
    p: 1,
    maxmem: 256 * N * 8,
  }).toString('hex')
}

// The cards of a large site; strangers push out the oldest only.
const mostKnown = 10_000

/** Remembers hashes, in memory alone: a card is presented several times in each session. */
export class TokenHasher {
  readonly #terms: HashTerms
  readonly #known = new Map<string, string>()

  constructor(terms: HashTerms) {
    this.#terms = terms
  }

  hash(token: string): string {
    const key = normaliseToken(token)
    const found = this.#known.get(key) ?? hashToken(key, this.#terms)
    // Last used, last forgotten.
    this.#known.delete(key)
    this.#known.set(key, found)
    const [oldest] = this.#known.keys()
    if (this.#known.size > mostKnown && oldest !== undefined) this.#known.delete(oldest)
    return found
  }
}
