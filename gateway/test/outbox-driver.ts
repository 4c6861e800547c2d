import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate as turn } from 'node:timers/promises'
import { makeMeterId, parseOcmfText, parseTopic } from '@wattline/protocol'
import type { Pipe, PipeEvents } from '../src/mqtt/pipe.ts'
import { Uplink } from '../src/mqtt/uplink.ts'
import { findPoint } from '../src/store/points.ts'
import { pruneChunk } from '../src/store/prune.ts'
import { HandClock, observeExport, openRig, rigGatewayId, type SigningRig } from './signing-rig.ts'

// The gateway from a reading to the wire as it ships (signing, outbox, uplink, receipts), led by JSON lines: a test of
// another package owns its clock, its meter and its wire. One line in, one line out.

/** `frees at PUBACK` takes the broker's word for the ledger's: the test must notice. */
type Mutant = 'none' | 'frees at PUBACK'

type Command = { readonly now: number } & (
  | { readonly do: 'open'; readonly dir: string; readonly boot: string; readonly mutant?: Mutant }
  | { readonly do: 'read'; readonly wh: number }
  | { readonly do: 'connect' | 'disconnect' | 'tick' | 'crash' | 'prune' | 'close' }
  | { readonly do: 'deliver'; readonly messages: readonly WireMessage[] }
  | { readonly do: 'copy'; readonly to: string }
)

interface WireMessage {
  readonly topic: string
  /** Base64. */
  readonly payload: string
}

const meterId = makeMeterId('roof')

class Driver {
  readonly #clock = new HandClock()
  readonly #dropped: SigningRig[] = []
  #sent: WireMessage[] = []
  #failures: string[] = []
  #rig: SigningRig | undefined
  #uplink: Uplink | undefined
  #wire: PipeEvents | undefined
  #isOpen = false
  #dir = ''
  #boot = ''
  #mutant: Mutant = 'none'

  async run(command: Command): Promise<unknown> {
    this.#clock.nowMs = command.now
    this.#sent = []
    this.#failures = []
    this.#obey(command)
    // What follows of itself: sending what was stored, booking what was received, and sending again.
    for (let round = 0; round < 8; round++) await turn()
    return { sent: this.#sent, failures: this.#failures, ...this.#look() }
  }

  #obey(command: Command): void {
    switch (command.do) {
      case 'open':
        this.#dir = command.dir
        this.#boot = command.boot
        this.#mutant = command.mutant ?? 'none'
        this.#open()
        break
      case 'read':
        this.#rig?.attestor.attest([{ meterId, seen: observeExport(command.wh, this.#clock, this.#boot) }])
        this.#uplink?.wake()
        break
      case 'connect':
        this.#isOpen = true
        this.#wire?.opened()
        break
      case 'disconnect':
        this.#isOpen = false
        this.#wire?.closed('cut')
        break
      case 'tick':
        this.#uplink?.wake()
        break
      case 'deliver':
        for (const { topic, payload } of command.messages) this.#wire?.received(topic, Buffer.from(payload, 'base64'))
        break
      case 'prune':
        // Everything that may go is old.
        if (this.#rig !== undefined) pruneChunk(this.#rig.session.store, { beforeMs: command.now, maxBytes: 1e9 })
        break
      case 'copy':
        // Nothing is being written now, so that log and database fit together.
        cpSync(this.#dir, command.to, { recursive: true })
        break
      case 'crash':
        this.#drop()
        break
      case 'close':
        this.#drop()
        for (const rig of this.#dropped.splice(0)) rig.close()
        break
    }
  }

  #open(): void {
    const rig = openRig({ dataDir: this.#dir, clock: this.#clock, bootId: this.#boot })
    const { store, epochs } = rig.session
    this.#rig = rig
    this.#uplink = new Uplink({
      config: { url: 'mqtt://127.0.0.1', window: 8 },
      gatewayId: rigGatewayId,
      points: rig.points,
      store,
      outbox: rig.outbox,
      epochs,
      events: {
        connected: () => {},
        disconnected: () => {},
        sent: () => {},
        settled: () => {},
        ledgerMet: () => {},
        refusedMessage: (error) => this.#failures.push(String(error)),
        failed: (error) => this.#failures.push(String(error)),
      },
      nowMs: () => this.#clock.nowMs,
      openPipe: (_settings, events) => this.#makePipe(events),
    })
    this.#uplink.start()
  }

  #makePipe(events: PipeEvents): Pipe {
    this.#wire = events
    const driver = this
    return {
      get open() {
        return driver.#isOpen
      },
      publish: (topic, payload, taken) => {
        if (!this.#isOpen) return
        this.#sent.push({ topic, payload: Buffer.from(payload).toString('base64') })
        if (this.#mutant === 'frees at PUBACK') this.#free(topic, payload)
        taken?.()
      },
      close: async () => {},
    }
  }

  #free(topic: string, payload: string | Uint8Array): void {
    const rig = this.#rig
    const row = rig === undefined ? undefined : findPoint(rig.session.store, rig.points[0]!)
    if (parseTopic(topic)?.kind !== 'record' || typeof payload !== 'string' || row === undefined) return
    const { record, hash } = parseOcmfText(payload)
    rig?.session.store.write(() =>
      rig.outbox.acknowledge(row, { epoch: record.epoch, sequence: record.sequence, hash }),
    )
  }

  // The power goes: nothing is committed or closed any more. Only the kernel's lock would end with the process.
  #drop(): void {
    if (this.#rig === undefined) return
    void this.#uplink?.stop()
    this.#dropped.push(this.#rig)
    rmSync(join(this.#dir, 'lock.db'), { force: true })
    this.#rig = undefined
    this.#uplink = undefined
    this.#wire = undefined
    this.#isOpen = false
  }

  #look(): object {
    const row = this.#rig === undefined ? undefined : findPoint(this.#rig.session.store, this.#rig.points[0]!)
    if (this.#rig === undefined || row === undefined) return { waiting: 0, head: '', confirmed: '', freed: [] }
    const { store } = this.#rig.session
    const unconfirmed = store
      .sql('SELECT count(*) FROM records WHERE point = ? AND (epoch, sequence) > (?, ?) AND rejected IS NULL')
      .pluck()
      .get(row.number, row.acknowledged.epoch, row.acknowledged.sequence)
    const freed = store
      .sql(
        `SELECT hash FROM records WHERE point = ? AND (epoch, sequence) <= (?, ?) AND rejected IS NULL
         ORDER BY epoch, sequence`,
      )
      .pluck()
      .all(row.number, row.acknowledged.epoch, row.acknowledged.sequence)
    return { waiting: unconfirmed, head: row.headHash, confirmed: row.acknowledged.hash, freed }
  }
}

const driver = new Driver()
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await driver.run(JSON.parse(line)))}\n`)
}
process.exit(0)
