import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { askKernel, startSystemClock } from './system-clock.ts'

test('SPEC-14: the clock says S only when the system says so', async (t) => {
  let answer: () => Promise<boolean> = async () => true
  const clock = startSystemClock(() => answer())
  t.is(clock.status(), 'U', 'nobody waits for the answer')
  await turn()
  t.is(clock.status(), 'S')
  clock.stop()
  answer = async () => false
  const other = startSystemClock(() => answer())
  await turn()
  t.is(other.status(), 'U')
  other.stop()
})

test('a probe that fails knows nothing', async (t) => {
  const clock = startSystemClock(async () => {
    throw new Error('no such tool')
  })
  await turn()
  t.is(clock.status(), 'U')
  clock.stop()
})

test('the system can be asked, whatever it answers', async (t) => {
  t.is(typeof (await askKernel()), 'boolean')
})

test('time is the wall clock in whole milliseconds', (t) => {
  const clock = startSystemClock(async () => true)
  const before = Date.now()
  const now = clock.now()
  t.true(now >= before && now <= Date.now())
  clock.stop()
})
