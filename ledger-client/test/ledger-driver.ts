import { cpSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setImmediate as turn } from 'node:timers/promises'
import { type ParsedOcmf, parseOcmfText } from '@wattline/protocol'
import { auditLedger } from '../src/audit/audit.ts'
import { type LedgerEngine, openLedger } from '../src/engine.ts'
import type { ChainHead, SettlementContract } from '../src/evm/attestation-contract.ts'
import { Finality } from '../src/evm/finality.ts'
import { moves } from '../src/evm/relayer.ts'
import { isSettleable } from '../src/evm/settlement.ts'
import { Health } from '../src/health.ts'
import { loadLedgerKey } from '../src/ledger-key.ts'
import { makeLogger } from '../src/log.ts'
import { Metrics } from '../src/metrics.ts'
import type { ConnectionEvents, Link, Way } from '../src/mqtt/connection.ts'
import { MqttIntake } from '../src/mqtt/intake.ts'
import { emptyOutcome } from '../src/pipeline.ts'
import { isAfter, type Point } from '../src/points/registry.ts'
import { Receipts } from '../src/receipts.ts'
import { FinalPlaces } from '../src/store/final-places.ts'
import { fastVerifier, TestClock } from './rig.ts'

// The ledger from the wire to its receipts as it ships (intake, engine, receipts, the place that a chain has made
// final), led by JSON lines: a test of another package owns its clock and its wire. One line in, one line out.

/**
 * How a ledger may get it wrong: the test must notice. `sums deltas` books what a record adds to the one that it names;
 * `tells what is not final` names its own head where a chain has the last word.
 */
type Mutant = 'none' | 'sums deltas' | 'tells what is not final'

type Command = { readonly now: number } & (
  | { readonly do: 'open'; readonly dir: string; readonly chain?: ChainBooks; readonly mutant?: Mutant }
  | { readonly do: 'deliver'; readonly messages: readonly WireMessage[]; readonly cut?: 'after store' }
  | { readonly do: 'connect' | 'disconnect' | 'tick' | 'crash' | 'close' | 'mine' | 'reorg' | 'look' | 'audit' }
  | { readonly do: 'copy'; readonly to: string }
)

interface WireMessage {
  readonly topic: string
  /** Base64. */
  readonly payload: string
}

/** What a contract has counted of the one metering point, in its newest block and in the newest final one. */
interface ChainState {
  readonly epoch: number
  readonly sequence: number
  /** Wh; absent before the first record. */
  readonly register?: number
  readonly counted: number
}
interface ChainBooks {
  tip: ChainState
  final: ChainState
}

const books = 2
const pointId = 'gw-1/roof'

/** A chain that takes what the ledger has counted, by the register's difference, and may undo what is not final. */
function makeContract(chain: ChainBooks): SettlementContract {
  const never = () => Promise.reject(new Error('nothing is sent here: the driver mines'))
  return {
    blocks: async () => ({ final: 1n, newest: 2n }),
    headsOf: async (devices, at) => devices.map(() => toHead(at === 1n ? chain.final : chain.tip)),
    templateIds: async (templates) => templates.map(() => 1),
    tryOut: async (settlements) => settlements.map(() => 'Counted' as const),
    registerTemplate: never,
    settle: never,
  }
}

function toHead({ epoch, sequence, register }: ChainState): ChainHead {
  const registers = register === undefined ? {} : { export: BigInt(register) }
  return { status: 'active', books, epoch, sequence, registers }
}

function count(state: ChainState, parsed: ParsedOcmf): ChainState {
  const { epoch, sequence, registers } = parsed.record
  const register = Number(registers.export)
  const isNews = isAfter(parsed.record, state) && isSettleable(parsed) && moves(toHead(state), parsed)
  if (!isNews || register < (state.register ?? 0)) return state
  return { epoch, sequence, register, counted: state.counted + register - (state.register ?? register) }
}

interface Parts {
  readonly engine: LedgerEngine
  readonly intake: MqttIntake
  readonly places: FinalPlaces | undefined
  readonly finality: Finality | undefined
}

class Driver {
  readonly #clock = new TestClock()
  readonly #dropped: LedgerEngine[] = []
  #sent: WireMessage[] = []
  #failures: string[] = []
  #wire: ConnectionEvents | undefined
  #isOpen = false
  #dir = ''
  #chain: ChainBooks | undefined
  #mutant: Mutant = 'none'
  #parts: Parts | undefined
  #seen = 0

  async run(command: Command): Promise<unknown> {
    this.#clock.ms = command.now
    this.#sent = []
    this.#failures = []
    const extra = await this.#obey(command)
    for (let round = 0; round < 8; round++) await turn()
    return { sent: this.#sent, failures: this.#failures, ...extra, ...this.#look() }
  }

  async #obey(command: Command): Promise<object> {
    switch (command.do) {
      case 'open':
        this.#dir = command.dir
        this.#chain = command.chain
        this.#mutant = command.mutant ?? 'none'
        await this.#open()
        break
      case 'deliver':
        await this.#take(command.messages, command.cut === 'after store')
        break
      case 'connect':
        this.#isOpen = true
        this.#wire?.connected()
        break
      case 'disconnect':
        this.#isOpen = false
        this.#wire?.disconnected('cut')
        break
      case 'mine':
        this.#mine()
        break
      case 'look':
        await this.#watch()
        break
      case 'reorg':
        if (this.#chain !== undefined) this.#chain.tip = this.#chain.final
        break
      case 'copy':
        // Nothing is being written now, so that log and database fit together.
        cpSync(this.#dir, command.to, { recursive: true })
        break
      case 'audit':
        return { faults: this.#parts === undefined ? [] : auditLedger(this.#parts.engine.db, fastVerifier).faults }
      case 'crash':
        this.#drop()
        break
      case 'close':
        this.#drop()
        for (const engine of this.#dropped.splice(0)) engine.close()
        break
      case 'tick':
        break
    }
    return {}
  }

  async #open(): Promise<void> {
    const clock = this.#clock
    const engine = openLedger({ dataDir: this.#dir, clock, verifier: fastVerifier, enrolment: 'open', check: true })
    const signer = await loadLedgerKey(this.#dir)
    const places = this.#chain === undefined ? undefined : new FinalPlaces(engine.db)
    places?.begin()
    const finality = this.#chain && places && new Finality(places, engine.registry, makeContract(this.#chain))
    const isEarly = places === undefined || this.#mutant === 'tells what is not final'
    const receipts = new Receipts(engine, signer, clock, isEarly ? undefined : (point) => places.of(point))
    const way: Way = { url: 'mqtt://127.0.0.1', open: (events) => this.#connect(events) }
    const levels = { waiting: () => engine.intake.waiting(), points: () => engine.registry.all().length }
    const intake = new MqttIntake(way, {
      engine,
      receipts,
      health: new Health(),
      metrics: new Metrics(levels),
      log: makeLogger('silent'),
      fatal: (error) => this.#failures.push(String(error)),
    })
    this.#parts = { engine, intake, places, finality }
    this.#seen = 0
  }

  #connect(events: ConnectionEvents): Link {
    this.#wire = events
    const driver = this
    return {
      get connected() {
        return driver.#isOpen
      },
      publish: async (topic: string, text: string) => {
        if (this.#isOpen) this.#sent.push({ topic, payload: Buffer.from(text).toString('base64') })
      },
      resume: () => {},
      close: async () => {},
    }
  }

  async #take(messages: readonly WireMessage[], isCut: boolean): Promise<void> {
    const { engine } = this.#parts ?? {}
    if (engine === undefined) return
    if (isCut) engine.processNext = () => emptyOutcome()
    for (const { topic, payload } of messages) {
      const bytes = Buffer.from(payload, 'base64')
      if (this.#mutant === 'sums deltas') this.#moveBase(bytes.toString('latin1'))
      this.#wire?.received({ topic, payload: bytes, acknowledge: () => {} })
      if (this.#mutant !== 'none') for (let round = 0; round < 4; round++) await turn()
    }
    await turn()
    if (isCut) this.#drop()
  }

  // As if the record told what was added since the one that it names.
  #moveBase(text: string): void {
    const point = this.#point()
    if (!text.startsWith('OCMF') || point?.head === undefined || point.base === undefined) return
    const { record } = parseOcmfText(text)
    const named = this.#parts?.engine.db
      .prepare<[string], { text: string }>('SELECT text FROM record WHERE hash = ?')
      .get(record.previousHash)
    if (named === undefined || !isAfter(record, point.head)) return
    point.base = { ...point.base, registers: parseOcmfText(named.text).record.registers }
  }

  // A relayer would bring the same to a contract: whatever was counted after the place at which the chain stands.
  #mine(): void {
    const { places } = this.#parts ?? {}
    const chain = this.#chain
    const point = this.#point()
    if (chain === undefined || places === undefined || point === undefined) return
    chain.tip = point.keys
      .flatMap((key) => places.countedAfter(key, chain.tip, 1000))
      .reduce((state, text) => count(state, parseOcmfText(text)), chain.tip)
  }

  /** A block becomes final, and the ledger looks at it. */
  async #watch(): Promise<void> {
    const { finality, intake } = this.#parts ?? {}
    if (this.#chain === undefined || finality === undefined) return
    this.#chain.final = this.#chain.tip
    const { moved } = await finality.advance()
    if (moved.length > 0) intake?.announce(moved)
  }

  #point(): Point | undefined {
    return this.#parts?.engine.registry.all().find(({ id }) => id === pointId)
  }

  // The power goes: nothing is committed or closed any more.
  #drop(): void {
    if (this.#parts === undefined) return
    void this.#parts.intake.stop()
    this.#dropped.push(this.#parts.engine)
    this.#parts = undefined
    this.#wire = undefined
    this.#isOpen = false
  }

  #look(): object {
    const point = this.#point()
    const { engine, places } = this.#parts ?? {}
    const held =
      engine?.db
        .prepare<[number], { id: number; hash: string; text: string }>(
          'SELECT id, hash, text FROM record WHERE id > ? ORDER BY id',
        )
        .all(this.#seen) ?? []
    this.#seen = held.at(-1)?.id ?? this.#seen
    return {
      chain: this.#chain,
      accepted: held.map(({ hash, text }) => ({ hash, wh: Number(parseOcmfText(text).record.registers.export) })),
      minted: Number(point?.mintedWh ?? 0n),
      head: point?.head?.hash ?? '',
      frozen: point?.frozen !== undefined,
      place: (point && places?.of(point)?.hash) ?? '',
    }
  }
}

const driver = new Driver()
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await driver.run(JSON.parse(line)))}\n`)
}
process.exit(0)
