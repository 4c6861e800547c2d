// `make bench`: runs each bench in turn. One that fails does not keep the others from their figures.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const benches = [
  'protocol/bench/frames.ts',
  'gateway/bench/sign-and-store.ts',
  'gateway/bench/ocpp-messages.ts',
  'gateway/bench/card-to-accepted.ts',
  'ledger-client/bench/end-to-end.ts',
  'ledger-client/bench/verify-pipeline.ts',
  'ledger-client/bench/journal-entries.ts',
  'device-sim/bench/receipt-latency.ts',
  'device-sim/bench/gateway-rss.ts',
  'device-sim/bench/start-to-first-record.ts',
  'device-sim/bench/bus-utilisation.ts',
  'device-sim/bench/dead-meters.ts',
  'device-sim/bench/four-lines.ts',
]

// `node protocol/bench/run.ts bus dead`: only those whose path holds one of the words.
const wanted = process.argv.slice(2)
const chosen = benches.filter((path) => wanted.length === 0 || wanted.some((word) => path.includes(word)))
const failed = chosen.filter((path) => {
  const script = fileURLToPath(new URL(`../../${path}`, import.meta.url))
  return spawnSync(process.execPath, [script], { stdio: 'inherit' }).status !== 0
})
if (failed.length > 0) process.stderr.write(`failed: ${failed.join(', ')}\n`)
process.exitCode = failed.length === 0 && chosen.length > 0 ? 0 : 1
