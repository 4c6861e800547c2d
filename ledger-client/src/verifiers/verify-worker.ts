import { workerData } from 'node:worker_threads'
import { pickVerifier } from './pick.ts'
import { SharedBatch } from './shared-batch.ts'
import type { WorkerStart } from './two-threads.ts'

const { memory, verifier: name }: WorkerStart = workerData
const verifier = await pickVerifier(name)
new SharedBatch(memory).serve(({ payload, signature, publicKey }) => verifier.verify(payload, signature, publicKey))
