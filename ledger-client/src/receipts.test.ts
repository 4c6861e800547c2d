import { parseReceipt } from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, openRig, tempDir, testSigner } from '../test/rig.ts'
import { Receipts } from './receipts.ts'

test('SPEC-71: a session is the time of its start, and later than the one before, whatever the clock does', (t) => {
  const dataDir = tempDir(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const signer = testSigner(9100)
  const sessions = [0, 0, -5000, 60_000].map((ms) => {
    const { engine, clock } = openRig(t, { dataDir })
    clock.ms += ms
    const { text } = new Receipts(engine, signer, clock).make(roof.id, { resend: false })
    engine.close()
    return Number.parseInt(parseReceipt(text, signer.publicKey, fastVerifier).session, 16)
  })
  const [start = 0] = sessions
  t.deepEqual(
    sessions.map((session) => session - start),
    [0, 1, 2, 60_000],
  )
})

test('SPEC-71: a ledger whose past session is not known begins at its clock, and is heard', (t) => {
  const { engine, clock } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const signer = testSigner(9101)
  engine.db.write(() => engine.db.prepare('DELETE FROM receipt_session').run())
  const { text } = new Receipts(engine, signer, clock).make(roof.id, { resend: false })
  t.is(Number.parseInt(parseReceipt(text, signer.publicKey, fastVerifier).session, 16), clock.ms)
})
