import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { hardhatAccounts, hardhatMnemonic } from '../test/bip39-vectors.ts'
import { connectGateway } from '../test/gateway-client.ts'
import { freePort, runCommand, runWallet, startProgram, writeConfig } from '../test/programs.ts'
import { Device, tempDir } from '../test/rig.ts'

test('from words on paper to a payment that is booked once, however often its order is handed in', async (t) => {
  const folder = tempDir(t)
  const secret = (name: string, text: string) => {
    writeFileSync(join(folder, name), `${text}\n`, { mode: 0o600 })
    return join(folder, name)
  }
  const [wallet, passwordFile] = [join(folder, 'wallet'), secret('password', 'correct horse')]
  const place = ['--wallet', wallet, '--password-file', passwordFile]

  const slip = await runWallet([
    'recover',
    ...place,
    '--words-file',
    secret('slip', hardhatMnemonic.replace('junk', 'jnuk')),
  ])
  t.is(slip.code, 65)
  t.regex(slip.stderr, /wallet\/mnemonic: word 12, 'jnuk', is not in the list: junk/)
  t.false(existsSync(wallet))
  const recovered = await runWallet(['recover', ...place, '--words-file', secret('words', hardhatMnemonic)])
  t.is(recovered.stdout, `${hardhatAccounts[0]}\n`, recovered.stderr)
  t.is(statSync(wallet).mode & 0o777, 0o600)

  const httpPort = await freePort()
  const file = (name: string) => join(folder, name)
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('key.pem')]
  execFileSync('openssl', ['req', '-x509', ...newKey, '-out', file('cert.pem'), '-days', '2', ...subject], {
    stdio: 'ignore',
  })
  const tls = `tls: { certFile: ${file('cert.pem')}, keyFile: ${file('key.pem')} }`
  const more = `http: { host: 0.0.0.0, port: ${httpPort}, wallets: true, ${tls} }\n`
  const config = writeConfig(t, { port: 0, more })
  const ledger = await startProgram(t, config.path)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: hardhatAccounts[0] })
  const gateway = await connectGateway(t, ledger.url, { ledgerKey: ledger.publicKey })
  await gateway.send(roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 10_000n }))
  await gateway.receipt(({ sequence }) => sequence === 2)

  const https = `https://127.0.0.1:${httpPort}`
  const stranger = await runWallet(['balance', ...place, '--url', https])
  t.is(stranger.code, 69)
  t.regex(stranger.stderr, /ledger\/unreachable: .*no answer \(DEPTH_ZERO_SELF_SIGNED_CERT\)/)
  const url = ['--url', https, '--ca', file('cert.pem')]
  const paid = await runWallet(['transfer', ...place, ...url, '--to', hardhatAccounts[1], '--amount', '2.5'])
  t.is(paid.code, 0, paid.stderr)
  t.regex(paid.stdout, /^[0-9a-f]{64} booked as entry \d+\n$/)

  const operator = (name: string, ...args: readonly string[]) => runCommand([name, '--config', config.path, ...args])
  const money = ['--id', 'bank/1', '--owner', hardhatAccounts[0]!, '--reference', 'SEPA 1']
  const brought = await operator('deposit', ...money, '--asset', 'EUR', '--amount', '50')
  t.like(JSON.parse(brought.stdout), { id: 'bank/1', amount: 5000, repeated: false }, brought.stderr)
  const payout = ['--asset', 'EUR', '--amount', '12.50', '--payout', 'ref 17']
  const withdrawn = await runWallet(['withdraw', ...place, ...url, ...payout])
  const [, reservation = ''] = /^([0-9a-f]{64}) booked as entry/.exec(withdrawn.stdout) ?? []
  const waiting = await operator('withdrawals')
  t.regex(waiting.stdout, new RegExp(`${hardhatAccounts[0]}  12\\.50 EUR  ref 17  ${reservation}\n$`), waiting.stderr)
  const gone = await operator('post-withdrawal', '--reservation', reservation, '--reference', 'SEPA 2')
  t.like(JSON.parse(gone.stdout), { amount: 1250, repeated: false }, gone.stderr)
  const history = await runWallet(['history', ...place, ...url, '--all', '--keep', file('told')])
  t.regex(history.stdout, /has 7\.500 WATT {2}pay 2\.500 WATT to 0x.*\n.*minted by gw-1\/roof/, history.stderr)
  t.regex(history.stdout, /-12\.50 EUR {2}has 7\.500 WATT, 37\.50 EUR {2}post of reservation \w+, paid out: SEPA 2\n/)
  t.regex(history.stderr, /these entries add up to what is held/)
  const names = readdirSync(`${wallet}.orders`)
  const ordered = (kind: string) => join(`${wallet}.orders`, names.find((name) => name.endsWith(kind))!)
  await ledger.kill('SIGKILL')

  // What was answered over HTTP is answered the same by the command, on the data of the killed ledger.
  const again = await runCommand(['transfer', '--config', config.path, '--file', ordered('.order')])
  t.is(again.stdout, readFileSync(ordered('.answer'), 'utf8'), again.stderr)
  const verified = await runCommand(['verify', '--config', config.path, '--witness', file('told')])
  t.regex(
    verified.stdout,
    /^nothing wrong[\s\S]*compared with 2 signed heads, receipts and statements\n.*operator \.\.\..* has signed 3 acts/,
  )
  const balances = await runCommand(['balances', '--config', config.path, '--json'])
  t.like(JSON.parse(balances.stdout), {
    money: [{ currency: 'EUR', addedUnits: 5000, removedUnits: 1250, supplyUnits: 3750 }],
    balanced: true,
  })
  t.deepEqual(
    JSON.parse(balances.stdout).owners.map(({ owner, wattWh }: { owner: string; wattWh: number }) => [owner, wattWh]),
    [
      [hardhatAccounts[1], 2500],
      [hardhatAccounts[0], 7500],
    ],
  )
})
