import test from 'ava'
import * as v from 'valibot'
import { stationSchema } from './config.ts'
import { toSteps } from './drivers.ts'

const station = (more: object) =>
  v.parse(stationSchema, { id: 'CP1', ocpp: '1.6', url: 'ws://127.0.0.1:9220', ...more })

test('a driver plugs in, shows the card, comes back, shows it again and leaves', (t) => {
  const steps = toSteps(
    station({ drivers: [{ idToken: 'A', firstAt: 10, staySeconds: 60, everySeconds: 100, sessions: 2 }] }),
  )
  t.deepEqual(
    steps.map(({ at, do: what }) => [at, what]),
    [
      [10, 'plug-in'],
      [11, 'present-card'],
      [70, 'present-card'],
      [71, 'unplug'],
      [110, 'plug-in'],
      [111, 'present-card'],
      [170, 'present-card'],
      [171, 'unplug'],
    ],
  )
})

test('a driver who leaves by the cable shows the card once; steps and drivers are played in order of time', (t) => {
  const steps = toSteps(
    station({
      steps: [{ at: 30, do: 'power-cut', for: 5 }],
      drivers: [{ idToken: 'A', firstAt: 10, staySeconds: 60, leaves: 'cable' }],
    }),
  )
  t.deepEqual(
    steps.map(({ do: what }) => what),
    ['plug-in', 'present-card', 'power-cut', 'unplug'],
  )
})

test('the same seed moves the same moments, another seed others', (t) => {
  const seeded = (seed: number) =>
    toSteps(station({ seed, drivers: [{ idToken: 'A', sessions: 3, jitterSeconds: 100 }] }))
  t.deepEqual(seeded(1), seeded(1))
  t.notDeepEqual(seeded(1), seeded(2))
})
