import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

/** A log as a node tells it. */
export interface Log {
  readonly address: string
  readonly topics: string[]
  readonly data: string
}

export interface TransactionReceipt {
  readonly status: string
  readonly gasUsed: string
  readonly contractAddress: string | null
  readonly logs: readonly Log[]
}

/** A transaction that an unlocked account sends. */
export interface Call {
  readonly from: string
  readonly to?: string
  readonly data: string
  readonly gas?: bigint
}

// Where `make chain` puts it.
const require = createRequire(new URL('../contracts/package.json', import.meta.url))
const architecture = process.arch === 'x64' ? 'amd64' : process.arch

/** When the chain begins: fixed, so that records and gas are the same in every run. */
export const genesisSeconds = 1_795_255_200

/**
 * A chain of one's own. Blocks come only when they are asked for: with automatic mining, anvil left batched
 * transactions lying.
 */
export class Anvil {
  readonly #child: ChildProcess
  readonly url: string
  #id = 0

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  static async start(): Promise<Anvil> {
    // The package's own launcher starts the binary as a child that outlives it when it is killed.
    const binary = require.resolve(`@foundry-rs/anvil-${process.platform}-${architecture}/bin/anvil`)
    const options = ['--port', '0', '--no-mining', '--hardfork', 'prague', '--gas-limit', '60000000']
    const child = spawn(binary, [...options, '--timestamp', String(genesisSeconds)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    for await (const line of createInterface({ input: child.stdout })) {
      const address = /Listening on (\S+)/.exec(line)?.[1]
      if (address === undefined) continue
      child.stdout.resume()
      return new Anvil(child, `http://${address}`)
    }
    throw new Error('anvil ended before it listened')
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }

  async rpc<T = unknown>(method: string, ...params: unknown[]): Promise<T> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: ++this.#id, method, params })
    const response = await fetch(this.url, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    const answer = (await response.json()) as { result?: T; error?: { message: string; data?: string } }
    if (answer.error !== undefined) throw new RpcError(`${method}: ${answer.error.message}`, answer.error.data)
    return answer.result as T
  }

  /** Puts a transaction among those that the next block takes. */
  send({ from, to, data, gas = 30_000_000n }: Call): Promise<string> {
    return this.rpc('eth_sendTransaction', { from, to, data, gas: `0x${gas.toString(16)}` })
  }

  /** Makes a block with everything that waits; `atSeconds` sets its time. */
  async mine(atSeconds?: number): Promise<void> {
    if (atSeconds !== undefined) await this.rpc('evm_setNextBlockTimestamp', atSeconds)
    await this.rpc('evm_mine')
  }

  async receipt(hash: string): Promise<TransactionReceipt> {
    const receipt = await this.rpc<TransactionReceipt | null>('eth_getTransactionReceipt', hash)
    if (receipt === null) throw new Error(`transaction ${hash} is in no block`)
    return receipt
  }

  call(to: string, data: string, from?: string): Promise<string> {
    return this.rpc('eth_call', { to, data, from, gas: '0x3000000' }, 'latest')
  }
}

/** What a node answers instead of a result; `data` is what a contract reverted with. */
export class RpcError extends Error {
  readonly data: string | undefined

  constructor(message: string, data: string | undefined) {
    super(message)
    this.data = data
  }
}
