import { WattError } from '@wattline/protocol'
import test from 'ava'
import { stringify } from 'yaml'
import { decodeConfig } from '../config.ts'

const decode = (site: object, more: object = {}) =>
  decodeConfig(
    stringify({
      version: 1,
      gateway: { id: 'gw-1', dataDir: 'data' },
      buses: [{ id: 'lan', tcp: { host: 'h' } }],
      meters: [
        {
          id: 'house',
          bus: 'lan',
          unitId: 1,
          profile: 'eastron-sdm630',
          role: 'bidirectional',
          valuesIntervalSeconds: 1,
        },
        { id: 'slow', bus: 'lan', unitId: 2, profile: 'eastron-sdm630', role: 'consumer' },
      ],
      ocpp: { host: '127.0.0.1', port: 0 },
      site,
      ...more,
    }),
    '/etc/gateway.yaml',
  )

const problemsOf = (...args: Parameters<typeof decode>): string => {
  try {
    decode(...args)
    return ''
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    return error.message
  }
}

const least = { mainFuseA: 35, meter: 'house', stations: [{ id: 'CP1' }] }

test('the least that a site needs, and its defaults', (t) => {
  t.deepEqual(decode(least).site, {
    mainFuseA: 35,
    meter: 'house',
    phases: 3,
    reserveA: 0.5,
    safeCurrentA: 6,
    maxAgeSeconds: 5,
    profileSeconds: 120,
    rotationMinutes: 15,
    feeders: [],
    stations: [{ id: 'CP1', connector: 1, maxCurrentA: 16, minCurrentA: 6, mode: 'fast', priority: 0 }],
  })
})

test('a site that cannot work is refused in words', (t) => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ meter: 'nobody' }, /no meter 'nobody'/],
    [{ meter: 'slow' }, /meter 'slow' needs a valuesIntervalSeconds of at most half of maxAgeSeconds, which is 5/],
    [{ stations: [{ id: 'CP1', meter: 'slow' }] }, /meter 'slow' needs/],
    [{ stations: [] }, /at least one station/],
    [{ stations: [{ id: 'CP1' }, { id: 'CP1' }] }, /each connector of a station once/],
    [{ stations: [{ id: 'CP1', feeder: 'garage' }] }, /feeder of each station among the feeders/],
    [{ feeders: [{ id: 'a', limitA: 10, behind: 'a' }] }, /a feeder that is listed before/],
    [{ phases: 1, stations: [{ id: 'CP1', phases: ['L2'] }] }, /a house with one phase/],
    [{ safeCurrentA: 3 }, /site.safeCurrentA/],
    [{ safeCurrentA: 20, stations: [{ id: 'CP1' }, { id: 'CP2' }] }, /all stations together within mainFuseA/],
    [{ stations: [{ id: 'CP1', maxCurrentA: 10, minCurrentA: 13 }] }, /minCurrentA below maxCurrentA/],
    [{ stations: [{ id: 'CP1', stepsA: [8, 6] }] }, /ascending/],
    [{ fuse: 35 }, /fuse/],
  ]
  for (const [change, expected] of cases) t.regex(problemsOf({ ...least, ...change }), expected)
  t.regex(problemsOf(least, { ocpp: undefined }), /stations are served by ocpp, which is missing/)
})
