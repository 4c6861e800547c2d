import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeWith, integerBetween, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { writeSecretFile } from '../secret-file.ts'

const address = v.pipe(v.string(), v.regex(/^0x[0-9a-f]{40}$/))
const whole = v.pipe(
  v.string(),
  v.regex(/^\d{1,78}$/),
  v.transform((digits) => BigInt(digits)),
)
const raw = v.pipe(v.string(), v.regex(/^0x[0-9a-f]+$/))
const sent = { fee: whole, tip: whole, raw }
const sentShape = v.strictObject(sent)
const shape = v.strictObject({
  version: v.literal(1),
  chainId: whole,
  watt: address,
  from: address,
  to: address,
  amount: whole,
  nonce: whole,
  gasLimit: whole,
  ...sent,
})
const finalShape = v.strictObject({
  fate: v.picklist(['paid', 'failed', 'replaced']),
  block: integerBetween(0, 2 ** 53 - 1),
})

/** What is to be paid, under the one nonce that it may be paid with. */
export type Payment = Omit<v.InferOutput<typeof shape>, 'version' | keyof SignedPayment>

/** A signed transaction of a payment. All of one payment have its nonce: at most one of them ever counts. */
export type SignedPayment = v.InferOutput<typeof sentShape>

/** What became of a payment for good, and the block that says so. */
export type FinalPayment = v.InferOutput<typeof finalShape>

/** A payment with the transactions that were signed for it, oldest first. */
export interface OpenPayment {
  readonly payment: Payment
  readonly signed: readonly SignedPayment[]
}

/**
 * The payments of a wallet on chains, beside the wallet. Each transaction is on the disk before it is sent: after a
 * power cut it is sent again, or takes the place of itself with a higher fee, and a payment is never made anew.
 */
export class PaymentFolder {
  readonly #path: string

  constructor(walletPath: string) {
    this.#path = `${walletPath}.payments`
  }

  /** Stores a further transaction; the first one is one file with what it pays, so that neither is there alone. */
  add({ payment, signed }: OpenPayment, next: SignedPayment): OpenPayment {
    if (signed.length === 0) this.#write(payment, 'payment', { version: 1, ...payment, ...next })
    else this.#write(payment, `${signed.length}.tx`, next)
    return { payment, signed: [...signed, next] }
  }

  /** Stores what became of a payment. */
  close(payment: Payment, final: FinalPayment): void {
    this.#write(payment, 'final', final)
  }

  /** The payments of an address on a chain whose fate is open, by their nonces. */
  open(chainId: bigint, from: string): readonly OpenPayment[] {
    if (!existsSync(this.#path)) return []
    const names = new Set(readdirSync(this.#path))
    return [...names]
      .filter((name) => name.startsWith(`${chainId}-${from}-`) && name.endsWith('.payment'))
      .filter((name) => !names.has(name.replace(/payment$/, 'final')))
      .map((name) => {
        const { version: _, fee, tip, raw, ...payment } = this.#read(name, shape)
        const signed: SignedPayment[] = [{ fee, tip, raw }]
        for (let next = ''; ; signed.push(this.#read(next, sentShape))) {
          next = name.replace(/payment$/, `${signed.length}.tx`)
          if (!names.has(next)) return { payment, signed }
        }
      })
      .toSorted((a, b) => (a.payment.nonce < b.payment.nonce ? -1 : 1))
  }

  #read<T extends v.GenericSchema>(name: string, schema: T): v.InferOutput<T> {
    const path = join(this.#path, name)
    let content: unknown
    try {
      content = JSON.parse(readFileSync(path, 'utf8'))
    } catch (cause) {
      throw new WattError('wallet/invalid', `${path}: cannot be read`, { cause })
    }
    return decodeWith(schema, content, path, 'wallet/invalid')
  }

  #write({ chainId, from, nonce }: Payment, kind: string, content: object): void {
    mkdirSync(this.#path, { recursive: true, mode: 0o700 })
    const path = join(this.#path, `${chainId}-${from}-${nonce}.${kind}`)
    const text = JSON.stringify(content, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
    if (existsSync(path)) throw new WattError('wallet/exists', `${path}: is there already, and is not replaced`)
    writeSecretFile(path, `${text}\n`)
  }
}
