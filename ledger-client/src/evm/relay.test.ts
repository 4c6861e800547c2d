import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseOcmfText } from '@wattline/protocol'
import test from 'ava'
import { connectGateway } from '../../test/gateway-client.ts'
import { freePort, runCommand, startProgram } from '../../test/programs.ts'
import { openRelayRig, relayAndKill, relayOnce, whileMining } from '../../test/relay-rig.ts'
import { lockRelay } from './relay.ts'

test('what the ledger has counted gets to the chain, the ledger open meanwhile', async (t) => {
  const { chain, engine, path, points } = await openRelayRig(t, 2)
  for (const [i, { device }] of points.entries()) {
    engine.ingest([1400n, 1900n].map((wh) => device.read({ export: wh })))
    // A new epoch of the same key, as after a restored backup.
    if (i === 0) device.restore()
    if (i === 0) engine.ingest([device.read({ export: 2100n })])
    // Neither a jump nor a silent meter counts, at either place.
    engine.ingest([device.read({ export: 99_000_000n }), device.read({}, { state: 'no-answer' })])
  }
  // Killed while it works: whatever it has sent by then was taken, or is sent again.
  await whileMining(chain, () => relayAndKill(path, 700))
  const { code, stdout, stderr } = await relayOnce(chain, path)
  t.is(code, 0, stdout + stderr)
  for (const [i, { device, owner }] of points.entries()) {
    t.is(await chain.balanceOf(owner), i === 0 ? 1100n : 900n)
    t.is(engine.registry.get(device.id)?.mintedWh, await chain.balanceOf(owner), 'as the ledger itself')
  }
  writeFileSync(path, readFileSync(path, 'utf8').replace(/evm:.*\n/, ''))
  const none = await runCommand(['relay', '--config', path, '--once'])
  t.deepEqual([none.code, /section evm expected/.test(none.stderr)], [78, true])
})

test('SPEC-170: backend evm: receipts come with finality, and stand after kill -9 without a node', async (t) => {
  const { chain, engine, path, folder, points } = await openRelayRig(t, 1)
  const [point] = points
  if (point === undefined) return t.fail()
  const { device, owner } = point
  engine.close()
  const port = await freePort()
  const sqlite = readFileSync(path, 'utf8').replace('port: 0', `port: ${port}`)
  writeFileSync(path, sqlite.replace('./data }', './data, backend: evm }'))
  let program = await startProgram(t, path)
  const gateway = await connectGateway(t, program.url, { ledgerKey: program.publicKey })
  await gateway.send(device.read({ export: 1700n }), device.read({}, { state: 'no-answer' }))
  const before = await gateway.receipt(({ sequence }) => sequence === 1)
  t.is(before.sequence, 1, 'what had a receipt before the chain counted keeps it')
  t.throws(() => lockRelay(join(folder, 'data')), { code: 'storage/locked' }, 'one relayer for one ledger')
  const after = await whileMining(chain, () => gateway.receipt(({ sequence }) => sequence === 3))
  t.is(after.hash, hashOfLast(device.texts))
  t.is(await chain.balanceOf(owner), 700n)
  t.is(await program.kill('SIGKILL'), null)
  await chain.stop()
  gateway.receipts.length = 0
  program = await startProgram(t, path)
  const again = await gateway.greet(device.id)
  t.deepEqual([again.sequence, again.hash], [3, after.hash])
  t.is(await program.kill('SIGTERM'), 0)
})

const hashOfLast = (texts: readonly string[]) => parseOcmfText(texts.at(-1) ?? '').hash
