import { join } from 'node:path'
import { formatPublicKey, makeSigner } from '@wattline/protocol'
import test from 'ava'
import { runCommand, writeConfig } from '../test/programs.ts'
import { Device, fastVerifier, openRig } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import { formatEntry, readEntries } from './entries.ts'
import { makeKeyFile, readKeyFile } from './ledger-key.ts'

test('SPEC-91: an operator corrects and limits, and lists the journal; amounts are whole', async (t) => {
  const { path, folder } = writeConfig(t, { port: 0 })
  const { engine } = openRig(t, { dataDir: join(folder, 'data') })
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 500n })])
  const claim = engine.journal.find(`gw-1/roof#${roof.epoch}/2`)
  engine.close()
  const run = (...args: readonly string[]) => runCommand([args[0] ?? '', '--config', path, ...args.slice(1)])

  const corrected = await run('correct', '--entry', String(claim), '--amount', '20', '--reason', 'wrong meter')
  t.like(JSON.parse(corrected.stdout), { corrects: claim })
  t.is((await run('limit', '--owner', 'bob', '--most', '100')).code, 0)
  t.is((await run('correct', '--entry', String(claim), '--amount', '0.5', '--reason', 'x')).code, 64)
  const next = join(folder, 'next.key')
  makeKeyFile(next)
  const key = formatPublicKey(makeSigner(readKeyFile(next)).publicKey)
  t.like(JSON.parse((await run('operator-key', '--next', next)).stdout), { number: 2, key })
  const late = await run('limit', '--owner', 'bob')
  t.is(late.code, 78)
  t.regex(late.stderr, /operator\/wrong-key/)

  const { entries } = JSON.parse((await run('entries', '--json', '--account', 'owner:alice')).stdout)
  t.deepEqual(
    entries.map(({ kind, postings }: { kind: string; postings: { amount: number }[] }) => [kind, postings[0]?.amount]),
    [
      ['claim', 500],
      ['correction', -20],
    ],
  )
  t.like(entries[1], { note: { corrects: claim, amount: '20', reason: 'wrong meter' }, claim: `correction:${claim}` })
  const { db } = openRig(t, { dataDir: join(folder, 'data') }).engine
  const [limit] = [...readEntries(db, { kind: 'limit' })].map(formatEntry)
  t.regex(limit ?? '', /^\d+ {2}\S+ {2}limit .*"owner":"bob","asset":"WATT","most":"100"/)
  t.deepEqual(auditLedger(db, fastVerifier).faults, [])
})
