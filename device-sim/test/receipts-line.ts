import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'

// The events of `protocol/model/receipts.pml` on the real parts: outbox and ledger run as two processes, and what lies
// between them is owned here. Any message may be lost, doubled, late and out of order; each part is cut, copied and
// restored; a chain may undo what is not final.

const drivers = {
  gateway: fileURLToPath(new URL('../../gateway/test/outbox-driver.ts', import.meta.url)),
  ledger: fileURLToPath(new URL('../../ledger-client/test/ledger-driver.ts', import.meta.url)),
} as const
type PartName = keyof typeof drivers

export type Mutant = 'none' | 'frees at PUBACK' | 'sums deltas' | 'tells what is not final'

export type Event =
  | { readonly kind: 'read'; readonly wh: number }
  | { readonly kind: 'flow' | 'lose'; readonly to: PartName; readonly count: number }
  | { readonly kind: 'stray'; readonly to: PartName; readonly which: number }
  | { readonly kind: 'link' | 'crash' | 'copy' | 'restore'; readonly part: PartName }
  | { readonly kind: 'cut after store' | 'reboot' | 'prune' | 'wait' | 'mine' | 'look' | 'reorg' }

const part = fc.constantFrom<PartName>('gateway', 'ledger')
const one = <K extends Event['kind']>(weight: number, kind: K, fields: object = {}) => ({
  weight,
  arbitrary: fc.record({ kind: fc.constant(kind), ...fields }) as unknown as fc.Arbitrary<Event>,
})

/** What may happen, in any order. */
export const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    one(6, 'read', { wh: fc.integer({ min: 0, max: 900 }) }),
    one(9, 'flow', { to: part, count: fc.integer({ min: 1, max: 6 }) }),
    one(2, 'lose', { to: part, count: fc.integer({ min: 1, max: 3 }) }),
    one(4, 'stray', { to: part, which: fc.nat() }),
    ...(['link', 'crash', 'copy', 'restore'] as const).map((kind) => one(2, kind, { part })),
    ...(['prune', 'wait', 'mine', 'look'] as const).map((kind) => one(2, kind)),
    ...(['cut after store', 'reboot', 'reorg'] as const).map((kind) => one(1, kind)),
  ),
  { minLength: 20, maxLength: 60 },
)

interface WireMessage {
  readonly topic: string
  readonly payload: string
}

interface GatewayAnswer {
  readonly sent: readonly WireMessage[]
  readonly failures: readonly string[]
  readonly waiting: number
  readonly head: string
  readonly confirmed: string
  readonly freed: readonly string[]
}

interface ChainState {
  readonly register?: number
  readonly counted: number
}

interface LedgerAnswer {
  readonly sent: readonly WireMessage[]
  readonly failures: readonly string[]
  readonly chain?: { readonly tip: ChainState; readonly final: ChainState }
  readonly accepted: readonly { readonly hash: string; readonly wh: number }[]
  readonly minted: number
  readonly head: string
  readonly frozen: boolean
  readonly faults?: readonly unknown[]
}

/** A part as a process of its own: one line in, one line out. */
class Part {
  readonly #path: string
  #child: ChildProcess
  #lines: AsyncIterator<string>

  constructor(name: PartName) {
    this.#path = drivers[name]
    ;[this.#child, this.#lines] = this.#start()
  }

  #start(): [ChildProcess, AsyncIterator<string>] {
    const child = spawn(process.execPath, [this.#path], { stdio: ['pipe', 'pipe', 'inherit'] })
    if (child.stdout === null) throw new Error('no pipe')
    return [child, createInterface({ input: child.stdout })[Symbol.asyncIterator]()]
  }

  async ask(command: object): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`)
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error(`${this.#path} ended at ${JSON.stringify(command)}`)
    return JSON.parse(value)
  }

  /** As the kernel ends a process: at once. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
    ;[this.#child, this.#lines] = this.#start()
  }

  async end(): Promise<void> {
    this.#child.stdin?.end()
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }
}

/** Both parts, started once for many histories. */
export class Parts {
  readonly gateway = new Part('gateway')
  readonly ledger = new Part('ledger')

  async end(): Promise<void> {
    await Promise.all([this.gateway.end(), this.ledger.end()])
  }
}

export interface HistoryOptions {
  /** A chain has the last word. */
  readonly onChain: boolean
  readonly mutant?: Mutant
  /** Whatever was restored, each record that was ever signed is in the ledger at the end. */
  readonly keepsAll?: boolean
  /** A crash ends the process itself, instead of dropping everything in it. */
  readonly kills?: boolean
}

const firstWh = 1000
/** As in the model: more than two restores are more than an operator does in one accident. */
const mostRestores = 2

/** Runs one history to its end on parts that are there; throws where a promise is broken. */
export async function runHistory(parts: Parts, plan: readonly Event[], options: HistoryOptions): Promise<void> {
  const history = new History(parts, options)
  try {
    await history.begin()
    for (const each of plan) await history.happen(each)
    await history.drain()
  } finally {
    await history.end()
  }
}

class History {
  readonly #parts: Parts
  readonly #options: HistoryOptions
  // Nothing here is about the disk: what commits cost there is not asked.
  readonly #root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'wattline-history-'))
  readonly #dirs = { gateway: join(this.#root, 'gateway'), ledger: join(this.#root, 'ledger') }
  readonly #copies: { [N in PartName]?: string } = {}
  readonly #up = { gateway: true, ledger: true }
  /** All that was ever sent, and how much of it has had its turn. */
  readonly #wire: Record<PartName, WireMessage[]> = { gateway: [], ledger: [] }
  readonly #turn = { gateway: 0, ledger: 0 }
  /** What a ledger has ever accepted, and up to which register a chain has counted for good. */
  readonly #accepted = new Map<string, number>()
  /** What the present one holds. */
  readonly #held = new Set<string>()
  readonly #freed = new Set<string>()
  readonly #signed: string[] = []
  #finalWh = 0
  #now = 1_800_000_000_000
  #wh = firstWh
  #boot = 0
  #folders = 0
  #restores = 0
  #gateway: GatewayAnswer | undefined
  #ledger: LedgerAnswer | undefined

  constructor(parts: Parts, options: HistoryOptions) {
    this.#parts = parts
    this.#options = options
  }

  /** A first reading is counted and final: every copy of the ledger begins there. */
  async begin(): Promise<void> {
    await this.#open('gateway')
    await this.#open('ledger')
    await this.#read(0)
    await this.#catchUp()
  }

  async happen(event: Event): Promise<void> {
    this.#now += 1000
    switch (event.kind) {
      case 'read':
        await this.#read(event.wh)
        break
      case 'flow':
        await this.#flow(event.to, event.count)
        break
      case 'lose':
        this.#turn[event.to] = Math.min(this.#wire[event.to].length, this.#turn[event.to] + event.count)
        break
      case 'stray': {
        const any = this.#wire[event.to][event.which % Math.max(1, this.#wire[event.to].length)]
        if (any !== undefined) await this.#deliver(event.to, [any])
        break
      }
      case 'link':
        this.#up[event.part] = !this.#up[event.part]
        await this.#tell(event.part, { do: this.#up[event.part] ? 'connect' : 'disconnect' })
        break
      case 'crash':
        await this.#crash(event.part)
        await this.#open(event.part)
        break
      case 'copy': {
        const to = join(this.#root, `copy-${this.#folders++}`)
        await this.#tell(event.part, { do: 'copy', to })
        this.#copies[event.part] = to
        break
      }
      case 'restore':
        await this.#restore(event.part)
        break
      case 'cut after store': {
        const [next] = this.#wire.ledger.slice(this.#turn.ledger)
        if (next === undefined || !this.#up.ledger) break
        this.#turn.ledger++
        await this.#tell('ledger', { do: 'deliver', messages: [next], cut: 'after store' })
        await this.#open('ledger')
        break
      }
      case 'reboot':
        await this.#crash('gateway')
        this.#boot++
        await this.#open('gateway')
        break
      case 'prune':
        await this.#tell('gateway', { do: 'prune' })
        break
      case 'wait':
        await this.#wait(6000)
        break
      default:
        if (this.#options.onChain) await this.#tell('ledger', { do: event.kind })
    }
  }

  /** The faults end: both meet, readings go on, and what has no receipt is sent until it has one. */
  async drain(): Promise<void> {
    for (const name of ['gateway', 'ledger'] as const) {
      if (!this.#up[name]) await this.happen({ kind: 'link', part: name })
    }
    for (let round = 0; round < 80; round++) {
      if (round % 4 === 0) await this.#read(1)
      await this.#catchUp()
      if (this.#isSettled()) break
    }
    const { faults } = (await this.#tell('ledger', { do: 'audit' })) as LedgerAnswer
    const [most, booked] = [this.#wh - firstWh, this.#ledger?.minted]
    const onChain = this.#options.onChain ? this.#ledger?.chain?.final.counted : most
    const told = { ...this.#gateway, freed: undefined, sent: undefined, ledgerHead: this.#ledger?.head }
    demand(this.#isSettled(), `the outbox does not empty: ${JSON.stringify(told)}`)
    demand(booked === most, `${booked} Wh are booked, the meter has counted ${most}`)
    demand(onChain === most, `${onChain} Wh are counted on the chain, the meter has counted ${most}`)
    const lost = this.#signed.filter((hash) => !this.#held.has(hash)).length
    const mayLose = this.#restores > 0 && this.#options.keepsAll !== true
    demand(lost === 0 || mayLose, `${lost} of ${this.#signed.length} records are lost`)
    demand(faults?.length === 0, `the audit finds ${JSON.stringify(faults)}`)
  }

  async end(): Promise<void> {
    for (const name of ['gateway', 'ledger'] as const) await this.#parts[name].ask({ do: 'close', now: this.#now })
    rmSync(this.#root, { recursive: true, force: true })
  }

  // A new epoch that was opened meanwhile says nothing before its first record.
  #isSettled(): boolean {
    const last = this.#signed.at(-1)
    const { waiting, head, confirmed } = this.#gateway ?? {}
    return waiting === 0 && head === last && confirmed === last && this.#ledger?.head === last
  }

  async #read(wh: number): Promise<void> {
    this.#now += 60_000
    this.#wh += wh
    await this.#tell('gateway', { do: 'read', wh: this.#wh })
    this.#signed.push(this.#gateway?.head ?? '')
  }

  async #wait(ms: number): Promise<void> {
    this.#now += ms
    await this.#tell('gateway', { do: 'tick' })
    await this.#tell('ledger', { do: 'tick' })
  }

  // Longer than the longest pause of an uplink; then everything is said that both have to say.
  async #catchUp(): Promise<void> {
    await this.#wait(301_000)
    for (let turn = 0; turn < 50; turn++) {
      this.#now += 20
      await this.#flow('ledger', Number.POSITIVE_INFINITY)
      if (this.#options.onChain) {
        await this.#tell('ledger', { do: 'mine' })
        await this.#tell('ledger', { do: 'look' })
      }
      await this.#flow('gateway', Number.POSITIVE_INFINITY)
      if (this.#turn.ledger === this.#wire.ledger.length) return
    }
  }

  async #flow(to: PartName, count: number): Promise<void> {
    if (!this.#up[to]) return
    const messages = this.#wire[to].slice(this.#turn[to], this.#turn[to] + count)
    this.#turn[to] += messages.length
    await this.#deliver(to, messages)
  }

  async #deliver(to: PartName, messages: readonly WireMessage[]): Promise<void> {
    if (this.#up[to] && messages.length > 0) await this.#tell(to, { do: 'deliver', messages })
  }

  async #crash(name: PartName): Promise<void> {
    if (this.#options.kills === true) await this.#parts[name].kill()
    else await this.#tell(name, { do: 'crash' })
  }

  async #open(name: PartName): Promise<void> {
    const { mutant, onChain } = this.#options
    if (name === 'ledger') this.#held.clear()
    const start = { epoch: 0, sequence: 0, counted: 0 }
    const chain = this.#ledger?.chain ?? { tip: start, final: start }
    const own = name === 'gateway' ? { boot: `boot-${this.#boot}` } : onChain ? { chain } : {}
    await this.#tell(name, { do: 'open', dir: this.#dirs[name], mutant, ...own })
    if (this.#up[name]) await this.#tell(name, { do: 'connect' })
  }

  async #restore(name: PartName): Promise<void> {
    const copy = this.#copies[name]
    if (copy === undefined || this.#restores === mostRestores) return
    this.#restores++
    await this.#crash(name)
    // The copy itself is kept: it may be restored again.
    this.#dirs[name] = copy
    await this.#open(name)
    const again = join(this.#root, `copy-${this.#folders++}`)
    await this.#tell(name, { do: 'copy', to: again })
    this.#copies[name] = again
  }

  async #tell(name: PartName, command: object): Promise<unknown> {
    const answer = (await this.#parts[name].ask({ ...command, now: this.#now })) as GatewayAnswer & LedgerAnswer
    demand(answer.failures.length === 0, answer.failures.join())
    this.#wire[name === 'gateway' ? 'ledger' : 'gateway'].push(...answer.sent)
    if (name === 'ledger') this.#checkLedger(answer)
    else this.#checkGateway(answer)
    return answer
  }

  #checkLedger(answer: LedgerAnswer): void {
    this.#ledger = answer
    for (const { hash, wh } of answer.accepted) {
      this.#accepted.set(hash, wh)
      this.#held.add(hash)
    }
    this.#finalWh = Math.max(this.#finalWh, answer.chain?.final.register ?? 0)
    demand(!answer.frozen, 'something was signed twice')
    const [most, counted] = [this.#wh - firstWh, Math.max(answer.minted, answer.chain?.tip.counted ?? 0)]
    demand(counted <= most, `${counted} Wh are counted, the meter has counted ${most}`)
  }

  #checkGateway(answer: GatewayAnswer): void {
    this.#gateway = answer
    for (const hash of answer.freed) {
      if (this.#freed.has(hash)) continue
      this.#freed.add(hash)
      const wh = this.#accepted.get(hash)
      demand(wh !== undefined, `${hash.slice(0, 8)} is freed, and no ledger ever held it`)
      const isFinal = !this.#options.onChain || (wh ?? 0) <= this.#finalWh
      demand(isFinal, `${hash.slice(0, 8)} is freed, and the chain may still undo it`)
    }
  }
}

function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}
