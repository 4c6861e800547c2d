import { readFileSync, writeFileSync } from 'node:fs'
import test from 'ava'
import { runCommand } from '../../test/programs.ts'
import { openRelayRig, relayOnce } from '../../test/relay-rig.ts'

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
