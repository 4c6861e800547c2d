import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { openRig, tempDir } from '../../test/rig.ts'
import type { Posting } from './journal.ts'
import type { TransferOrder } from './transfers.ts'

// SPEC-88: amounts are integers. Three fences: types, a lint rule where amounts are worked with, and the columns. Each
// is shown to hold.

const root = fileURLToPath(new URL('../../..', import.meta.url))

test('SPEC-88: no floating point number passes the types for an amount', (t) => {
  const order: TransferOrder = { id: 'x', asset: 'WATT', from: 'a', to: 'b', amount: 3n, kind: 'payment' }
  const posting: Posting = { account: 'owner:a', amount: 3n }
  // @ts-expect-error: a number is no amount
  const asNumber: TransferOrder = { ...order, amount: 0.3 }
  // @ts-expect-error: a number is no amount
  const line: Posting = { ...posting, amount: 1 }
  // @ts-expect-error: integers and floating point numbers do not mix
  const half = () => posting.amount * 0.5
  t.throws(half, { instanceOf: TypeError }, 'and neither do they at run time')
  t.throws(() => openRig(t).engine.transfers.transfer(asNumber), { message: /amount/ })
  t.is(typeof line.amount, 'number')
})

test('SPEC-88: the lint refuses every way from an amount to a floating point number, and back', async (t) => {
  const code = [
    'export const a = Number(3n)',
    'export const b = BigInt(Math.round(0.3))',
    "export const c = parseFloat('1')",
    "export const d = parseInt('1', 10)",
  ].join('\n')
  // A project of its own with our rules, as the lint looks at files by their place.
  const folder = tempDir(t)
  copyFileSync(join(root, 'biome.json'), join(folder, 'biome.json'))
  const places = ['ledger-client/src/ledger', 'protocol/src/ledger', 'ledger-client/src']
  for (const place of places) {
    mkdirSync(join(folder, place), { recursive: true })
    writeFileSync(join(folder, place, 'new.ts'), code)
  }
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  const rule = '--only=style/noRestrictedGlobals'
  const lint = (place: string) =>
    promisify(execFile)(process.execPath, [biome, 'lint', '--vcs-enabled=false', rule, join(place, 'new.ts')], {
      cwd: folder,
    }).then(
      ({ stdout }) => stdout,
      ({ stdout, stderr }: { stdout: string; stderr: string }) => `${stdout}${stderr}`,
    )
  const [inside, protocol, outside] = await Promise.all(places.map(lint))
  for (const name of ['Number', 'Math', 'parseFloat', 'parseInt']) {
    t.regex(inside ?? '', new RegExp(`global variable ${name}`), name)
    t.regex(protocol ?? '', new RegExp(`global variable ${name}`), name)
  }
  t.notRegex(outside ?? '', /global variable/, 'times and ids are numbers elsewhere')
})

test('SPEC-88: no column holds a floating point number', (t) => {
  const { db } = openRig(t).engine
  const tables = db
    .prepare<[], { name: string; strict: number }>(
      "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )
    .all()
  t.true(tables.length > 10)
  for (const { name, strict } of tables) {
    t.is(strict, 1, name)
    const types = db.prepare<[string], { type: string }>('SELECT type FROM pragma_table_info(?)').all(name)
    for (const { type } of types) t.true(['INTEGER', 'TEXT', 'BLOB'].includes(type), `${name}: ${type}`)
  }
  for (const sql of [
    "INSERT INTO balance VALUES ('owner:a', 0.5)",
    "INSERT INTO account_limit VALUES ('a', 'WATT', 0.5, 1)",
  ]) {
    t.throws(() => db.write(() => db.prepare(sql).run()), { message: /cannot store REAL value in INTEGER column/ })
  }
})
