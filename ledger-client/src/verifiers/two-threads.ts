import { Worker } from 'node:worker_threads'
import { type PublicKey, type SignatureVerifier, WattError } from '@wattline/protocol'
import { pickVerifier, type VerifierName } from './pick.ts'
import { isRegular, SharedBatch, type Signed } from './shared-batch.ts'

/** What the worker is given. */
export interface WorkerStart {
  readonly memory: SharedArrayBuffer
  readonly verifier: VerifierName
}

/** How the second thread is started. */
export interface ThreadOptions {
  /** How long it may take for its last signature before it is given up. */
  readonly patienceMs?: number
  /** What runs in it. */
  readonly worker?: URL
}

/** A verifier that likes to know beforehand what it will be asked. */
export interface ForesightedVerifier extends SignatureVerifier {
  /** Whatever it is told, what it answers stays the same: only how fast it does may change. */
  foresee(items: readonly Signed[]): void
}

/** Whether a verifier wants to be told. */
export function isForesighted(verifier: SignatureVerifier): verifier is ForesightedVerifier {
  return 'foresee' in verifier
}

/**
 * A verifier that can be told beforehand what it will be asked, and then checks that with two threads. What it foresees
 * it knows by its bytes: a verdict is only ever given for the very payload, signature and key that were checked. Where
 * the other thread is lost, this one does everything, and says so once.
 */
export class TwoThreads implements ForesightedVerifier {
  readonly name: string
  readonly #inner: SignatureVerifier
  readonly #batch = new SharedBatch()
  readonly #patienceMs: number
  readonly #lost: (error: WattError) => void
  #worker: Worker | undefined
  #shared = 0
  #foreseen = new Map<string, { readonly signed: Signed; readonly valid: boolean }>()

  constructor(
    inner: SignatureVerifier,
    verifier: VerifierName,
    lost: (error: WattError) => void,
    { patienceMs = 2000, worker: file = workerFile() }: ThreadOptions = {},
  ) {
    this.#inner = inner
    this.#patienceMs = patienceMs
    this.name = inner.name
    this.#lost = lost
    const start: WorkerStart = { memory: this.#batch.memory, verifier }
    const worker = new Worker(file, { workerData: start })
    worker.unref()
    worker.once('error', (error) => this.#lose(error))
    worker.once('exit', (code) => this.#lose(`it ended with ${code}`))
    this.#worker = worker
  }

  /** Whether the other thread had a part in what was foreseen last. */
  get isShared(): boolean {
    return this.#shared > 0
  }

  /** Checks what will be asked for next; what was foreseen before is forgotten. */
  foresee(items: readonly Signed[]): void {
    this.#foreseen.clear()
    this.#shared = 0
    let rest = items.filter(isRegular)
    while (rest.length > 0) {
      const done = this.#checkAll(rest)
      rest = rest.slice(done)
    }
  }

  verify(payload: Uint8Array, signature: Uint8Array, publicKey: PublicKey): boolean {
    const known = this.#foreseen.get(nameOf(signature))
    if (known !== undefined && isSame(known.signed, payload, publicKey)) return known.valid
    return this.#inner.verify(payload, signature, publicKey)
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #checkAll(items: readonly Signed[]): number {
    if (this.#worker === undefined) {
      for (const signed of items) this.#keep(signed, this.#check(signed))
      return items.length
    }
    const count = this.#batch.lay(items)
    const mine = new Set<number>()
    for (let at = this.#batch.take(); at !== undefined; at = this.#batch.take()) {
      const signed = items[at] as Signed // a ticket is below their count
      this.#keep(signed, this.#check(signed))
      mine.add(at)
    }
    for (const [at, signed] of items.slice(0, count).entries()) {
      if (!mine.has(at)) this.#keep(signed, this.#verdictOf(at, signed))
    }
    this.#shared += count - mine.size
    return count
  }

  #verdictOf(at: number, signed: Signed): boolean {
    const verdict = this.#worker === undefined ? undefined : this.#batch.verdict(at, this.#patienceMs)
    if (verdict === undefined) this.#lose(`no verdict after ${this.#patienceMs} ms`)
    return verdict ?? this.#check(signed)
  }

  #check({ payload, signature, publicKey }: Signed): boolean {
    return this.#inner.verify(payload, signature, publicKey)
  }

  #keep(signed: Signed, valid: boolean): void {
    this.#foreseen.set(nameOf(signed.signature), { signed, valid })
  }

  // The memory is never laid out anew after this: a thread that is only late finds nothing there to spoil.
  #lose(cause: unknown): void {
    const worker = this.#worker
    if (worker === undefined) return
    this.#worker = undefined
    void worker.terminate()
    const message = `verifier '${this.name}': the second thread is lost, one goes on: ${String(cause)}`
    this.#lost(new WattError('verifier/thread-lost', message, { cause }))
  }
}

/** A verifier that works with one thread or with two, until it is closed. */
export async function startVerifier(
  name: VerifierName,
  threads: number,
  lost: (error: WattError) => void,
): Promise<{ readonly verifier: SignatureVerifier; close(): Promise<void> }> {
  const inner = await pickVerifier(name)
  if (threads < 2) return { verifier: inner, close: () => Promise.resolve() }
  const verifier = new TwoThreads(inner, name, lost)
  return { verifier, close: () => verifier.close() }
}

// In a bundle the worker lies beside the program, under the folder that it has here.
function workerFile(): URL {
  const isSource = import.meta.url.endsWith('.ts')
  return new URL(isSource ? './verify-worker.ts' : './verifiers/verify-worker.mjs', import.meta.url)
}

function nameOf(signature: Uint8Array): string {
  return Buffer.from(signature.buffer, signature.byteOffset, signature.length).toString('latin1')
}

function isSame(known: Signed, payload: Uint8Array, publicKey: PublicKey): boolean {
  return Buffer.compare(known.payload, payload) === 0 && Buffer.compare(known.publicKey, publicKey) === 0
}
