import test from 'ava'
import { defaultPacing, Pacing } from './pacing.ts'

const second = 1_000

/** When an uplink that hears nothing sends again, from its first record on. */
function silence(pacing: Pacing, hours: number): number[] {
  const moments: number[] = []
  pacing.sent(0, 0)
  for (let nowMs = 0; nowMs < hours * 3_600 * second; nowMs += second) {
    if (!pacing.isOverdue(nowMs, 1)) continue
    pacing.timedOut(nowMs)
    moments.push(nowMs / second)
  }
  return moments
}

test('silence is met with ever rarer tries of one record each', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  t.is(pacing.room(0, 0), 300)
  const moments = silence(pacing, 24)
  t.deepEqual(moments.slice(0, 7), [5, 15, 35, 75, 155, 315, 615])
  t.true(moments.length < 24 * 13, 'weeks without a ledger do not fill a broker')
  t.is(pacing.room(1e9, 0), 1)
  t.is(pacing.room(1e9, 1), 0)
})

test('receipts open the window again, at least twofold each', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  silence(pacing, 1)
  const rooms = Array.from({ length: 9 }, (_, n) => {
    pacing.progressed(n, 1, 20)
    return pacing.room(n, 0)
  })
  t.true(rooms.every((room, n) => n === 0 || room === 300 || room >= 2 * (rooms[n - 1] ?? 0)))
  t.is(rooms.at(-1), 300)
  t.false(pacing.isOverdue(4 * second, 5))
})

test('a ledger that takes minutes to be final is waited for', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  pacing.progressed(0, 1, 60 * second)
  t.false(pacing.isOverdue(239 * second, 1))
  t.true(pacing.isOverdue(240 * second, 1))
})

test('nothing under way is never overdue', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  t.false(pacing.isOverdue(1e12, 0))
  pacing.sent(1e12, 0)
  t.false(pacing.isOverdue(1e12 + 4 * second, 1))
})

test('a ledger that asks again and again is answered at once, then ever more rarely, until there is progress', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  const answers = (untilS: number) =>
    Array.from({ length: untilS }, (_, s) => s).filter((s) => pacing.mayResend(s * second))
  t.deepEqual(answers(60), [0, 5, 15, 35])
  pacing.progressed(60 * second, 1, undefined)
  t.true(pacing.mayResend(60 * second))
})

test('a metering point that is refused holds back, and tries with one record', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  t.true(pacing.refused(0))
  t.false(pacing.refused(second), 'the same refusal of all that is under way counts once')
  t.is(pacing.room(4 * second, 0), 0)
  t.is(pacing.room(5 * second, 0), 1)
  t.true(pacing.refused(6 * second))
  t.is(pacing.room(15 * second, 0), 0)
  t.is(pacing.room(16 * second, 0), 1)
  for (let s = 20; s < 10_000; s++) pacing.refused(s * second)
  t.is(pacing.room(10_301 * second, 0), 1, 'five minutes at most')
  pacing.welcomed()
  t.is(pacing.room(10_302 * second, 0), 300)
})

test('a chain that is refused again and again is begun anew ever more rarely', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  pacing.rechained(0)
  t.is(pacing.room(0, 0), 300, 'the first time at once')
  pacing.rechained(second)
  t.is(pacing.room(5 * second, 0), 0)
  t.is(pacing.room(6 * second, 0), 1)
  pacing.progressed(7 * second, 1, 10)
  t.is(pacing.room(7 * second, 0), 300)
})

test('SPEC-76: an answer that confirms nothing makes room for a later record', (t) => {
  const pacing = new Pacing(defaultPacing, 300)
  pacing.sent(0, 0)
  pacing.timedOut(5 * second)
  t.is(pacing.room(5 * second, 1), 0)
  pacing.answered(6 * second)
  t.is(pacing.room(6 * second, 1), 1)
  for (let n = 0; n < 20; n++) pacing.answered(7 * second)
  t.is(pacing.room(7 * second, 1), 299, 'never more than the window')
})
