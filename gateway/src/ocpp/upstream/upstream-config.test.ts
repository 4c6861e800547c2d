import { decodeWith, WattError } from '@wattline/protocol'
import test from 'ava'
import { upstreamShape, withAbsoluteUpstreamFiles } from './upstream-config.ts'

const url = 'wss://csms.example/ocpp'
const decode = (config: object) => decodeWith(upstreamShape, config, 'upstream', 'config/invalid')

test('a url is enough; everything else has a default, and the operator may do all that is not the gateway’s own', (t) => {
  const config = decode({ url })
  t.like(config, { identityPrefix: '', onRefusal: 'continue', attempts: 3, retrySeconds: 60 })
  t.is(config.allow.length, 13)
})

test('what makes no sense is told with its place', (t) => {
  const faults = [
    [{ url: 'https://csms.example' }, /url: expected ws:\/\//],
    [{ url: 'wss://user:secret@csms.example' }, /url: expected ws/],
    [{ url: 'wss://csms.example/?a=1' }, /url: expected ws/],
    [{ url, allow: ['everything'] }, /allow/],
    [{ url, colour: 'red' }, /colour/],
    [{ url, stations: [{ id: 'CP1' }, { id: 'CP1' }] }, /each station once/],
    [{ url, stations: [{ id: 'CP1', identity: 'X' }, { id: 'X' }] }, /each identity once/],
    [{ url, stations: [{ id: 'CP1', identity: 'a/b' }] }, /stations\[0\]\.identity/],
    [{ url, certFile: 'a.pem' }, /certFile and keyFile together/],
    [{ url: 'ws://csms.example', caFile: 'ca.pem' }, /wss:\/\/ url/],
    [{ url, stations: [{ id: 'CP1', password: 'x' }] }, /password/],
  ] as const
  for (const [config, words] of faults) {
    const error = t.throws(() => decode(config), { instanceOf: WattError, message: words })
    t.false(error?.message.includes('secret'))
  }
})

test('files count from the folder of the configuration', (t) => {
  const given = { url, caFile: 'ca.pem', certFile: 'c', keyFile: 'k', stations: [{ id: 'CP1', passwordFile: 'p' }] }
  const config = withAbsoluteUpstreamFiles(decode(given), (file) => `/etc/${file}`)
  t.like(config, { caFile: '/etc/ca.pem', certFile: '/etc/c', keyFile: '/etc/k' })
  t.deepEqual(config.stations, [{ id: 'CP1', passwordFile: '/etc/p' }])
})
