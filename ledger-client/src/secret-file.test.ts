import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { tempDir } from '../test/rig.ts'
import { readSecretFile, writeSecretFile } from './secret-file.ts'

test('a secret is written once, for its owner alone, and leaves nothing beside it', (t) => {
  const folder = tempDir(t)
  const path = join(folder, 'secret')
  writeSecretFile(path, 'first')
  t.is(statSync(path).mode & 0o777, 0o600)
  t.throws(() => writeSecretFile(path, 'second'), { code: 'EEXIST' })
  t.is(readSecretFile(path, 'wallet/password'), 'first')
  t.deepEqual(readdirSync(folder), ['secret'])
})

test('what another process has half written under the same name is not touched', (t) => {
  const folder = tempDir(t)
  mkdirSync(folder, { recursive: true })
  const path = join(folder, 'secret')
  const drafts = [`${path}.new`, `${path}.1.new`]
  for (const draft of drafts) writeFileSync(draft, 'hal')
  writeSecretFile(path, 'whole')
  t.is(readFileSync(path, 'utf8'), 'whole')
  for (const draft of drafts) t.true(existsSync(draft))
})
