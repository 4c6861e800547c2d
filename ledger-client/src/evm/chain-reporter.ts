import { WattError } from '@wattline/protocol'
import type { Health } from '../health.ts'
import type { Logger } from '../log.ts'
import type { EvmConfig } from './evm-config.ts'
import type { Advance } from './finality.ts'
import type { StepOutcome } from './relayer.ts'

/** Receipts wait this long for a new block before a person is told. */
const stallMs = 15 * 60_000

/** What a person must know of the chain, in the log once and in health for as long as it lasts. */
export class ChainReporter {
  readonly #health: Health
  readonly #log: Logger
  #held = new Set<string>()
  #newest: { readonly block: bigint; readonly sinceMs: number } | undefined

  constructor(health: Health, log: Logger) {
    this.#health = health
    this.#log = log
  }

  /** Hears of a look at the chain, at a time that only grows. */
  advanced({ held, refused, newest }: Advance, nowMs: number): void {
    for (const { reason, ...record } of refused) this.#log.warn({ event: 'evm.record.refused', ...record, reason })
    for (const { point, status } of held) {
      if (!this.#held.has(point)) this.#log.error({ event: 'evm.point.held', point, status })
    }
    this.#held = new Set(held.map(({ point }) => point))
    const [first] = held
    if (first === undefined) this.#health.clear('evm/point-held')
    else {
      const message = `${first.point} is ${first.status} to the contract: no receipts; ${held.length} points in all`
      this.#health.raise({ code: 'evm/point-held', message })
    }
    this.#stood(newest, nowMs)
  }

  // A node that has stopped to follow its chain answers as if nothing were wrong.
  #stood(newest: bigint | undefined, nowMs: number): void {
    if (newest === undefined || newest !== this.#newest?.block) {
      this.#newest = newest === undefined ? undefined : { block: newest, sinceMs: nowMs }
      this.#health.clear('evm/stalled')
      return
    }
    const minutes = Math.floor((nowMs - this.#newest.sinceMs) / 60_000)
    if (nowMs - this.#newest.sinceMs < stallMs) return
    const message = `receipts wait, and the node has had no new block since ${newest} for ${minutes} minutes`
    if (this.#health.raise({ code: 'evm/stalled', message }))
      this.#log.warn({ event: 'evm.stalled', block: `${newest}` })
  }

  /** Hears what a step of the relayer came to. */
  relayed(outcome: StepOutcome, { maxFeeGwei }: Pick<EvmConfig, 'maxFeeGwei'>): void {
    if (outcome !== 'too-dear') this.#health.clear('evm/too-dear')
    else {
      const message = `nothing that may be offered (maxFeeGwei ${maxFeeGwei}) is taken by the chain: nothing is sent`
      this.#health.raise({ code: 'evm/too-dear', message })
    }
  }

  /** Hears that a node answered everything. */
  reached(): void {
    for (const code of ['evm/unreachable', 'evm/refused', 'evm/wrong-chain'] as const) this.#health.clear(code)
  }

  failed(error: unknown): void {
    if (error instanceof WattError && error.code.startsWith('evm/')) {
      this.#health.raise({ code: error.code, message: error.message })
    }
  }
}
