import type { PublicKey } from '@wattline/protocol'

/** A signature that is to be checked. */
export interface Signed {
  readonly payload: Uint8Array
  readonly signature: Uint8Array
  readonly publicKey: PublicKey
}

const limits = { items: 1024, bytes: 1024 * 1024 } as const
const signatureLength = 64
const keyLength = 65

// Places in the control words.
const ticketAt = 0
const roundAt = 1
const doneAt = 2

/**
 * Signatures in memory that two threads share. Each takes the next one that nobody has taken, so neither waits for the
 * other as long as there is work, however unequal the processor treats them.
 */
export class SharedBatch {
  readonly memory: SharedArrayBuffer
  readonly #control: Int32Array
  /** 0 open, 1 valid, 2 not valid. */
  readonly #verdicts: Uint8Array
  readonly #ends: Int32Array
  readonly #bytes: Uint8Array

  constructor(memory = new SharedArrayBuffer(12 + limits.items * 8 + limits.bytes)) {
    this.memory = memory
    this.#control = new Int32Array(memory, 0, 3)
    this.#ends = new Int32Array(memory, 12, limits.items)
    this.#verdicts = new Uint8Array(memory, 12 + limits.items * 4, limits.items)
    this.#bytes = new Uint8Array(memory, 12 + limits.items * 8, limits.bytes)
  }

  /** Lays out as many as there is room for, and calls the other thread; gives how many. */
  lay(items: readonly Signed[]): number {
    let [count, at] = [0, 0]
    for (const { payload, signature, publicKey } of items) {
      const end = at + signatureLength + keyLength + payload.length
      if (count === limits.items || end > limits.bytes) break
      this.#bytes.set(signature, at)
      this.#bytes.set(publicKey, at + signatureLength)
      this.#bytes.set(payload, at + signatureLength + keyLength)
      this.#verdicts[count] = 0
      this.#ends[count] = end
      at = end
      count++
    }
    // Only a ticket gives access to what was laid out: whoever holds one sees all of it.
    Atomics.store(this.#control, ticketAt, count)
    Atomics.add(this.#control, roundAt, 1)
    Atomics.notify(this.#control, roundAt)
    return count
  }

  /** The next one that nobody has taken. */
  take(): number | undefined {
    const at = Atomics.sub(this.#control, ticketAt, 1) - 1
    return at < 0 ? undefined : at
  }

  /** A copy of what was laid out: OpenSSL and libsecp256k1 take no shared memory. */
  read(at: number): Signed {
    const start = at === 0 ? 0 : (this.#ends[at - 1] ?? 0)
    const bytes = this.#bytes.slice(start, this.#ends[at])
    const keyAt = signatureLength + keyLength
    return {
      signature: bytes.subarray(0, signatureLength),
      publicKey: bytes.subarray(signatureLength, keyAt),
      payload: bytes.subarray(keyAt),
    }
  }

  settle(at: number, valid: boolean): void {
    Atomics.store(this.#verdicts, at, valid ? 1 : 2)
    Atomics.add(this.#control, doneAt, 1)
    Atomics.notify(this.#control, doneAt)
  }

  /** The verdict, once the other thread has given it; undefined if it does not come in time. */
  verdict(at: number, timeoutMs: number): boolean | undefined {
    for (;;) {
      const done = Atomics.load(this.#control, doneAt)
      const verdict = Atomics.load(this.#verdicts, at)
      if (verdict !== 0) return verdict === 1
      if (Atomics.wait(this.#control, doneAt, done, timeoutMs) === 'timed-out') return undefined
    }
  }

  /** Does what there is, then sleeps until there is more: the other thread's life. */
  serve(check: (signed: Signed) => boolean): never {
    for (;;) {
      const round = Atomics.load(this.#control, roundAt)
      for (let at = this.take(); at !== undefined; at = this.take()) this.settle(at, check(this.read(at)))
      Atomics.wait(this.#control, roundAt, round)
    }
  }
}

/** Whether something has the lengths that fit the shared memory; anything else is no valid signature of ours. */
export function isRegular({ payload, signature, publicKey }: Signed): boolean {
  const isShort = payload.length <= limits.bytes - signatureLength - keyLength
  return isShort && signature.length === signatureLength && publicKey.length === keyLength
}
