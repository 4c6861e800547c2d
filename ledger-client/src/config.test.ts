import { WattError } from '@wattline/protocol'
import test from 'ava'
import { decodeConfig, formatConfig, loadConfig } from './config.ts'

// The example of the design, word for word.
const example = `version: 1
ledger: { dataDir: ./data/ledger, backend: sqlite, enrolment: open }   # open: accept first-seen points (demo only); default closed
mqtt: { embedded: { host: 127.0.0.1, port: 1883 } }              # or url: of a real broker
`

test('the example of the design works, with paths that begin at the file', (t) => {
  t.deepEqual(decodeConfig(example, '/etc/wattline/ledger.yaml'), {
    version: 1,
    ledger: {
      dataDir: '/etc/wattline/data/ledger',
      backend: 'sqlite',
      enrolment: 'open',
      verifier: 'auto',
      logLevel: 'info',
      operatorKeyFile: '/etc/wattline/data/ledger/operator.key',
    },
    mqtt: { embedded: { host: '127.0.0.1', port: 1883 } },
  })
})

test('a broker elsewhere takes its files', (t) => {
  const config = decodeConfig(
    `version: 1
ledger: { dataDir: /var/lib/ledger, logLevel: debug }
mqtt: { url: "mqtts://broker.example:8883", tls: { caFile: ca.pem, certFile: /c.pem, keyFile: k.pem }, username: ledger, passwordFile: pw }
http: { host: 127.0.0.1, port: 0 }`,
    '/etc/ledger.yaml',
  )
  t.deepEqual(config.mqtt, {
    url: 'mqtts://broker.example:8883',
    clientId: 'wattline-ledger',
    tls: { caFile: '/etc/ca.pem', certFile: '/c.pem', keyFile: '/etc/k.pem' },
    username: 'ledger',
    passwordFile: '/etc/pw',
  })
  t.is(config.ledger.enrolment, 'closed')
  t.deepEqual(JSON.parse(formatConfig(config)), JSON.parse(JSON.stringify(config)))
})

function problems(yaml: string): string[] {
  try {
    decodeConfig(yaml, 'ledger.yaml')
    return []
  } catch (error) {
    if (!(error instanceof WattError) || error.code !== 'config/invalid') throw error
    return error.message.split('\n').map((line) => line.replace(/^ledger\.yaml: /, ''))
  }
}

test('all problems are told at once, each with its path', (t) => {
  const found = problems(`version: 2
ledger: { enrolment: sometimes, verifier: magic, color: red }
mqtt: { embedded: { host: 127.0.0.1, port: 70000 }, url: "http://x" }
http: { host: "" }
`)
  for (const path of [
    'version',
    'ledger.dataDir',
    'ledger.enrolment',
    'ledger.verifier',
    'ledger.color',
    'mqtt.embedded.port',
    'mqtt.url',
    'http.host',
    'http.port',
  ]) {
    t.true(
      found.some((line) => line.startsWith(`${path}: `)),
      `${path} in ${found.join('; ')}`,
    )
  }
})

const head = 'version: 1\nledger: { dataDir: d }\n'
const wrong: readonly (readonly [mqtt: string, problem: RegExp])[] = [
  ['{}', /^mqtt: either embedded or url expected/],
  ['{ embedded: { host: 127.0.0.1, port: 1 }, url: "mqtt://a:1" }', /^mqtt: either embedded or url expected/],
  ['{ embedded: { host: 0.0.0.0, port: 1883 } }', /^mqtt\.embedded\.credentialsFile: required/],
  ['{ embedded: { host: 127.0.0.1, port: 1 }, username: x }', /^mqtt: only url takes further keys/],
  ['{ url: "mqtt://a:1", tls: { certFile: c } }', /^mqtt\.tls: certFile and keyFile go together/],
  ['{ url: "mqtt://a:1", passwordFile: c }', /^mqtt: passwordFile goes with username/],
  ['{ url: "mqtt://user:secret@a:1" }', /^mqtt\.url: /],
]
for (const [mqtt, problem] of wrong) {
  test(`mqtt: ${mqtt} is refused`, (t) => {
    t.regex(problems(`${head}mqtt: ${mqtt}`).join('\n'), problem)
  })
}

test('an embedded broker with credentials may be reached from outside', (t) => {
  t.deepEqual(problems(`${head}mqtt: { embedded: { host: 0.0.0.0, port: 1883, credentialsFile: c } }`), [])
})

test('a chain to relay to has its limits, and a key file that begins at the config', (t) => {
  const evm = 'rpcUrl: "https://node.example", attestation: "0x5fbdb2315678afecb367f032d93f642f64180aa3", keyFile: ./k'
  const config = decodeConfig(`${head}mqtt: { url: "mqtt://a:1" }\nevm: { ${evm} }\n`, '/etc/w/ledger.yaml')
  t.like(config.evm, { keyFile: '/etc/w/k', confirmations: 12, maxFeeGwei: 50, everySeconds: 60 })
  const wrong = problems(`${head}mqtt: { url: "mqtt://a:1" }\nevm: { ${evm}, tipGwei: 60, color: red }\n`)
  t.regex(wrong.join('\n'), /evm\.color/)
  const both = `${head}mqtt: { url: "mqtt://a:1" }\nevm: { ${evm} }\nhttp: { host: h, port: 1, wallets: true }\n`
  t.regex(problems(both).join('\n'), /http\.wallets: not beside section evm/)
  const tip = problems(`${head}mqtt: { url: "mqtt://a:1" }\nevm: { ${evm}, tipGwei: 60 }\n`)
  t.regex(tip.join('\n'), /tipGwei is part of maxFeeGwei/)
  t.regex(problems(`${head}mqtt: { url: "mqtt://a:1" }\nevm: { rpcUrl: "ws://x" }\n`).join('\n'), /evm\.rpcUrl/)
})

test('wallets are served beyond this machine over TLS alone; the loopback is the default', (t) => {
  const head = 'version: 1\nledger: { dataDir: d }\nmqtt: { url: "mqtt://a:1" }\n'
  const of = (http: string) => decodeConfig(`${head}http: { ${http} }\n`, '/etc/w/ledger.yaml').http
  t.deepEqual(of('port: 8090, wallets: true'), { host: '127.0.0.1', port: 8090, wallets: true })
  const tls = { certFile: '/etc/w/c.pem', keyFile: '/k.pem' }
  t.deepEqual(of('host: 0.0.0.0, port: 1, wallets: true, tls: { certFile: c.pem, keyFile: /k.pem }')?.tls, tls)
  for (const host of ['0.0.0.0', '"::"', '192.168.1.5', 'ledger.example', '127.0.0.1.example']) {
    t.regex(problems(`${head}http: { host: ${host}, port: 1, wallets: true }\n`).join('\n'), /^http\.tls: required/)
    t.is(of(`host: ${host}, port: 1`)?.wallets, false, 'health tells nothing of anybody')
  }
  t.regex(problems(`${head}http: { port: 1, tls: { certFile: c } }\n`).join('\n'), /http\.tls\.keyFile/)
})

test('what is no YAML, or not there, says so', (t) => {
  t.regex(problems('a: [').join(), /no YAML/)
  t.is(t.throws(() => loadConfig('/nowhere/ledger.yaml'), { instanceOf: WattError })?.code, 'config/unreadable')
})

test('SPEC-92: EEA takes five different holders', (t) => {
  const holders = (names: string) =>
    decodeConfig(
      `version: 1
ledger: { dataDir: d, eea: { holders: [${names}] } }
mqtt: { embedded: { host: 127.0.0.1, port: 0 } }`,
      'ledger.yaml',
    ).ledger.eea
  t.deepEqual(holders('a, b, c, d, e'), { holders: ['a', 'b', 'c', 'd', 'e'] })
  t.throws(() => holders("a, b, c, d, '0x5fbdb2315678afecb367f032d93f642f64180aa3'"), { message: /EIP-55/ })
  t.throws(() => holders('a, b, c, d'), { message: /ledger\.eea\.holders: 5 names expected/ })
  t.throws(() => holders('a, b, c, d, a'), { message: /different names expected/ })
})
