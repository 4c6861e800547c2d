import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseConsent, parseOrder } from '@wattline/protocol'
import test from 'ava'
import { Command } from 'commander'
import { writeConfig } from '../../test/programs.ts'
import { Device, openRig } from '../../test/rig.ts'
import { addPointCommands } from './point-command.ts'

/** Runs `point ...` and gives what it prints. */
async function point(...args: string[]): Promise<string> {
  const printed: string[] = []
  const program = new Command()
  addPointCommands(program, (text) => void printed.push(text))
  await program.parseAsync(['point', ...args], { from: 'user' })
  return printed.join('')
}

/** A ledger that demands signatures, two owners' keys, and a roof. */
function rig(t: Parameters<typeof writeConfig>[0] & Parameters<typeof openRig>[0]) {
  const { path, folder } = writeConfig(t, { port: 0, enrolment: 'signed' })
  const { engine } = openRig(t, { dataDir: join(folder, 'data'), enrolment: 'signed' })
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const [alice, bob] = ['11', '22'].map((byte, n) => file(`owner-${n}.key`, byte.repeat(32))) as [string, string]
  const roof = new Device({ meter: 'roof', role: 'producer' })
  return {
    engine,
    file,
    alice,
    bob,
    roof,
    certificate: file('roof.cert', roof.certificate.text),
    config: ['--config', path],
  }
}

test('SPEC-94: owners sign on any machine, whoever runs the ledger applies, and the journal shows the documents', async (t) => {
  const { engine, file, alice, bob, roof, certificate, config } = rig(t)
  const [{ address }, { publicKeySpki }] = (
    await Promise.all([alice, bob].map((key) => point('key', '--key-file', key)))
  ).map((text) => JSON.parse(text)) as [{ address: string }, { publicKeySpki: string }]
  const accept = file('a', await point('accept', '--key-file', alice, '--certificate', certificate, '--owner', address))
  t.like(JSON.parse(await point('apply', ...config, certificate, accept)), { action: 'accept', waits: false })
  const named = ['--key-file', alice, '--point', 'gw-1/roof']
  const offer = ['transfer', ...named, '--after', '0/0', '--owner', 'bob', '--to', publicKeySpki]
  const offered = file('offer', await point(...offer))
  await t.throwsAsync(point('apply', ...config, offered), { code: 'order/unsigned', message: /bob/ })
  const agreed = file('consent', await point('consent', '--key-file', bob, '--order', offered))
  t.like(JSON.parse(await point('apply', ...config, offered, agreed)), { action: 'transfer', waits: true })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 1n })])
  t.is(engine.registry.get(roof.id)?.terms.owner, 'bob')
  const { entries } = JSON.parse(await point('history', ...config, '--point', 'gw-1/roof', '--json'))
  t.deepEqual(
    entries.map(({ kind, note }: { kind: string; note: { documents?: string[] } }) => [kind, note.documents?.length]),
    [
      ['enrolment', 2],
      ['order', 2],
      ['enrolment', undefined],
    ],
  )
  t.regex(await point('history', ...config, '--point', 'gw-1/roof'), /order .*2 documents/)
})

test('SPEC-94: every order that an owner can give is signed as it was said', async (t) => {
  const { file, alice, bob } = rig(t)
  const named = ['--key-file', alice, '--point', 'gw-1/roof']
  const cap = await point('cap', ...named, '--max-power', '7400')
  t.deepEqual(parseOrder(cap.trim()).action, { do: 'cap', maxPowerW: 7400 })
  const revoke = await point('revoke', ...named, '--after', '1/2')
  t.deepEqual(parseOrder(revoke.trim()).action, { do: 'revoke', last: { epoch: 1, sequence: 2 } })
  const away = await point('move', ...named, '--after', '1/2')
  t.deepEqual(parseOrder(away.trim()).action, { do: 'move', after: { epoch: 1, sequence: 2 } })
  const moved = await point('move', ...named, '--after', '1/2', '--behind', 'gw-1/house')
  t.like(parseOrder(moved.trim()).action, { behind: 'gw-1/house' })
  const consent = await point('consent', '--key-file', bob, '--order', file('order', moved))
  t.is(parseConsent(consent.trim()).order, parseOrder(moved.trim()).hash)
  await t.throwsAsync(point('consent', '--key-file', bob, '--order', file('none', '')), { code: 'order/invalid' })
})
