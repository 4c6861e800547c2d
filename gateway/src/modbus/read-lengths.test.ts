import test from 'ava'
import fc from 'fast-check'
import { ReadLengths } from './read-lengths.ts'

const request = { unitId: 1, functionCode: 4, address: 72, count: 4, maxCount: 80 } as const
const exact = { ...request, maxCount: 4 }

test('lengths vary between count and maxCount, and the eight last ones differ', (t) => {
  const lengths = new ReadLengths(0)
  const chosen: number[] = []
  for (let now = 0; now < 40; now++) {
    const count = lengths.choose(request, now)!
    lengths.sent({ ...request, count }, now)
    chosen.push(count)
  }
  for (let i = 0; i + 8 <= chosen.length; i++) t.is(new Set(chosen.slice(i, i + 8)).size, 8)
  t.true(chosen.every((count) => count >= 4 && count <= 80))
})

test('a length that was given up or used just now is never chosen', (t) => {
  const step = fc.record({ waitMs: fc.nat(80), givesUp: fc.boolean(), maxCount: fc.constantFrom(4, 6, 11, 20, 80) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const lengths = new ReadLengths(50)
      const blockedUntil = new Map<number, number>()
      let now = 0
      for (const { waitMs, givesUp, maxCount } of steps) {
        now += waitMs
        const varied = { ...request, maxCount }
        const count = lengths.choose(varied, now)
        if (count === undefined) {
          t.true(lengths.freeAtMs(varied) > now)
          continue
        }
        t.true(count >= request.count && count <= maxCount)
        t.true((blockedUntil.get(count) ?? 0) <= now)
        lengths.sent({ ...request, count }, now)
        if (!givesUp) continue
        lengths.keepOut({ ...request, count }, now + 300)
        blockedUntil.set(count, now + 300)
      }
    }),
  )
})

test('where lengths cannot vary, one rests before it asks for other registers, whose answer come twice would be believed', (t) => {
  const lengths = new ReadLengths(500)
  t.is(lengths.choose(exact, 0), 4)
  lengths.sent(exact, 0)
  t.is(lengths.choose(exact, 10), 4)
  const other = { ...exact, address: 100 }
  t.is(lengths.choose(other, 10), undefined)
  t.is(lengths.freeAtMs(other), 500)
  t.is(lengths.choose({ ...other, unitId: 2 }, 10), 4)
  t.is(lengths.choose(other, 500), 4)
})

test('a device that needs the exact length gets it, an hour long', (t) => {
  const lengths = new ReadLengths(0)
  lengths.refused(request, 0)
  for (let i = 0; i < 5; i++) {
    t.is(lengths.choose(request, i), 4)
    lengths.sent({ ...request, count: 4 }, i)
  }
  t.not(lengths.choose(request, 3_600_000), 4)
})

test('without a choice of lengths one that was given up is waited for, other devices and functions are not', (t) => {
  const lengths = new ReadLengths(50)
  lengths.sent(exact, 0)
  lengths.keepOut(exact, 1000)
  t.is(lengths.choose(exact, 999), undefined)
  t.is(lengths.freeAtMs(exact), 1000)
  t.is(lengths.choose({ ...exact, unitId: 2 }, 1), 4)
  t.is(lengths.choose({ ...exact, functionCode: 3 }, 1), 4)
  t.is(lengths.choose(exact, 1000), 4)
})

test('the protocol bounds what one request may ask for', (t) => {
  const lengths = new ReadLengths(0)
  const last = { ...request, address: 0xfffa, maxCount: 125 }
  const long = { ...request, unitId: 2, count: 120, maxCount: 500 }
  for (let i = 0; i < 20; i++) {
    const [a, b] = [lengths.choose(last, i)!, lengths.choose(long, i)!]
    t.true(a <= 6)
    t.true(b <= 125)
    lengths.sent({ ...last, count: a }, i)
    lengths.sent({ ...long, count: b }, i)
  }
})
