import { parentPort } from 'node:worker_threads'
import { pickVerifier } from '../src/verifiers/pick.ts'

/** Signatures to check in another thread. */
export interface Job {
  readonly publicKey: Uint8Array
  readonly items: readonly { readonly bytes: Uint8Array; readonly signature: Uint8Array }[]
}

const verifier = await pickVerifier('auto')
parentPort?.on('message', ({ publicKey, items }: Job) => {
  parentPort?.postMessage(items.map(({ bytes, signature }) => verifier.verify(bytes, signature, publicKey)))
})
