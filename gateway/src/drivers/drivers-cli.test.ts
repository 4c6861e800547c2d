import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { makeOneTimeCode, parseDriverList, parsePublicKey } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { Command } from 'commander'
import { makeTempFolder } from '../../test/signing-rig.ts'
import { openStore } from '../store/database.ts'
import { keepDriverList } from '../store/driver-list.ts'
import { addDriverCommands } from './drivers-cli.ts'
import { TokenHasher } from './token-hash.ts'

function cli(t: ExecutionContext) {
  const folder = makeTempFolder(t.teardown)
  const run = async (...args: string[]) => {
    let text = ''
    const output = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk)
        done()
      },
    })
    const program = new Command('test').exitOverride().configureOutput({ writeErr: () => {} })
    addDriverCommands(program, output)
    await program.parseAsync(['drivers', ...args], { from: 'user' })
    return text
  }
  const path = (name: string) => join(folder, name)
  return { run, path, file: ['--file', path('drivers.yaml')], key: ['--key', path('list.key')] }
}

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

test('a list from the first card to the signature: secrets are for their owner alone, and never printed whole', async (t) => {
  const { run, path, file, key } = cli(t)
  const spki = (await run('key', ...key)).trim()
  t.is((await run('key', ...key)).trim(), spki, 'a key is never made twice')
  t.is(modeOf(path('list.key')), '600')
  await run('add', '04AA11BB', '--driver', 'anna', '--group', 'family', '--until', '2027-01-31T18:00:00Z', ...file)
  await run('add', 'SHORT', '--blocked', ...file)
  t.is(modeOf(path('drivers.yaml')), '600')
  await t.throwsAsync(run('add', '04aa11bb', '--driver', 'bob', ...file), { message: /given twice/ })
  await t.throwsAsync(run('add', 'X', '--until', 'tomorrow', ...file), { message: /until: expected a time/ })
  const shown = await run('list', ...file)
  t.is(shown, '****11BB anna, group family, until 2027-01-31T18:00:00Z\n***** no account, blocked\n')

  const out = ['--out', path('drivers.list')]
  t.regex(await run('sign', ...file, ...key, ...out), /2 drivers, 1 groups, serial \d+/)
  const list = parseDriverList(readFileSync(path('drivers.list'), 'utf8').trimEnd(), parsePublicKey(spki))
  const hasher = new TokenHasher(list)
  t.is(list.drivers.find(({ hash }) => hash === hasher.hash('04aa11BB '))?.driver, 'anna')
  await run('sign', ...file, ...key, ...out)
  const next = parseDriverList(readFileSync(path('drivers.list'), 'utf8').trimEnd(), parsePublicKey(spki))
  t.true(next.serial > list.serial)
})

test('files that others can read, other keys and garbled files are refused with the remedy', async (t) => {
  const { run, path, file, key } = cli(t)
  const out = ['--out', path('drivers.list')]
  await t.throwsAsync(run('sign', ...file, ...key, ...out), { message: /cannot be read/ })
  await run('add', 'CARD', ...file)
  await t.throwsAsync(run('sign', ...file, ...key, ...out), { message: /make one with: drivers key/ })
  await run('key', ...key)
  chmodSync(path('list.key'), 0o640)
  await t.throwsAsync(run('sign', ...file, ...key, ...out), { message: /chmod 0600/ })
  chmodSync(path('list.key'), 0o600)
  chmodSync(path('drivers.yaml'), 0o604)
  await t.throwsAsync(run('list', ...file), { message: /mode 0604.*chmod 0600/ })
  chmodSync(path('drivers.yaml'), 0o600)
  writeFileSync(path('drivers.list'), 'shopping: milk\n')
  await t.throwsAsync(run('sign', ...file, ...key, ...out), { message: /something else.*not overwritten/ })
  writeFileSync(path('drivers.yaml'), 'version: 1\ndrivers: [{ token: A, group: "", colour: red }]\n')
  await t.throwsAsync(run('list', ...file), { message: /drivers\[0\]\.group.*\n.*drivers\[0\]\.colour/ })
  await t.throwsAsync(run('list'), { message: /either --file or --config/ })
})

test('what a gateway has in force is shown without it running, by hashes', async (t) => {
  const { run, path, file, key } = cli(t)
  const config = path('gateway.yaml')
  const spki = (await run('key', ...key)).trim()
  writeFileSync(
    config,
    `version: 1
gateway: { id: gw-1, dataDir: ./data }
buses: [{ id: lan, tcp: { host: 127.0.0.1, port: 9 } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }]
ocpp: { host: 127.0.0.1, port: 0 }
drivers: { listFile: ./drivers.list, listKey: ${spki} }
`,
  )
  const store = openStore(path('data'))
  t.teardown(() => store.close())
  t.regex(await run('list', '--config', config), /no list is in force/)
  await run('add', '04AA11BB', '--driver', 'anna', ...file)
  await run('sign', ...file, ...key, '--out', path('drivers.list'))
  const text = readFileSync(path('drivers.list'), 'utf8').trimEnd()
  const { serial } = parseDriverList(text, parsePublicKey(spki))
  keepDriverList(store, { publicKey: spki, serial, text })
  t.regex(await run('list', '--config', config), new RegExp(`^serial ${serial}, made .*\n[0-9a-f]{12} anna\n$`))
})

test('the code of a reservation is printed from the file that only its holder can read', async (t) => {
  const { run, path } = cli(t)
  const code = { secret: '1234567890123456', validitySeconds: 3600, length: 8 }
  const content = { station: 'CP1', connector: 1, until: 1_900_000_000_000, code }
  writeFileSync(path('code'), JSON.stringify(content), { mode: 0o600 })
  const slot = () => Math.floor(Date.now() / 3_600_000)
  const before = slot()
  const printed = await run('code', '--code-file', path('code'))
  const codes = [before, slot()].map((one) => makeOneTimeCode(code, one))
  t.true(codes.includes(printed.slice(0, 8)))
  t.regex(printed, /^[0-9a-zA-Z]{8} \(another in \d+ s\)\n$/)
  chmodSync(path('code'), 0o644)
  await t.throwsAsync(run('code', '--code-file', path('code')), { message: /chmod 0600/ })
})
