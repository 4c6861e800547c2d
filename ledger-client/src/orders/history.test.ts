import { hash } from 'node:crypto'
import { type Holdings, isCurrency, namesIn, toHoldings, WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { charger } from '../../test/charging-rig.ts'
import { eur, usd } from '../../test/money.ts'
import { Device, fastVerifier, openRig, type Rig } from '../../test/rig.ts'
import { auditLedger } from '../audit/audit.ts'
import { correct } from '../ledger/corrections.ts'
import { parseEntryContent } from '../proof/entry-content.ts'
import { History } from './history.ts'

const people = ['alice', 'bob', 'carol'] as const
const person = fc.constantFrom(...people)
const amount = fc.bigInt({ min: 1n, max: 400n })
const step = fc.oneof(
  fc.record({ do: fc.constantFrom('mint', 'burn'), wh: amount }),
  fc.record({ do: fc.constant('session'), driver: person, wh: amount }),
  fc.record({
    do: fc.constantFrom('transfer', 'payment', 'fee', 'burn-own', 'reserve'),
    asset: fc.constantFrom('WATT' as const, 'EEA' as const, eur),
    from: person,
    to: person,
    amount,
  }),
  fc.record({ do: fc.constantFrom('deposit', 'withdraw'), owner: person, asset: fc.constantFrom(eur, usd), amount }),
  fc.record({ do: fc.constantFrom('post', 'void'), which: fc.nat(), amount }),
  fc.record({ do: fc.constant('correct'), entry: fc.integer({ min: 1, max: 60 }) }),
  fc.record({ do: fc.constant('wait') }),
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** A ledger in which three people have roofs, heaters, cars, reservations and disputes. */
function play(rig: Rig, steps: readonly Step[]): Set<string> {
  const { engine, clock } = rig
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const heat = new Device({ meter: 'heat', role: 'consumer', owner: 'bob' })
  const point = charger()
  const register = { export: 0n, import: 0n, car: 0n }
  engine.ingest([
    ...[roof.certificateMessage(), heat.certificateMessage(), point.certificateMessage()],
    ...[roof.read({ export: 0n }), heat.read({ import: 0n })],
  ])
  const reserved: string[] = []
  const perform = (each: Step, id: string) => {
    const { transfers, journal } = engine
    switch (each.do) {
      case 'mint':
        register.export += 'wh' in each ? each.wh : 0n
        return engine.ingest([roof.read({ export: register.export })])
      case 'session': {
        if (!('driver' in each)) return
        const begin = point.read({ import: register.car }, { mark: 'B', driver: each.driver })
        register.car += each.wh
        return engine.ingest([begin, point.read({ import: register.car }, { mark: 'E', driver: each.driver })])
      }
      case 'burn':
        register.import += 'wh' in each ? each.wh : 0n
        return engine.ingest([heat.read({ import: register.import })])
      case 'wait':
        clock.ms += 40
        return engine.processNext()
      case 'correct':
        if (!('entry' in each)) return
        return engine.db.write(() => correct(journal, { entry: each.entry, reason: 'a slip' }))
    }
    return engine.db.write(() => {
      if ('which' in each) {
        const reservation = reserved[each.which % Math.max(1, reserved.length)] ?? 'none'
        return each.do === 'void'
          ? transfers.void(id, { reservation })
          : transfers.post(id, { reservation, amount: each.amount })
      }
      if ('owner' in each) {
        const { owner, asset, amount: units } = each
        if (each.do === 'deposit') return transfers.deposit({ id, asset, owner, amount: units, reference: 'bank' })
        const out = { id, asset, from: owner, to: owner, amount: units, kind: 'withdrawal' } as const
        return transfers.transfer({ ...out, note: { payout: 'home', reference: 'bank' } })
      }
      if (!('from' in each)) return
      const { from, asset, amount: units } = each
      const given = isCurrency(asset) ? 'payment' : 'transfer'
      const kind = each.do === 'burn-own' ? 'burn' : each.do === 'fee' || each.do === 'payment' ? each.do : given
      const order = { id, asset, from, to: kind === 'burn' ? from : each.to, amount: units, kind } as const
      // A fee names the order that it is charged for: the payment that is always there.
      if (kind === 'fee') return transfers.transfer({ ...order, note: { for: 'o-4' } })
      if (each.do !== 'reserve') return transfers.transfer(order)
      reserved.push(id)
      return transfers.reserve({ ...order, expiresAt: clock.ms + 100 })
    })
  }
  for (const [n, each] of steps.entries()) {
    try {
      perform(each, `o-${n}`)
    } catch (error) {
      if (!(error instanceof WattError)) throw error // refused: nothing moved
    }
  }
  const kinds = engine.db.prepare<[], { kind: string }>('SELECT DISTINCT kind FROM entry').all()
  return new Set(kinds.map(({ kind }) => kind))
}

const holders = ['alice', 'bob', 'carol', 'dora', 'eve']

/** One of each kind, so that none is left to chance. */
const always: readonly Step[] = [
  { do: 'mint', wh: 5000n },
  { do: 'burn', wh: 30n },
  { do: 'session', driver: 'carol', wh: 40n },
  { do: 'transfer', asset: 'EEA', from: 'alice', to: 'bob', amount: 7n },
  { do: 'payment', asset: 'WATT', from: 'alice', to: 'bob', amount: 900n },
  { do: 'fee', asset: 'WATT', from: 'alice', to: 'carol', amount: 5n },
  { do: 'burn-own', asset: 'WATT', from: 'bob', to: 'bob', amount: 3n },
  { do: 'reserve', asset: 'WATT', from: 'alice', to: 'carol', amount: 300n },
  { do: 'post', which: 0, amount: 100n },
  { do: 'reserve', asset: 'EEA', from: 'alice', to: 'carol', amount: 300n },
  { do: 'void', which: 1, amount: 1n },
  { do: 'reserve', asset: 'WATT', from: 'bob', to: 'carol', amount: 50n },
  { do: 'deposit', owner: 'alice', asset: eur, amount: 400n },
  { do: 'reserve', asset: eur, from: 'alice', to: 'bob', amount: 90n },
  { do: 'post', which: 3, amount: 80n },
  { do: 'withdraw', owner: 'bob', asset: eur, amount: 30n },
  ...Array<Step>(4).fill({ do: 'wait' }),
  ...[5, 6, 7, 8, 9, 10, 11, 12].map((entry): Step => ({ do: 'correct', entry })),
]

test('SPEC-155: whatever moved an account, its history adds up to what it holds, page by page, newest first', (t) => {
  const seen = new Set<string>()
  const limit = 6
  const lengths = new Set<boolean>()
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 60 }), (steps) => {
      const rig = openRig(t, { eeaHolders: holders })
      for (const kind of play(rig, [...always, ...steps])) seen.add(kind)
      const { db, orderStore, journal } = rig.engine
      const history = new History(db, orderStore)
      for (const owner of holders) {
        const sum = new Map<string, bigint>()
        const ids: number[] = []
        let held: Holdings | undefined
        for (let before = 0; ; ) {
          const page = history.read(owner, { before, limit })
          held ??= page.holdings
          t.true(page.lines.length <= limit)
          for (const { name, content, previous } of page.lines) {
            const [id, digest] = name
            const entry = parseEntryContent(content)
            t.is(entry.id, id)
            t.is(hash('sha256', previous + content), digest)
            for (const { account, amount: units } of entry.postings) sum.set(account, (sum.get(account) ?? 0n) + units)
            ids.push(id)
          }
          lengths.add(page.more)
          if (!page.more) break
          before = ids.at(-1) ?? 0
        }
        t.deepEqual(
          ids,
          [...new Set(ids)].toSorted((a, b) => b - a),
          'each once, newest first',
        )
        const known = [eur, usd].filter((code) => sum.has(`money:${code}:${owner}`))
        t.deepEqual(
          toHoldings((name) => sum.get(`${name}:${owner}`) ?? 0n, known),
          held,
        )
        for (const name of namesIn(held ?? {})) t.is(held?.[name], journal.balance(`${name}:${owner}`))
      }
      t.deepEqual(auditLedger(db, fastVerifier).faults, [])
    }),
    { numRuns: 3 },
  )
  // What was never reached was never tested.
  for (const kind of [
    ...['claim', 'session', 'transfer', 'payment', 'fee', 'burn', 'reserve', 'post', 'void', 'expire'],
    ...['correction', 'issue', 'deposit', 'withdrawal'],
  ]) {
    t.true(seen.has(kind), `${kind}: ${[...seen]}`)
  }
  t.true(lengths.has(true))
})

test('SPEC-155: a page of a long history is found by an index, whoever’s it is', (t) => {
  const { engine } = openRig(t)
  const { db, orderStore } = engine
  const asked: string[] = []
  const prepare = (sql: string) => {
    asked.push(sql)
    return db.prepare(sql)
  }
  new History({ prepare, prepareWide: prepare } as unknown as typeof db, orderStore)
  const page = asked.find((sql) => sql.includes('DISTINCT entry'))!
  const plan = db.prepare<unknown[], { detail: string }>(`EXPLAIN QUERY PLAN ${page}`).all('owner:a', 1, 1)
  t.deepEqual(
    plan.map(({ detail }) => detail),
    ['SEARCH posting USING COVERING INDEX posting_account (account=? AND entry<?)'],
  )
})
