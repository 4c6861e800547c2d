import test from 'ava'
import fc from 'fast-check'
import { type Event, events, type HistoryOptions, Parts, runHistory } from './receipts-line.ts'

let parts: Parts
test.before(() => {
  parts = new Parts()
})
test.after.always(() => parts.end())

test.serial('promise 1: outbox and ledger keep what the model of their protocol promises', async (t) => {
  t.timeout(600_000)
  await fc.assert(
    fc.asyncProperty(events, fc.boolean(), (plan, onChain) => runHistory(parts, plan, { onChain })),
    { numRuns: 20 },
  )
  t.pass()
})

const read: Event = { kind: 'read', wh: 100 }
const all = 99
const exchange: Event[] = [
  { kind: 'flow', to: 'ledger', count: all },
  { kind: 'flow', to: 'gateway', count: all },
]
const of = (part: 'gateway' | 'ledger', ...kinds: ('link' | 'copy' | 'restore')[]): Event[] =>
  kinds.map((kind) => ({ kind, part }))

const more = [read, ...exchange]
const bothRestored: readonly (HistoryOptions & { readonly what: string; readonly plan: readonly Event[] })[] = [
  {
    what: 'what the gateway keeps goes on from a record before that at which the ledger stands',
    plan: [
      ...[...of('gateway', 'copy'), ...more, ...of('ledger', 'copy'), ...of('gateway', 'restore'), ...more],
      ...of('ledger', 'restore'),
    ],
    keepsAll: true,
    onChain: false,
  },
  {
    what: 'nothing that the gateway keeps goes on from anything that the ledger has',
    plan: [
      ...[...of('ledger', 'copy'), ...more, ...more, { kind: 'prune' } as const, ...of('gateway', 'copy')],
      ...[...of('ledger', 'restore'), ...exchange, ...more, ...of('gateway', 'restore')],
    ],
    onChain: false,
  },
]
for (const { what, plan, ...options } of bothRestored) {
  test.serial(`SPEC-75: both are restored, and go on by themselves: ${what}`, async (t) => {
    await runHistory(parts, [...plan, read], options)
    t.pass()
  })
}

test.serial('SPEC-76: a restored gateway gets past what the ledger has had for long', async (t) => {
  const unplugged = [...of('gateway', 'link'), read, read, ...of('gateway', 'copy'), read, read]
  const restored: Event[] = [...of('gateway', 'link'), { kind: 'flow', to: 'ledger', count: all }]
  // Whatever the ledger answers is lost, until the gateway sends one record at a time.
  const silence = Array.from({ length: 4 }, (): Event[] => [
    { kind: 'wait' },
    { kind: 'wait' },
    { kind: 'lose', to: 'gateway', count: all },
  ]).flat()
  const plan = [...unplugged, ...restored, ...of('gateway', 'restore'), ...silence, read, read]
  await runHistory(parts, plan, { onChain: false })
  t.pass()
})

// So that it is known to bite: parts that get it wrong are found.
const mutants: readonly (HistoryOptions & { readonly told: RegExp })[] = [
  { onChain: false, mutant: 'frees at PUBACK', told: /is freed, and no ledger ever held it/ },
  { onChain: false, mutant: 'sums deltas', told: /Wh are (counted|booked), the meter has counted/ },
  { onChain: true, mutant: 'tells what is not final', told: /is freed, and the chain may still undo it/ },
]
for (const { told, ...options } of mutants) {
  test.serial(`SPEC-70, SPEC-80: a part that gets it wrong is found: it ${options.mutant}`, async (t) => {
    const found = await fc.check(
      fc.asyncProperty(events, (plan) => runHistory(parts, plan, options)),
      // A seed that soon leads there; another one may need some dozens.
      { numRuns: 200, seed: 11, endOnFailure: true },
    )
    t.true(found.failed)
    t.regex(String(found.errorInstance), told)
  })
}
