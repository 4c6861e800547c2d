import test from 'ava'
import fc from 'fast-check'
import { decodeSimConfig } from './decode-config.ts'
import { loadProfile } from './profiles.ts'
import { Simulation } from './simulation.ts'
import { VirtualTimers } from './virtual-timers.ts'

const meter = (id: string, more: object = {}) => ({
  id,
  profile: 'eastron-sdm630',
  unitId: 1,
  tcp: { host: '127.0.0.1', port: id.charCodeAt(0) },
  curve: { constant: { powerW: 3600 } },
  startWh: 1000,
  ...more,
})

function rig(faults: readonly object[], more: object = {}) {
  const timers = new VirtualTimers()
  const input = { version: 1, meters: [meter('a'), meter('b')], faults, ...more }
  const simulation = new Simulation(decodeSimConfig(input, 'test', loadProfile), timers)
  simulation.start()
  const importOf = (id: string) => simulation.report().find((report) => report.meter === id)?.importWh
  return { timers, simulation, importOf }
}

const request = Uint8Array.of(4, 0, 0x48, 0, 2)

test('a meter counts simulated time', (t) => {
  const { timers, importOf } = rig([], { time: { speedUp: 60 } })
  t.is(importOf('a'), '1000.000')
  timers.advance(1000)
  t.is(importOf('a'), '1060.000')
})

test('a fault takes hold at its own moment, however rarely somebody looks', (t) => {
  const faults = [
    { at: 10, for: 10, kind: 'power-cut', meter: 'a' },
    { at: 5, kind: 'register-jump', meter: 'b', byWh: -3 },
    { at: 25, kind: 'meter-swapped', meter: 'b', toSerial: '42', startWh: 7 },
  ]
  const looks = fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 30 })
  fc.assert(
    fc.property(looks, (waits) => {
      const { timers, simulation, importOf } = rig(faults)
      for (const wait of waits.filter((_, i) => waits.slice(0, i + 1).reduce((a, b) => a + b) < 30_000)) {
        timers.advance(wait)
        simulation.advance()
      }
      timers.advance(30_000 - timers.now())
      t.is(importOf('a'), '1020.000')
      t.is(importOf('b'), '12.000')
      t.like(simulation.report()[1], { serial: '42', importedWh: '30.000' })
    }),
  )
})

test('a meter without power gives no answer, nor does one behind it', (t) => {
  const meters = [meter('a', { sees: ['b'] }), meter('b')]
  const { timers, simulation } = rig([{ at: 1, for: 1, kind: 'power-cut', meter: 'a' }], { meters })
  t.truthy(simulation.answer('b', request))
  timers.advance(1500)
  t.is(simulation.answer('a', request), undefined)
  t.is(simulation.answer('b', request), undefined)
  timers.advance(1000)
  t.truthy(simulation.answer('b', request))
})

test('a fault hits its share of the requests, the same ones in every run', (t) => {
  const run = () => {
    const { simulation } = rig([{ at: 0, kind: 'no-answer', meter: 'a', share: 0.3 }])
    return Array.from({ length: 1000 }, () => simulation.answer('a', request) === undefined)
  }
  const hits = run().filter(Boolean).length
  t.true(hits > 200 && hits < 400)
  t.deepEqual(run(), run())
})

test('a fault of one meter leaves the other alone', (t) => {
  const { simulation } = rig([{ at: 0, kind: 'exception', meter: 'a', exceptionCode: 6 }])
  t.deepEqual(simulation.answer('a', request)?.pdu, Uint8Array.of(0x84, 6))
  t.is(simulation.answer('b', request)?.pdu[0], 4)
  t.is(simulation.answer('nobody', request), undefined)
})

test('a seed gives each meter its own registers and serial number', (t) => {
  const seeded = (seed: number) => [meter('a', { seed, startWh: undefined }), meter('b', { seed, startWh: undefined })]
  const clean = (seed: number) => JSON.parse(JSON.stringify(seeded(seed)))
  const first = rig([], { meters: clean(1) }).simulation.report()
  t.deepEqual(rig([], { meters: clean(1) }).simulation.report(), first)
  t.notDeepEqual(rig([], { meters: clean(2) }).simulation.report(), first)
  t.not(first[0]?.serial, first[1]?.serial)
})
