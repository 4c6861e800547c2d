// Starts a ledger with its embedded broker, and the gateway's half of this measurement against it.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { Program } from '../src/demo/programs.ts'

const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
const ledgerConfig = join(folder, 'ledger.yaml')
writeFileSync(
  ledgerConfig,
  stringify({
    version: 1,
    ledger: { dataDir: './ledger', enrolment: 'open' },
    mqtt: { embedded: { host: '127.0.0.1', port: 0 } },
  }),
)
const ledger = new Program('ledger', ['--config', ledgerConfig])
try {
  const { mqtt } = await ledger.event('ledger.started')
  await ledger.event('mqtt.connected')
  const measure = fileURLToPath(new URL('../../gateway/bench/receipt-latency.ts', import.meta.url))
  execFileSync(process.execPath, [measure, String(mqtt)], { stdio: 'inherit' })
} finally {
  await ledger.stop()
  rmSync(folder, { recursive: true })
}
