import { workerData } from 'node:worker_threads'
import { SharedBatch } from '../src/verifiers/shared-batch.ts'
import type { WorkerStart } from '../src/verifiers/two-threads.ts'

// A second thread that takes a signature, says that it has it, and then does nothing more: it ends with an error, or
// hangs for ever, as its address says.

const { memory }: WorkerStart = workerData
const batch = new SharedBatch(memory)
batch.serve(() => {
  if (import.meta.url.endsWith('?hangs')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  throw new Error('out of memory')
})
