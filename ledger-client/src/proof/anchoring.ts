import { WattError } from '@wattline/protocol'
import type { Health } from '../health.ts'
import type { Logger } from '../log.ts'
import type { Anchors } from './anchors.ts'

const idleMs = 1000
/** Between two steps of one piece of work: the broker and the pipeline have their turns in between. */
const busyMs = 5

/**
 * Keeps the anchors going beside everything else; gives what stops it. Storage that is full or locked heals by itself.
 * Anything else is damage that a person must look at: the ledger goes on, only nothing more is anchored.
 */
export function startAnchoring(
  anchors: Pick<Anchors, 'step'>,
  { health, log }: { readonly health: Health; readonly log: Logger },
): () => void {
  let timer = setTimeout(turn, 0)
  function turn(): void {
    try {
      timer = setTimeout(turn, anchors.step() ? busyMs : idleMs)
    } catch (error) {
      const { code, message, retryable } = toWattError(error)
      if (retryable) timer = setTimeout(turn, idleMs)
      else if (health.raise({ code, message })) log.error({ event: 'anchor.failed', code, reason: message })
    }
  }
  return () => clearTimeout(timer)
}

function toWattError(error: unknown): WattError {
  return error instanceof WattError ? error : new WattError('anchor/invalid', String(error), { cause: error })
}
