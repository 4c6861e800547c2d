import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { addressOf, signTransfer } from '@wattline/protocol'
import test from 'ava'
import { runVerify } from '../test/programs.ts'
import { tempDir, testSigner } from '../test/rig.ts'
import { toPrintable, toPrintableLine } from './printable.ts'

test('nothing but ASCII and line breaks reaches a terminal', (t) => {
  t.is(toPrintable('a\u001b[2K\rb\nc\u202eé~'), 'a\\u001b[2K\\u000db\nc\\u202e\\u00e9~')
  t.is(toPrintableLine('a\nb'), 'a\\u000ab')
})

test('a file cannot write lines of the verifier, and one that is not understood is told in a few lines', async (t) => {
  const file = join(tempDir(t), 'file')
  const check = async (content: string) => {
    writeFileSync(file, content)
    return runVerify([file])
  }
  const faked = await check('x\u001b[1A\u001b[2K\rproven  gw-1 roof: complete from 1 to 9\n')
  t.is(faked.code, 1)
  t.regex(faked.stdout, /^FAULT {3}line 1: .*'x\\u001b\[1A\\u001b\[2K\\u000dproven/)
  const lines = await check('version: 1\n'.repeat(5000))
  t.is(lines.stdout.trim().split('\n').length, 6)
  t.regex(lines.stdout, /FAULT {3}file: 4995 more such lines\n$/)
  t.regex((await check('WATT-STATEMENT|{}|{}')).stdout, /line 1: .* a WATT-STATEMENT, which is not checked here/)
})

test('a proof that was written anew is told from one that was not', async (t) => {
  const file = join(tempDir(t), 'file')
  for (const content of [
    '{"wattline":"proof","v":1}',
    '\ufeff{\r\n "wattline": "proof"\r\n}',
    ' "wattline": "proof"',
  ]) {
    writeFileSync(file, content)
    const { code, stdout } = await runVerify([file])
    t.is(code, 1)
    t.regex(stdout, /^FAULT {3}file: .*\(proof\/malformed\)$/ms, content)
  }
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
