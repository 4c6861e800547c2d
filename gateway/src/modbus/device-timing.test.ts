import test from 'ava'
import { DeviceTiming } from './device-timing.ts'

const options = {
  initialTimeoutMs: 1000,
  shortestTimeoutMs: 200,
  longestTimeoutMs: 3000,
  multiple: 4,
  silentShare: 0.04,
  creditMs: 500,
}

test('a timeout is a multiple of the latency, within its floor and ceiling', (t) => {
  const timing = new DeviceTiming(options)
  t.is(timing.timeoutMs(1), 1000)
  timing.answered(1, 100)
  t.is(timing.timeoutMs(1), 400)
  for (let i = 0; i < 100; i++) timing.answered(1, 1)
  t.is(timing.timeoutMs(1), 200)
  timing.late(1, 2000)
  t.is(timing.timeoutMs(1), 3000)
  t.is(timing.timeoutMs(2), 1000)
})

test('silence makes the bus more patient, an answer restores its pace', (t) => {
  const timing = new DeviceTiming(options)
  timing.answered(1, 100)
  timing.silent(1, { spentMs: 400, nowMs: 0 })
  t.is(timing.timeoutMs(1), 600)
  timing.answered(1, 100)
  t.is(timing.timeoutMs(1), 400)
})

test('a device that never answered rests until its silence is 4 % of the time', (t) => {
  const timing = new DeviceTiming(options)
  timing.answered(2, 10)
  timing.silent(1, { spentMs: 1000, nowMs: 5000 })
  t.is(timing.restUntilMs(1), 5000 + 25_000)
  timing.silent(1, { spentMs: 1000, nowMs: 17_500 })
  t.is(timing.restUntilMs(1), 17_500 + 37_500)
  t.is(timing.restUntilMs(2), Number.NEGATIVE_INFINITY)
})

test('a device that has answered may lose a few answers before it rests, and one more answer ends that', (t) => {
  const timing = new DeviceTiming(options)
  timing.answered(2, 10)
  timing.answered(1, 10)
  timing.silent(1, { spentMs: 400, nowMs: 1000 })
  t.is(timing.restUntilMs(1), Number.NEGATIVE_INFINITY)
  timing.silent(1, { spentMs: 400, nowMs: 1000 })
  t.is(timing.restUntilMs(1), 1000 + 7500)
  timing.answered(1, 10)
  t.is(timing.restUntilMs(1), Number.NEGATIVE_INFINITY)
})

test('after a reconnect nobody rests', (t) => {
  const timing = new DeviceTiming(options)
  timing.answered(2, 10)
  timing.silent(1, { spentMs: 1000, nowMs: 5000 })
  timing.forgive()
  t.is(timing.restUntilMs(1), Number.NEGATIVE_INFINITY)
  t.is(timing.timeoutMs(1), 1000)
})

test('a device alone on its bus never rests', (t) => {
  const timing = new DeviceTiming(options)
  for (let i = 0; i < 10; i++) timing.silent(1, { spentMs: 1000, nowMs: 0 })
  t.is(timing.restUntilMs(1), Number.NEGATIVE_INFINITY)
})
