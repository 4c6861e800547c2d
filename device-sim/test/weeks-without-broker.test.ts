import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { measureIdleNode } from './process-memory.ts'
import { listMemoryProblems, runWithoutBroker } from './weeks-without-broker.ts'

test('three days without a broker, a restart among them, drain and mint to the Wh', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'wattline-weeks-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const outcome = await runWithoutBroker({ folder, days: 3, seed: 7, drainTimeoutSeconds: 150 })
  t.deepEqual(outcome.problems, [])
  t.deepEqual(listMemoryProblems(outcome, await measureIdleNode()), [])
  t.true(outcome.failedPolls > 0, 'the virtual house has no faults')
})
