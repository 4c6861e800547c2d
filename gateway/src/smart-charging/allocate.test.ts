import test from 'ava'
import fc from 'fast-check'
import { allocate, type Claim, type Limit } from './allocate.ts'

const claim = (id: string, more: Partial<Claim> = {}): Claim => ({ id, minA: 6, maxA: 32, priority: 0, ...more })
const limit = (name: string, limitA: number, ...ids: string[]): Limit => ({
  name,
  limitA,
  weights: new Map(ids.map((id) => [id, 1])),
})
const share = (claims: readonly Claim[], ...limits: Limit[]) => Object.fromEntries(allocate(claims, limits))

test('three cars at one fuse get the same', (t) => {
  const all = ['a', 'b', 'c']
  t.deepEqual(
    share(
      all.map((id) => claim(id)),
      limit('L1', 30, ...all),
    ),
    { a: 10, b: 10, c: 10 },
  )
})

test('what one car cannot take goes to the others', (t) => {
  const claims = [claim('a', { maxA: 8 }), claim('b'), claim('c')]
  t.deepEqual(share(claims, limit('L1', 30, 'a', 'b', 'c')), { a: 8, b: 11, c: 11 })
})

test('below 6 A each, those whose turn it is get 6 A or more and the others nothing', (t) => {
  const claims = ['a', 'b', 'c'].map((id) => claim(id))
  t.deepEqual(share(claims, limit('L1', 13, 'a', 'b', 'c')), { a: 6.5, b: 6.5, c: 0 })
  t.deepEqual(share(claims.toReversed(), limit('L1', 13, 'a', 'b', 'c')), { a: 0, b: 6.5, c: 6.5 })
})

test('a phase that is full does not hold those on other phases', (t) => {
  const claims = [claim('a'), claim('b'), claim('c')]
  const limits = [limit('L1', 16, 'a', 'c'), limit('L2', 40, 'b', 'c'), limit('L3', 40, 'c')]
  t.deepEqual(share(claims, ...limits), { a: 8, b: 32, c: 8 })
})

test('a higher priority is filled first', (t) => {
  const claims = [claim('a'), claim('b', { priority: 1 })]
  t.deepEqual(share(claims, limit('L1', 40, 'a', 'b')), { a: 8, b: 32 })
})

test('a car is set to what its station can offer, and another takes the rest', (t) => {
  const claims = [claim('a', { stepsA: [6, 8, 10, 13, 16] }), claim('b')]
  t.deepEqual(share(claims, limit('L1', 25, 'a', 'b')), { a: 13, b: 12 })
})

test('with no room left, also less than none, nobody gets anything', (t) => {
  t.deepEqual(share([claim('a')], limit('L1', -3, 'a')), { a: 0 })
})

const steps = fc.option(fc.constantFrom([6, 8, 10, 13, 16], [6, 12, 18, 24, 30]), { nil: undefined })
const claims = fc.array(
  fc.record({
    minA: fc.constantFrom(6, 8),
    maxA: fc.integer({ min: 0, max: 320 }).map((tenth) => tenth / 10),
    stepsA: steps as fc.Arbitrary<readonly number[] | undefined>,
    priority: fc.integer({ min: 0, max: 1 }),
    phases: fc.subarray([0, 1, 2], { minLength: 1 }),
    feeder: fc.integer({ min: 0, max: 2 }),
  }),
  { maxLength: 8 },
)
const rooms = fc.array(
  fc.integer({ min: -500, max: 6000 }).map((part) => part / 100),
  { minLength: 9, maxLength: 9 },
)

/** A house with three phases and two feeders of three phases each. */
const sites = fc.record({ claims, rooms }).map(({ claims: given, rooms: left }) => {
  const named = given.map((one, at) => ({ ...one, id: `c${at}` }))
  const limits = left.map((limitA, at): Limit => {
    const feeder = Math.floor(at / 3)
    const on = named.filter(({ phases, feeder: own }) => phases.includes(at % 3) && (feeder === 0 || own === feeder))
    return { name: `${feeder}/L${(at % 3) + 1}`, limitA, weights: new Map(on.map(({ id }) => [id, 1])) }
  })
  return { claims: named, limits }
})

const used = ({ weights }: Limit, shares: ReadonlyMap<string, number>) =>
  [...weights].reduce((sum, [id, weight]) => sum + weight * (shares.get(id) ?? 0), 0)

const next = ({ minA, stepsA }: Claim, share: number) =>
  stepsA === undefined
    ? share === 0
      ? minA
      : share + 0.1
    : (stepsA.find((step) => step > share && step >= minA) ?? Number.POSITIVE_INFINITY)

/** The least that a charger can be set to without falling below a current. */
const floor = ({ minA, stepsA }: Claim, current: number) =>
  stepsA === undefined
    ? Math.max(minA, current)
    : (stepsA.find((step) => step >= Math.max(minA, current)) ?? Number.POSITIVE_INFINITY)

/** The limits that keep a charger from its next step. */
const holding = (one: Claim, shares: ReadonlyMap<string, number>, limits: readonly Limit[]) => {
  const share = shares.get(one.id) ?? 0
  const more = next(one, share) - share
  return limits.filter((each) => each.weights.has(one.id) && used(each, shares) + more > each.limitA - 1e-6)
}

test('whatever the house: no limit is exceeded, nobody is between nothing and its minimum, or off its steps', (t) => {
  fc.assert(
    fc.property(sites, ({ claims: given, limits }) => {
      const shares = allocate(given, limits)
      for (const each of limits) t.true(used(each, shares) <= Math.max(0, each.limitA) + 1e-9)
      for (const { id, minA, maxA, stepsA } of given) {
        const share = shares.get(id) ?? Number.NaN
        t.true(share === 0 || (share >= minA && share <= maxA && (stepsA?.includes(share) ?? true)))
      }
    }),
  )
})

test('whatever the house: nothing is left that somebody could take with one step more', (t) => {
  fc.assert(
    fc.property(sites, ({ claims: given, limits }) => {
      const shares = allocate(given, limits)
      for (const one of given) {
        const wants = next(one, shares.get(one.id) ?? 0) <= one.maxA + 1e-9
        if (wants) t.true(holding(one, shares, limits).length > 0)
      }
    }),
  )
})

test('whatever the house: who could take more is held by a limit where nobody who has more could make room', (t) => {
  fc.assert(
    fc.property(sites, ({ claims: given, limits }) => {
      const shares = allocate(given, limits)
      for (const one of given) {
        const share = shares.get(one.id) ?? 0
        const wanted = next(one, share)
        if (share === 0 || wanted > one.maxA + 1e-9) continue
        const others = (each: Limit) =>
          given.filter(({ id, priority }) => each.weights.has(id) && priority <= one.priority)
        const isFair = (each: Limit) => {
          // What all could give back who would still have as much as the one that is held comes to with its next step.
          const spare = others(each)
            .map((other) => (shares.get(other.id) ?? 0) - floor(other, wanted))
            .reduce((sum, more) => sum + Math.max(0, more), 0)
          return used(each, shares) - spare + (wanted - share) > each.limitA - 1e-6
        }
        t.true(holding(one, shares, limits).some(isFair))
      }
    }),
  )
})

test('the same house gets the same shares', (t) => {
  fc.assert(
    fc.property(sites, ({ claims: given, limits }) => {
      t.deepEqual(allocate(given, limits), allocate(structuredClone(given), [...limits]))
    }),
  )
})
