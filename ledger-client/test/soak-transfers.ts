// `make soak`: two-phase transfers in many random interleavings, each answer and each holding compared with a model, and
// the whole journal verified at the end.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { auditLedger } from '../src/audit/audit.ts'
import { openLedger } from '../src/engine.ts'
import { fastVerifier, TestClock } from './rig.ts'
import { checkTransfers } from './transfer-model.ts'

const [, , runs = '3000', seed = '1'] = process.argv

const dataDir = mkdtempSync(join(tmpdir(), 'wattline-soak-'))
const clock = new TestClock()
const engine = openLedger({ dataDir, clock, verifier: fastVerifier, enrolment: 'open' })
try {
  const seen = checkTransfers({ engine, clock, dataDir }, { numRuns: Number(runs), seed: Number(seed) })
  const { faults, counts } = auditLedger(engine.db, fastVerifier)
  if (faults.length > 0) throw new Error(JSON.stringify(faults))
  process.stdout.write(`${JSON.stringify({ ...Object.fromEntries(seen), entries: counts.entries })}\n`)
} finally {
  engine.close()
  rmSync(dataDir, { recursive: true })
}
