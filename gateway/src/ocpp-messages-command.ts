import { once } from 'node:events'
import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { openExistingStore } from './store/database.ts'
import { type FrameOutcome, type JournalRow, OcppJournal } from './store/ocpp-journal.ts'

export interface MessagesOrder {
  readonly station: string | undefined
  readonly outcome: FrameOutcome | undefined
  readonly asJson: boolean
}

const outcomeWords: Readonly<Record<FrameOutcome, string>> = {
  accepted: 'taken',
  mended: 'mended',
  quarantined: 'put aside',
}

/** `ocpp messages`: what stations sent, as it came, and what became of it. Also on a stopped gateway's data. */
export async function listMessages({ gateway }: GatewayConfig, output: Output, order: MessagesOrder): Promise<void> {
  const store = openExistingStore(gateway.dataDir, 'read')
  try {
    for (const row of new OcppJournal(store).rows(order)) {
      if (!output.write(`${order.asJson ? JSON.stringify(row) : tell(row)}\n`)) await once(output, 'drain')
    }
  } finally {
    store.close()
  }
}

// What strangers sent must not steer a terminal. Frames may hold card numbers, so they are told as JSON only.
function tell({ arrivedAt, station, action, outcome, notes }: JournalRow): string {
  const why = notes.length === 0 ? '' : `: ${notes.join('; ')}`
  const line = `${new Date(arrivedAt).toISOString()} ${station} ${action} ${outcomeWords[outcome]}${why}`
  return line.replace(/\p{Cc}/gu, '?')
}
