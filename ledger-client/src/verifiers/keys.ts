import { createPublicKey, type KeyObject } from 'node:crypto'
import { formatPublicKey, type PublicKey, toUpperHex } from '@wattline/protocol'

/** Parsed keys that are kept at once. Beyond it the oldest goes: a flood of keys must not fill the memory. */
const limit = 4096

/** Turns raw points into OpenSSL's keys and remembers them: parsing one costs more than verifying with it. */
export class KeyObjects {
  readonly #known = new Map<string, KeyObject | undefined>()

  /** Undefined where the bytes are no uncompressed point on secp256k1. */
  get(publicKey: PublicKey): KeyObject | undefined {
    const name = toUpperHex(publicKey)
    if (this.#known.has(name)) return this.#known.get(name)
    const parsed = parse(publicKey)
    if (this.#known.size >= limit) {
      const [oldest] = this.#known.keys()
      if (oldest !== undefined) this.#known.delete(oldest)
    }
    this.#known.set(name, parsed)
    return parsed
  }
}

function parse(publicKey: PublicKey): KeyObject | undefined {
  if (publicKey.length !== 65 || publicKey[0] !== 4) return undefined
  try {
    return createPublicKey({ key: Buffer.from(formatPublicKey(publicKey), 'hex'), format: 'der', type: 'spki' })
  } catch {
    return undefined // not on the curve: a key that verifies nothing
  }
}
