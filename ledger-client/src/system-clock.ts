import { type Clock, makeTimestamp } from '@wattline/protocol'

/** The machine's clock. The ledger dates only its own doings, so it claims nothing about synchronisation. */
export const systemClock: Clock = {
  now: () => makeTimestamp(Date.now()),
  status: () => 'I',
}
