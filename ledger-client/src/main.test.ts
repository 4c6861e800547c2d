import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { formatPublicKey, signOrder } from '@wattline/protocol'
import test from 'ava'
import { connectGateway } from '../test/gateway-client.ts'
import { freePort, runCommand, startProgram, writeConfig } from '../test/programs.ts'
import { Device, startMs, testSigner } from '../test/rig.ts'
import { databaseFile } from './store/database.ts'

test('the config is checked and printed, or refused with 78', async (t) => {
  const { path } = writeConfig(t, { port: 1883 })
  const good = await runCommand(['--config', path, '--check-config'])
  t.is(good.code, 0, good.stderr)
  t.like(JSON.parse(good.stdout), { version: 1, ledger: { enrolment: 'open', verifier: 'auto' } })
  writeFileSync(path, 'version: 1\nledger: {}\n')
  const bad = await runCommand(['--config', path, '--check-config'])
  t.is(bad.code, 78)
  t.regex(bad.stderr, /config\/invalid: .*ledger\.dataDir/s)
  t.is((await runCommand(['--config', '/nowhere.yaml'])).code, 78)
})

test('a wrong call is told with 64', async (t) => {
  for (const args of [
    [],
    ['--nonsense'],
    ['fly'],
    ['trace', '--config', 'x'],
    ['balances'],
    ['enrol', '--config', 'x', '--point', 'a/b', '--role', 'king'],
  ]) {
    const { code, stderr } = await runCommand(args)
    t.is(code, 64, args.join(' '))
    t.not(stderr, '')
  }
})

test('a port that is taken is told with 69, a second ledger on the same data with 75', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => blocker.once('listening', resolve))
  t.teardown(() => blocker.close())
  const address = blocker.address()
  const taken = writeConfig(t, { port: typeof address === 'object' && address !== null ? address.port : 0 })
  const occupied = await runCommand(['--config', taken.path])
  t.is(occupied.code, 69)
  t.regex(occupied.stderr, /port\/occupied/)
  const { path } = writeConfig(t, { port: 0 })
  const first = await startProgram(t, path)
  const second = await runCommand(['--config', path])
  t.is(second.code, 75)
  t.regex(second.stderr, /storage\/locked/)
  t.is(await first.kill('SIGTERM'), 0)
})

test('damaged data is told with 74', async (t) => {
  const { path, folder } = writeConfig(t, { port: 0 })
  mkdirSync(join(folder, 'data'))
  writeFileSync(join(folder, 'data', databaseFile), 'not a database '.repeat(1000))
  const { code, stderr } = await runCommand(['--config', path])
  t.is(code, 74)
  t.regex(stderr, /storage\/corrupt/)
})

test('before the first start there is nothing to look at, and it says so', async (t) => {
  const { path } = writeConfig(t, { port: 0 })
  const { code, stderr } = await runCommand(['balances', '--config', path])
  t.is(code, 78)
  t.regex(stderr, /no ledger data/)
})

test('the key is made once, for its owner only', async (t) => {
  const { path, folder } = writeConfig(t, { port: 0 })
  const first = await startProgram(t, path)
  await first.kill('SIGTERM')
  const second = await startProgram(t, path)
  t.deepEqual(first.publicKey, second.publicKey)
  t.is(statSync(join(folder, 'data', 'ledger.key')).mode & 0o777, 0o600)
  t.false(existsSync(join(folder, 'data', 'ledger.key.new')))
  t.false(
    readFileSync(join(folder, 'data', databaseFile)).includes(
      readFileSync(join(folder, 'data', 'ledger.key'), 'ascii').trim(),
    ),
  )
})

test('an operator enrols, looks, traces and revokes, while the ledger runs and after', async (t) => {
  const { path, folder } = writeConfig(t, { port: await freePort(), enrolment: 'closed' })
  const program = await startProgram(t, path)
  const gateway = await connectGateway(t, program.url, { ledgerKey: program.publicKey })
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  await gateway.send(roof.certificateMessage(), roof.read({ export: 100n }), roof.read({ export: 350n }))
  await gateway.receipt(({ refusal }) => refusal?.code === 'point/closed-enrolment')
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCommand([...args, '--config', path, '--json'])
    t.is(code, 0, stderr)
    return JSON.parse(stdout)
  }
  t.is((await json('quarantine')).messages.length, 3)

  const file = join(folder, 'roof.cert')
  writeFileSync(file, `${roof.certificate.text}\n`)
  t.is(
    (
      await runCommand([
        'enrol',
        '--config',
        path,
        '--point',
        'gw-1/roof',
        '--certificate',
        file,
        '--max-power',
        '5000000',
      ])
    ).code,
    0,
  )
  await gateway.receipt(({ sequence }) => sequence === 2)
  t.like((await json('points')).points[0], {
    point: 'gw-1/roof',
    state: 'active',
    owner: 'alice',
    role: 'producer',
    maxPowerW: 5_000_000,
    keys: [{ publicKeySpki: formatPublicKey(roof.signer.publicKey), last: null }],
  })
  const { records } = await json('records')
  t.deepEqual(
    records.map(({ outcome, text }: { outcome: string; text: string }) => [outcome, roof.texts.includes(text)]),
    [
      ['base', true],
      ['counted', true],
    ],
  )
  t.like(records, {
    0: { entry: null, kind: null, postings: [] },
    1: {
      kind: 'claim',
      postings: [
        { account: 'owner:alice', amount: 250 },
        { account: 'minted:gw-1/roof', amount: -250 },
      ],
    },
  })
  const trace = await json('trace', '--record', `gw-1/roof@${roof.epoch}/2`)
  t.like(trace, {
    record: { exportWh: 350 },
    from: { exportWh: 100 },
    entry: {
      kind: 'claim',
      postings: [
        { account: 'owner:alice', amount: 250 },
        { account: 'minted:gw-1/roof', amount: -250 },
      ],
    },
  })
  t.deepEqual(await json('trace', '--entry', String(trace.entry.id)), trace)
  t.like(await json('balances'), {
    owners: [{ owner: 'alice', wattWh: 250, gridWh: 0 }],
    mintedWh: 250,
    burnedWh: 0,
    supplyWh: 250,
    balanced: true,
  })
  t.like(await json('verify'), { ok: true, faults: [] })

  const revoked = await runCommand(['revoke', '--config', path, '--point', 'gw-1/roof', '--after-sequence', '2'])
  t.like(JSON.parse(revoked.stdout), { point: 'gw-1/roof', lastSequence: 2, acceptedAfter: 0 })
  await gateway.send(roof.read({ export: 400n }))
  await gateway.receipt(({ refusal }) => refusal?.code === 'point/revoked')
  t.is(await program.kill('SIGTERM'), 0)
  for (const name of ['balances', 'points', 'quarantine', 'verify', 'records']) {
    const { code, stdout } = await runCommand([name, '--config', path])
    t.is(code, 0, name)
    t.regex(stdout, /gw-1\/roof|nothing wrong/)
  }
  t.is((await runCommand(['trace', '--config', path, '--record', 'gw-1/roof@1/1'])).code, 64)
})

test('SPEC-93: a point is enrolled with its owner’s acceptance, where the config demands it', async (t) => {
  const { path, folder } = writeConfig(t, { port: 0, enrolment: 'signed' })
  const roof = new Device({ meter: 'roof', role: 'producer' })
  const { id: point, certificate } = roof
  const [file, acceptance] = [join(folder, 'roof.cert'), join(folder, 'accept.txt')]
  writeFileSync(file, `${certificate.text}\n`)
  const action = { do: 'accept', certificate: certificate.hash, owner: 'alice' } as const
  writeFileSync(acceptance, signOrder({ point, action, issuedAt: startMs }, testSigner(6000)).text)
  const enrol = ['enrol', '--config', path, '--point', point, '--certificate', file]
  const unsigned = await runCommand(enrol)
  t.is(unsigned.code, 65)
  t.regex(unsigned.stderr, /order\/unsigned/)
  const { code, stdout, stderr } = await runCommand([...enrol, '--acceptance', acceptance])
  t.is(code, 0, stderr)
  t.like(JSON.parse(stdout), { point, action: 'accept', waits: false })
})
