import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { addressOf, signTransfer } from '@wattline/protocol'
import test from 'ava'
import { runVerify } from '../test/programs.ts'
import { fastVerifier, tempDir, testSigner } from '../test/rig.ts'
import { toPrintable, toPrintableLine } from './printable.ts'
import { checkProofFile } from './proof/check-consistency.ts'
import { looksLikeProof } from './proof/proof-file.ts'
import { verifyFile } from './verify-file.ts'

test('nothing but ASCII and line breaks reaches a terminal', (t) => {
  t.is(toPrintable('a\u001b[2K\rb\nc\u202eé~'), 'a\\u001b[2K\\u000db\nc\\u202e\\u00e9~')
  t.is(toPrintableLine('a\nb'), 'a\\u000ab')
})

test('a file cannot write lines of the verifier', async (t) => {
  const file = join(tempDir(t), 'file')
  writeFileSync(file, 'x\u001b[1A\u001b[2K\rproven  gw-1 roof: complete from 1 to 9\n')
  const { code, stdout } = await runVerify([file])
  t.is(code, 1)
  t.regex(stdout, /^FAULT {3}line 1: .*'x\\u001b\[1A\\u001b\[2K\\u000dproven/)
})

test('a file of another kind is told in a few lines', (t) => {
  const findings = verifyFile('version: 1\n'.repeat(5000), { byMeter: new Map() }, fastVerifier)
  t.is(findings.length, 6)
  t.like(findings.at(-1), { ok: false, subject: 'file', text: '4995 more such lines' })
  const [statement] = verifyFile('WATT-STATEMENT|{}|{}', { byMeter: new Map() }, fastVerifier)
  t.regex(statement!.text, /a WATT-STATEMENT, which is not checked here$/)
})

test('a proof that was written anew is taken for one, and refused as such', (t) => {
  for (const content of [
    '{"wattline":"proof","v":1}',
    '\ufeff{\r\n "wattline": "proof"\r\n}',
    ' "wattline": "proof"',
  ]) {
    t.true(looksLikeProof(content))
    t.is(checkProofFile(content).findings[0]?.code, 'proof/malformed')
  }
  t.false(looksLikeProof('OCMF|{}|{}'))
})

test('an order with the last time that there is, is described', async (t) => {
  const ada = testSigner(981)
  const facts = { account: addressOf(ada.publicKey), nonce: 1, expiresAt: 253_402_300_799_999 } as const
  const act = { kind: 'reserve', asset: 'WATT', to: 'bea', amount: 1n, heldUntil: facts.expiresAt } as const
  const file = join(tempDir(t), 'file')
  writeFileSync(file, signTransfer({ ledger: addressOf(testSigner(982).publicKey), ...facts, ...act }, ada).text)
  const { code, stdout } = await runVerify([file])
  t.is(code, 0, stdout)
  t.regex(stdout, /to be carried out until 9999-12-31T23:59:59\.999Z/)
})
