import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseTransfer, type Transfer, WattError } from '@wattline/protocol'
import { writeSecretFile } from '../secret-file.ts'
import type { LedgerLink, SendResult } from './ledger-link.ts'

/**
 * The orders that a wallet has made, one file each, beside the wallet. An order is on the disk before it is sent: what a
 * power cut or a lost connection leaves open is sent again, and never made anew.
 */
export class OrderFolder {
  readonly #path: string

  constructor(walletPath: string) {
    this.#path = `${walletPath}.orders`
  }

  /** Stores an order, sends it, and stores what came of it. */
  async send(order: Transfer, link: LedgerLink): Promise<SendResult> {
    this.#write(order, 'order', order.text)
    return this.#finish(order, link)
  }

  /** Sends again what has no answer, and gives what came of it. */
  async settle(
    ledger: string,
    account: string,
    link: LedgerLink,
  ): Promise<readonly (readonly [Transfer, SendResult])[]> {
    const results: (readonly [Transfer, SendResult])[] = []
    for (const order of this.#open(ledger, account)) results.push([order, await this.#finish(order, link)])
    return results
  }

  async #finish(order: Transfer, link: LedgerLink): Promise<SendResult> {
    const result = await link.send(order)
    if ('answer' in result) this.#write(order, 'answer', result.answer.text)
    // Not answered and refused: the next order takes the same nonce, so of the two at most one ever counts.
    else this.#write(order, 'refused', `${result.refused}: ${result.message}`)
    return result
  }

  #open(ledger: string, account: string): readonly Transfer[] {
    if (!existsSync(this.#path)) return []
    const names = new Set(readdirSync(this.#path))
    return [...names]
      .filter((name) => /^[0-9a-f]{64}\.order$/.test(name))
      .filter((name) => !names.has(name.replace('.order', '.answer')) && !names.has(name.replace('.order', '.refused')))
      .map((name) => this.#read(join(this.#path, name)))
      .filter((order) => order.ledger === ledger && order.account === account)
      .toSorted((a, b) => a.nonce - b.nonce)
  }

  #read(path: string): Transfer {
    try {
      return parseTransfer(readFileSync(path, 'latin1').trim())
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      throw new WattError(error.code, `${path}: ${error.message}`, { cause: error })
    }
  }

  #write({ id }: Transfer, kind: 'order' | 'answer' | 'refused', text: string): void {
    mkdirSync(this.#path, { recursive: true, mode: 0o700 })
    const path = join(this.#path, `${id}.${kind}`)
    if (!existsSync(path)) writeSecretFile(path, `${text}\n`)
  }
}
