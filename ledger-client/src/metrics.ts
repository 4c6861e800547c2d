import { Counter, Gauge, Registry } from 'prom-client'
import type { Outcome } from './pipeline.ts'

/** What is looked up when someone asks. */
export interface Levels {
  waiting(): number
  points(): number
}

/** Counters of one running ledger, in the form that Prometheus reads. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #records: Counter<'result'>
  readonly #quarantined: Counter<'code'>
  readonly #shed: Counter
  readonly #receipts: Counter
  readonly #orders: Counter<'result'>

  constructor(levels: Levels) {
    const registers = [this.#registry]
    const name = (suffix: string) => `wattline_ledger_${suffix}`
    this.#records = new Counter({
      name: name('records_total'),
      help: 'Records by what became of them',
      labelNames: ['result'],
      registers,
    })
    this.#quarantined = new Counter({
      name: name('quarantined_total'),
      help: 'Messages put into quarantine',
      labelNames: ['code'],
      registers,
    })
    this.#shed = new Counter({ name: name('shed_total'), help: 'Messages left to be sent again', registers })
    this.#receipts = new Counter({ name: name('receipts_total'), help: 'Receipts published', registers })
    this.#orders = new Counter({
      name: name('orders_total'),
      help: 'Orders of wallets over HTTP, by what became of them',
      labelNames: ['result'],
      registers,
    })
    new Gauge({
      name: name('intake_waiting'),
      help: 'Messages stored and not yet processed',
      registers,
      collect() {
        this.set(levels.waiting())
      },
    })
    new Gauge({
      name: name('points'),
      help: 'Enrolled metering points',
      registers,
      collect() {
        this.set(levels.points())
      },
    })
  }

  processed({ accepted, replayed, held, incidents }: Outcome): void {
    this.#records.inc({ result: 'accepted' }, accepted)
    this.#records.inc({ result: 'replayed' }, replayed)
    this.#records.inc({ result: 'held' }, held)
    for (const { event, code } of incidents) {
      if (event === 'message.quarantined' && code !== undefined) this.#quarantined.inc({ code })
    }
  }

  shed(messages: number): void {
    this.#shed.inc(messages)
  }

  receiptPublished(): void {
    this.#receipts.inc()
  }

  orderTold(result: string): void {
    this.#orders.inc({ result })
  }

  async format(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }
}
