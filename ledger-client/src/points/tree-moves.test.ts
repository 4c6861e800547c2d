import { makeSigner, type PointId, signOrder } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { type Device, fastVerifier, type Message, openRig, startMs } from '../../test/rig.ts'
import { closed, interleave, type Meter, type Move, model, sign, sums, timeOf, treesOf } from '../../test/trees.ts'
import { auditLedger } from '../audit/audit.ts'
import type { LedgerEngine } from '../engine.ts'

const alice = makeSigner(new Uint8Array(32).fill(7))

/** Some of the points change their places: to one that stands before them in the list, or to none. */
const movingTrees = fc.tuple(treesOf({ meters: 3, steps: 2 }), fc.nat(3)).chain(([some, rest]) => {
  const meters = rest === 0 ? some : closed(some)
  return fc.record({
    meters: fc.constant(meters),
    moves: fc
      .uniqueArray(fc.record({ child: fc.nat(meters.length - 2), after: fc.nat(8), to: fc.nat(11) }), {
        selector: ({ child }) => child,
        minLength: 1,
        maxLength: 3,
      })
      .map((rows) => rows.flatMap((row): Move[] => toMove(meters, row))),
    picks: fc.tuple(...Array.from({ length: 2 }, () => fc.array(fc.nat(), { minLength: 8, maxLength: 8 }))),
    late: fc.nat(),
  })
})

// Mostly to another place; what leaves for none is one in four.
function toMove(meters: readonly Meter[], { child: row, after, to }: Move): Move[] {
  const child = row + 1
  const meter = meters[child]!
  const places = [...Array(child).keys()].filter((place) => place !== meter.parent)
  const place = to % 4 === 0 ? -1 : places[to % places.length]
  return place === undefined ? [] : [{ child, after: after % (meter.steps.length + 1), to: place }]
}

interface Sending {
  readonly meters: readonly Meter[]
  readonly devices: readonly Device[]
  readonly streams: readonly Message[][]
  readonly moves: readonly Move[]
}

type Event = { readonly meter: number; readonly at: number; readonly count: number; readonly message: Message }

/** Orders stand in the journal before what they are about; beyond that, everything arrives as it likes. */
function send(
  engine: LedgerEngine,
  sending: Sending,
  { picks, late }: { picks: readonly number[]; late: number },
): void {
  const { meters, devices, streams, moves } = sending
  engine.ingest(devices.map((device) => device.certificateMessage()))
  for (const { child } of moves) acceptBy(engine, devices[child]!)
  const events = interleave(
    streams.map((stream, meter) =>
      stream.map((message, index): Event => {
        return { meter, at: timeOf(meters[meter]!, index + 1)!, count: index + 1, message }
      }),
    ),
    picks,
  )
  const due = moves.map((move) => ({ move, index: moveIndex(sending, move, events, late) }))
  for (let index = 0; index <= events.length; index++) {
    for (const { move } of due.filter((each) => each.index === index)) orderMove(engine, devices, move)
    const event = events[index]
    if (event !== undefined) engine.ingest([event.message])
  }
}

// The last moment at which an order can come: before the child goes past its place, and before anybody above the new
// place reads beyond it. Who has no children yet books its own register until the order comes, so there it comes first.
function moveIndex(
  { meters, moves }: Sending,
  { child, after, to }: Move,
  events: readonly Event[],
  late: number,
): number {
  if (to >= 0 && !meters.some(({ parent }) => parent === to)) return 0
  const border = timeOf(meters[child]!, after) ?? startMs
  const above = new Set<number>()
  const climb = (index: number): void => {
    if (index < 0 || above.has(index)) return
    above.add(index)
    climb(meters[index]!.parent)
    for (const move of moves) if (move.child === index) climb(move.to)
  }
  climb(to)
  const first = events.findIndex(({ meter, at, count }) => {
    return (meter === child && count > after) || (above.has(meter) && at > border)
  })
  return late % ((first < 0 ? events.length : first) + 1)
}

function acceptBy(engine: LedgerEngine, { id, certificate }: Device): void {
  const action = { do: 'accept', certificate: certificate.hash, owner: 'alice' } as const
  const { text } = signOrder({ point: id, action, issuedAt: startMs }, alice)
  engine.db.write(() => engine.orders.apply([certificate.text, text]))
}

function orderMove(engine: LedgerEngine, devices: readonly Device[], { child, after, to }: Move): void {
  const place = after === 0 ? { epoch: 0, sequence: 0 } : { epoch: devices[child]!.epoch, sequence: after }
  const behind = to < 0 ? {} : { behind: `gw-1/m${to}` as PointId }
  const action = { do: 'move', after: place, ...behind } as const
  const { text } = signOrder({ point: devices[child]!.id, action, issuedAt: startMs + 1 }, alice)
  engine.db.write(() => {
    engine.orders.apply([text])
    engine.remainders.settleAll()
  })
}

test('SPEC-96: points that join and leave are booked once, the same in every order of arrival', (t) => {
  fc.assert(
    fc.property(movingTrees, ({ meters, moves, picks, late }) => {
      const { devices, streams } = sign(meters)
      const expected = model(meters, moves)
      for (const [run, order] of picks.entries()) {
        const teardowns: (() => void)[] = []
        const { engine } = openRig({ teardown: (fn) => teardowns.push(fn) })
        try {
          send(engine, { meters, devices, streams, moves }, { picks: order, late: run === 0 ? 0 : late })
          t.deepEqual(sums(engine, devices), expected)
          if (run === 1) t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
        } finally {
          for (const fn of teardowns.toReversed()) fn()
        }
      }
      for (const [index, { minted }] of expected.entries()) {
        const isParent = meters.some(({ parent }) => parent === index) || moves.some(({ to }) => to === index)
        if (isParent) t.is(minted, 0n)
      }
    }),
    { numRuns: Number(process.env['TREE_RUNS'] ?? 20) },
  )
})
