import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const model = fileURLToPath(new URL('../../protocol/model/receipts.pml', import.meta.url))

interface Outcome {
  readonly errors: number
  readonly states: number
  /** The assertion that does not hold. */
  readonly violated: string
}

/** Lets Spin look at every state of the model of receipts that can be reached. */
export async function checkModel(...defines: readonly string[]): Promise<Outcome> {
  const cwd = mkdtempSync(join(tmpdir(), 'wattline-model-'))
  try {
    await run('spin', [...defines, '-a', model], { cwd })
    await run('cc', ['-O1', '-w', '-DSAFETY', '-DMEMLIM=6000', '-o', 'pan', 'pan.c'], { cwd })
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
