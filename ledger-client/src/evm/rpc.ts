import { WattError } from '@wattline/protocol'

/** A node of a chain. */
export interface Rpc {
  /** Asks; throws `evm/unreachable` (worth another try) or `evm/refused` (what the node said). */
  ask(method: string, ...params: readonly unknown[]): Promise<unknown>
}

const timeoutMs = 20_000

/** JSON-RPC over HTTP, as every node speaks it. `end` cuts short what is asked. */
export function makeRpc(url: string, end?: AbortSignal): Rpc {
  let id = 0
  const ends = end === undefined ? [] : [end]
  return {
    async ask(method, ...params) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params })
      const headers = { 'content-type': 'application/json' }
      let answer: unknown
      try {
        const signal = AbortSignal.any([...ends, AbortSignal.timeout(timeoutMs)])
        const response = await fetch(url, { method: 'POST', headers, body, signal })
        answer = await response.json()
      } catch (cause) {
        throw new WattError('evm/unreachable', `${method}: no answer from the chain's node`, { retryable: true, cause })
      }
      const { result, error } = (answer ?? {}) as { result?: unknown; error?: { message?: unknown; data?: unknown } }
      if (error !== undefined)
        throw new WattError('evm/refused', `${method}: ${String(error.message)}`, { cause: error.data })
      return result
    },
  }
}

/** A whole number that a node has told in hex. */
export function decodeQuantity(answer: unknown, what: string): bigint {
  if (typeof answer === 'string' && /^0x[0-9a-fA-F]{1,64}$/.test(answer)) return BigInt(answer)
  throw new WattError('evm/refused', `${what}: a number in hex expected, got '${String(answer).slice(0, 80)}'`)
}

/** The 32-byte words that a contract's function has answered. */
export function decodeWords(answer: unknown, what: string): readonly bigint[] {
  if (typeof answer !== 'string' || !/^0x([0-9a-fA-F]{64})*$/.test(answer)) {
    throw new WattError('evm/refused', `${what}: whole words expected, got '${String(answer).slice(0, 80)}'`)
  }
  return (answer.slice(2).match(/.{64}/g) ?? []).map((word) => BigInt(`0x${word}`))
}
