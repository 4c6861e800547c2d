import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'

const run = promisify(execFile)
const model = fileURLToPath(new URL('../../protocol/model/receipts.pml', import.meta.url))

interface Outcome {
  readonly errors: number
  readonly states: number
  /** The assertion that does not hold. */
  readonly violated: string
}

/** Lets Spin look at every state of the model that can be reached. */
async function check(...defines: readonly string[]): Promise<Outcome> {
  const cwd = mkdtempSync(join(tmpdir(), 'wattline-model-'))
  try {
    await run('spin', [...defines, '-a', model], { cwd })
    await run('cc', ['-O1', '-w', '-DSAFETY', '-DMEMLIM=1024', '-o', 'pan', 'pan.c'], { cwd })
    // More depth than there is: a search that is cut short proves nothing.
    const { stdout } = await run('./pan', ['-m100000', '-w22', '-n'], { cwd, maxBuffer: 1 << 24 })
    if (/max search depth too small|Search not completed|out of memory/.test(stdout) && !/assertion/.test(stdout)) {
      throw new Error(stdout)
    }
    return {
      errors: Number(/errors: (\d+)/.exec(stdout)?.[1] ?? Number.NaN),
      states: Number(/(\d+) states, stored/.exec(stdout)?.[1] ?? Number.NaN),
      violated: /assertion violated \(?(.*?)\)? \(at depth/.exec(stdout)?.[1] ?? '',
    }
  } finally {
    rmSync(cwd, { recursive: true })
  }
}

test('SPEC-70: in every order of loss, doubling, cuts, restores and reorgs, energy is booked once and receipts hold', async (t) => {
  const { errors, states, violated } = await check('-DRECORDS=2')
  t.is(errors, 0, violated)
  // Far fewer would mean that the model has come to a stop somewhere.
  t.true(states > 300_000, `${states} states`)
})

test('SPEC-80: booking what was added, instead of the difference of registers, counts energy twice', async (t) => {
  const { errors, violated } = await check('-DRECORDS=2', '-DMUTANT_DELTA')
  t.deepEqual([errors, violated], [1, 'tip.booked<=meter'])
})

test('SPEC-70: a receipt before finality frees what is undone afterwards', async (t) => {
  const { errors, violated } = await check('-DRECORDS=2', '-DMUTANT_EARLY')
  t.is(errors, 1)
  t.regex(violated, /gateway\.confirmed/)
})
