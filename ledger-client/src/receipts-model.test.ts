import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseReceipt, type Receipt } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier, type Message, openRig, tempDir, testSigner } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import type { LedgerEngine } from './engine.ts'
import { Receipts } from './receipts.ts'
import { databaseFile } from './store/database.ts'
import { toMessage } from './store/intake.ts'

// The events of `protocol/model/receipts.pml`, on the ledger as it ships: its database, its pipeline and its receipts.
// The other half is what the protocol wants of a gateway: chain, texts that are kept, what is confirmed.

const events = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('read' as const), wh: fc.integer({ min: 0, max: 900 }) }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('deliver' as const), which: fc.nat(), count: fc.nat({ max: 4 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('receipt' as const), which: fc.nat() }) },
  ...(['cut', 'cut-after-store', 'reboot', 'back-up-gateway', 'back-up-ledger', 'restore'] as const).map((kind) => ({
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant(kind) }),
  })),
)

interface Memory {
  readonly texts: readonly string[]
  readonly epoch: number
  readonly confirmed: number
  readonly session: string
}

/** A gateway that does with receipts what SPEC-32 and SPEC-70 to SPEC-73 want; `texts` is all of its present chain. */
class GatewayHalf {
  readonly device = new Device({ meter: 'roof', role: 'producer', owner: 'alice', key: 4711, maxPowerW: 1_000_000 })
  /** All that was ever sent: any of it may still arrive. */
  readonly wire: Message[] = [this.device.certificateMessage()]
  readonly #sessions: string[] = []
  wh = 1000n
  confirmed = 0
  session = ''
  #lastEpoch = 0

  read(wh: number): void {
    this.wh += BigInt(wh)
    this.wire.push(this.device.message(this.device.sign({ registers: { export: this.wh } })))
  }

  save(): Memory {
    const { texts, epoch } = this.device
    return { texts: [...texts], epoch, confirmed: this.confirmed, session: this.session }
  }

  /** SPEC-32: a restored memory opens an epoch before it signs. */
  load({ texts, confirmed, session }: Memory): void {
    this.device.texts.splice(0, Number.POSITIVE_INFINITY, ...texts)
    Object.assign(this, { confirmed, session })
    this.openEpoch(texts.length)
  }

  openEpoch(count: number): void {
    this.device.restore(count)
    // Epochs are times: whatever is restored, they never come again.
    this.#lastEpoch = Math.max(this.device.epoch, this.#lastEpoch) + 1
    this.device.epoch = this.#lastEpoch
  }

  /** A receipt frees what it names, if that is known here; a new session may begin further back. */
  take(receipt: Receipt): void {
    if (this.#sessions.includes(receipt.session)) return
    const isNew = receipt.session !== this.session
    if (isNew && this.session !== '') this.#sessions.push(this.session)
    this.session = receipt.session
    const known = this.device.texts.findIndex((text) =>
      text.includes(`"XE":${receipt.epoch},"XN":${receipt.sequence},`),
    )
    if (receipt.sequence > 0 && known < 0) return
    if (known + 1 > this.confirmed || isNew) this.confirmed = known + 1
  }

  /** Everything that is not confirmed, as full texts. */
  rest(): readonly Message[] {
    const rest = this.device.texts.slice(this.confirmed).map((text) => this.device.message(text))
    return [this.device.certificateMessage(), ...rest]
  }
}

class LedgerHalf {
  readonly #signer = testSigner(9100)
  readonly #teardowns: (() => void)[] = []
  readonly #rigs = { teardown: (fn: () => void) => void this.#teardowns.push(fn) }
  #dir = tempDir(this.#rigs)
  engine: LedgerEngine
  receipts: Receipts
  readonly given: Receipt[] = []
  backup: string | undefined

  constructor() {
    ;[this.engine, this.receipts] = this.#open()
  }

  #open(): [LedgerEngine, Receipts] {
    const { engine, clock } = openRig(this.#rigs, { dataDir: this.#dir })
    return [engine, new Receipts(engine.registry, this.#signer, clock)]
  }

  cut(): void {
    this.engine.close()
    ;[this.engine, this.receipts] = this.#open()
  }

  save(): void {
    this.backup = tempDir(this.#rigs)
    this.engine.db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
    copyFileSync(join(this.#dir, databaseFile), join(this.backup, databaseFile))
  }

  load(backup: string): void {
    this.engine.close()
    this.#dir = tempDir(this.#rigs)
    mkdirSync(this.#dir, { recursive: true })
    copyFileSync(join(backup, databaseFile), join(this.#dir, databaseFile))
    ;[this.engine, this.receipts] = this.#open()
  }

  take(messages: readonly Message[], device: Device): void {
    const { answers } = this.engine.ingest(messages)
    const answer = answers.get(device.id)
    if (answer === undefined) return
    this.given.push(parseReceipt(this.receipts.make(device.id, answer).text, this.#signer.publicKey, fastVerifier))
  }

  end(): void {
    for (const fn of this.#teardowns.toReversed()) fn()
  }
}

test('SPEC-70: the ledger as it ships keeps what the model of the protocol promises', (t) => {
  fc.assert(
    fc.property(fc.array(events, { minLength: 10, maxLength: 50 }), (plan) => {
      const gateway = new GatewayHalf()
      const ledger = new LedgerHalf()
      const { device } = gateway
      let memory: Memory | undefined
      let restored = false
      try {
        for (const event of plan) {
          if (event.kind === 'read') gateway.read(event.wh)
          else if (event.kind === 'deliver') {
            const from = event.which % gateway.wire.length
            ledger.take(gateway.wire.slice(from, from + event.count), device)
          } else if (event.kind === 'receipt') {
            const receipt = ledger.given[event.which % Math.max(1, ledger.given.length)]
            if (receipt !== undefined) gateway.take(receipt)
          } else if (event.kind === 'cut') ledger.cut()
          else if (event.kind === 'cut-after-store') {
            ledger.engine.store(gateway.rest().map(({ topic, payload }) => toMessage(topic, payload)))
            ledger.cut()
          } else if (event.kind === 'reboot') gateway.openEpoch(device.texts.length)
          else if (event.kind === 'back-up-gateway') memory = gateway.save()
          else if (event.kind === 'back-up-ledger') ledger.save()
          else if (restored) continue
          else if (memory !== undefined) {
            restored = true
            gateway.load(memory)
          } else if (ledger.backup !== undefined) {
            restored = true
            ledger.load(ledger.backup)
          }
          const point = ledger.engine.registry.get(device.id)
          t.true((point?.mintedWh ?? 0n) <= gateway.wh - 1000n, 'never more than the meter has counted')
          t.is(point?.frozen, undefined, 'nothing was signed twice')
        }
        // The faults end: both meet, one more reading is taken, and what has no receipt is sent until it has one.
        gateway.read(1)
        ledger.take([device.certificateMessage()], device)
        for (let turn = 0; turn < 3; turn++) {
          gateway.take(ledger.given.at(-1)!)
          ledger.take(gateway.rest(), device)
        }
        const point = ledger.engine.registry.get(device.id)!
        const { base } = point
        t.is(base?.registers.export, gateway.wh)
        t.is(point.head?.hash, device.previousHash)
        t.is(gateway.wh - point.mintedWh, firstCounted(ledger.engine), 'the last register less the first')
        t.deepEqual(auditLedger(ledger.engine.db, fastVerifier).faults, [])
      } finally {
        ledger.end()
      }
    }),
    { numRuns: 25 },
  )
})

/** The register of the first record that this ledger has ever accepted. */
function firstCounted(engine: LedgerEngine): bigint {
  const { text } = engine.db.prepare<[], { text: string }>('SELECT text FROM record ORDER BY id LIMIT 1').get()!
  return BigInt(/"RV":([\d.]+)/.exec(text)![1]!.replace('.', ''))
}
