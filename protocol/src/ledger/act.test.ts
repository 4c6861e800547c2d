import test from 'ava'
import { signerOf } from '../../test/arbitraries.ts'
import { samePublicKey } from '../attestation.ts'
import { signDocument } from '../document.ts'
import { parseAct, signAct } from './act.ts'

test('SPEC-157: an act says which entry its operator has signed, and is bound to every byte of it', (t) => {
  const operator = signerOf(50)
  const hash = 'ab'.repeat(32)
  const text = signAct({ entry: 7, hash }, operator)
  const act = parseAct(text)
  t.like(act, { entry: 7, hash, text })
  t.true(samePublicKey(act.key, operator.publicKey))
  for (const bad of [
    text.replace('"entry":7', '"entry":8'),
    text.replace('abab', 'abaa'),
    text.replace('WATT-ACT', 'WATT-HEAD'),
    signDocument('WATT-ACT', { v: 1, entry: 7, hash }, operator),
  ]) {
    t.throws(() => parseAct(bad), { code: 'operator/unsigned' })
  }
})
