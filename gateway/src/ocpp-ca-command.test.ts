import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import test, { type ExecutionContext } from 'ava'
import { makeTempFolder } from '../test/signing-rig.ts'
import { decodeConfig } from './config.ts'
import { authorityPaths } from './ocpp/authority/authority-files.ts'
import { initAuthority, showAuthority, signRequest } from './ocpp-ca-command.ts'

function startRig(t: ExecutionContext, stations = '') {
  const folder = makeTempFolder(t.teardown)
  const text = `version: 1
gateway: { id: gw-1, dataDir: ./data }
buses: [{ id: lan, tcp: { host: 127.0.0.1, port: 9 } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }]
ocpp: { host: 127.0.0.1, port: 0, stations: [${stations}] }
`
  const config = decodeConfig(text, join(folder, 'gateway.yaml'))
  const run = (command: (output: PassThrough) => void) => {
    const output = new PassThrough()
    command(output)
    return String(output.read() ?? '')
  }
  return { folder, config, paths: authorityPaths(config.gateway.dataDir), run }
}

test('init makes what is missing, keeps what is there, and tells what to put into the configuration', (t) => {
  const { config, paths, run } = startRig(t)
  t.throws(() => run((output) => initAuthority(config, output, [])), { message: /--host NAME/ })
  const first = run((output) => initAuthority(config, output, ['gateway.local', '10.0.0.2']))
  t.regex(first, /server\.pem: made; for gateway\.local, 10\.0\.0\.2\n/)
  t.regex(first, /tls: \{ port: 9221, certFile: \S+server\.pem, keyFile: \S+server\.key, clientCaFile: \S+ca\.pem \}/)
  const authority = readFileSync(paths.authority.cert, 'utf8')
  const server = readFileSync(paths.server.cert, 'utf8')
  t.regex(
    run((output) => initAuthority(config, output, [])),
    /ca\.pem: was there.*server\.pem: was there/s,
  )
  t.is(readFileSync(paths.server.cert, 'utf8'), server)
  t.regex(
    run((output) => initAuthority(config, output, ['other.local'])),
    /server\.pem: made; for other\.local/,
  )
  t.is(readFileSync(paths.authority.cert, 'utf8'), authority)
  const shown = run((output) => showAuthority(config, output))
  t.regex(
    shown,
    /ca\.pem: ends 20\d\d-\d\d-\d\d; SHA-256 ([0-9A-F]{2}:?){32}\n.*server\.pem: ends .*; for other\.local\n$/,
  )
})

test('a request that came by hand is signed for its station, and for no other', (t) => {
  const { folder, config, paths, run } = startRig(t, '{ id: CP2, certificateName: SN-4711 }')
  run((output) => initAuthority(config, output, ['gateway.local']))
  const request = join(folder, 'request')
  const make = (name: string, ...how: string[]) =>
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-subj',
        `/CN=${name}`,
        '-keyout',
        '/dev/null',
        '-out',
        request,
        ...how,
      ],
      { stdio: 'ignore' },
    )
  make('CP1')
  const chain = join(folder, 'chain.pem')
  writeFileSync(
    chain,
    run((output) => signRequest(config, output, 'CP1', request)),
  )
  t.regex(execFileSync('openssl', ['verify', '-CAfile', paths.authority.cert, chain]).toString(), /OK/)
  t.throws(() => run((output) => signRequest(config, output, 'CP2', request)), { message: /'CP1', not for 'SN-4711'/ })
  make('SN-4711', '-outform', 'DER')
  t.regex(
    run((output) => signRequest(config, output, 'CP2', request)),
    /BEGIN CERTIFICATE.*BEGIN CERTIFICATE/s,
  )
  t.throws(() => run((output) => signRequest(config, output, 'CP2', join(folder, 'none'))), {
    message: /cannot be read/,
  })
})
