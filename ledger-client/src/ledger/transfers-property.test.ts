import test from 'ava'
import { fastVerifier, openRig } from '../../test/rig.ts'
import { checkTransfers } from '../../test/transfer-model.ts'
import { auditLedger } from '../audit/audit.ts'

test('SPEC-89: whatever is interleaved: available + reserved + spent is constant, twice is once, expiry frees', (t) => {
  const rig = openRig(t)
  const seen = checkTransfers(rig, { numRuns: 60 })
  // What was never reached was never tested.
  for (const result of [
    'done',
    'repeated',
    'transfer/conflict',
    'transfer/expired',
    'transfer/insufficient',
    'transfer/settled',
    'transfer/unknown',
  ]) {
    t.true((seen.get(result) ?? 0) > 0, `${result}: ${JSON.stringify([...seen])}`)
  }
  t.deepEqual(auditLedger(rig.engine.db, fastVerifier).faults, [])
})
