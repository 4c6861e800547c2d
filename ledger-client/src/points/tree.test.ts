import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier, openRig, startMs } from '../../test/rig.ts'
import { closed, interleave, model, sign, sums, trees } from '../../test/trees.ts'
import { auditLedger } from '../audit/audit.ts'
import type { LedgerEngine } from '../engine.ts'

test('SPEC-84: a tree books the same in every order of arrival, mints nothing from a remainder, and adds up', (t) => {
  fc.assert(
    fc.property(
      trees,
      fc.array(fc.nat(), { minLength: 8, maxLength: 8 }),
      fc.array(fc.nat(), { minLength: 8, maxLength: 8 }),
      (meters, one, other) => {
        const { devices, streams } = sign(meters)
        const results = [one, other].map((picks) => {
          const teardowns: (() => void)[] = []
          const { engine } = openRig({ teardown: (fn) => teardowns.push(fn) })
          try {
            engine.ingest(devices.map((device) => device.certificateMessage()))
            const out = engine.ingest(interleave(streams, picks))
            t.is(out.quarantined, 0)
            const report = auditLedger(engine.db, fastVerifier)
            t.deepEqual(report.faults, [])
            return sums(engine, devices)
          } finally {
            for (const fn of teardowns.toReversed()) fn()
          }
        })
        t.deepEqual(results[0], results[1])
        t.deepEqual(results[0], model(meters))
        for (const [index, { minted }] of results[0]!.entries()) {
          if (meters.some(({ parent }) => parent === index)) t.is(minted, 0n)
        }
      },
    ),
    { numRuns: 40 },
  )
})

test('SPEC-84: booked in the whole tree plus carried is exactly what the root measured', (t) => {
  fc.assert(
    fc.property(trees, fc.array(fc.nat(), { minLength: 8, maxLength: 8 }), (meters, picks) => {
      // Once every point below speaks after the root's last reading, the root is settled up to it.
      const whole = closed(meters)
      const { devices, streams } = sign(whole)
      const teardowns: (() => void)[] = []
      const { engine } = openRig({ teardown: (fn) => teardowns.push(fn) })
      try {
        engine.ingest([...devices.map((device) => device.certificateMessage()), ...interleave(streams, picks)])
        const root = engine.registry.get(devices[0]!.id)!
        const firstAt =
          root.base === undefined
            ? 0
            : Number(
                engine.db.prepare<[], { at: number }>('SELECT min(taken_at) AS at FROM record WHERE point = 1').get()
                  ?.at,
              )
        const restarts = whole[0]!.steps.filter(({ state }) => state === 're-based').length
        if (restarts > 0 || whole[0]!.steps[0]?.state !== 'ok') return // what flows while the root does not count is outside its net
        const booked = devices.map(({ id }) => bookedBetween(engine, id, firstAt, root.head!.takenAt))
        t.is(booked.reduce((sum, wh) => sum + wh, 0n) + root.carriedWh, root.netWh)
      } finally {
        for (const fn of teardowns.toReversed()) fn()
      }
    }),
    { numRuns: 40 },
  )
})

function bookedBetween(engine: LedgerEngine, id: string, from: number, to: number): bigint {
  const at = engine.db.prepareWide<[string, number], { booked_wh: bigint | null }>(
    `SELECT booked_wh FROM record WHERE point = (SELECT id FROM point WHERE name = ?) AND taken_at <= ?
     ORDER BY taken_at DESC LIMIT 1`,
  )
  return (at.get(id, to)?.booked_wh ?? 0n) - (at.get(id, from)?.booked_wh ?? 0n)
}

/** A house meter, a roof and a charger behind it. */
function house() {
  const options = { owner: 'alice' }
  return {
    house: new Device({ meter: 'house', role: 'bidirectional', ...options }),
    roof: new Device({ meter: 'roof', role: 'producer', behind: 'gw-1/house', ...options }),
    charger: new Device({ meter: 'charger', role: 'charger', behind: 'gw-1/house', ...options }),
  }
}

const at = (seconds: number) => ({ takenAt: startMs + seconds * 1000 })

test('SPEC-84: energy behind a meter is booked once, at the leaf; the meter books what is left', (t) => {
  const { engine } = openRig(t)
  const { house: meter, roof, charger } = house()
  engine.ingest([meter, roof, charger].map((each) => each.certificateMessage()))
  engine.ingest([
    meter.read({ import: 0n, export: 0n }, at(1)),
    roof.read({ export: 0n }, at(0)),
    charger.read({ import: 0n }, at(0)),
    roof.read({ export: 50n }, at(10)),
    charger.read({ import: 30n }, at(10)),
    meter.read({ import: 5n, export: 0n }, at(10)),
  ])
  t.is(engine.registry.get(meter.id)?.burnedWh, 0n, 'it waits until the others have spoken past it')
  engine.ingest([roof.read({ export: 50n }, at(20)), charger.read({ import: 30n }, at(20))])
  // The roof gave 50, the charger took 30, the grid gave 5: the house itself used 25.
  t.is(engine.registry.get(meter.id)?.burnedWh, 25n)
  t.is(engine.registry.get(roof.id)?.mintedWh, 50n)
  t.is(engine.registry.get(charger.id)?.burnedWh, 30n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('SPEC-84: a remainder above zero is carried, and used up by later consumption', (t) => {
  const { engine } = openRig(t)
  const { house: meter, roof } = house()
  engine.ingest([meter.certificateMessage(), roof.certificateMessage()])
  engine.ingest([
    meter.read({ import: 0n, export: 0n }, at(1)),
    roof.read({ export: 0n }, at(0)),
    meter.read({ import: 0n, export: 40n }, at(10)),
    roof.read({ export: 10n }, at(11)),
  ])
  t.like(engine.registry.get(meter.id), { mintedWh: 0n, burnedWh: 0n, carriedWh: 40n })
  engine.ingest([meter.read({ import: 100n, export: 40n }, at(20)), roof.read({ export: 10n }, at(21))])
  t.like(engine.registry.get(meter.id), { mintedWh: 0n, burnedWh: 70n, carriedWh: 0n })
})

test('a frozen or revoked child is not waited for', (t) => {
  const { engine } = openRig(t)
  const { house: meter, roof, charger } = house()
  engine.ingest([meter, roof, charger].map((each) => each.certificateMessage()))
  engine.ingest([
    meter.read({ import: 0n, export: 0n }, at(1)),
    roof.read({ export: 0n }, at(0)),
    charger.read({ import: 0n }, at(0)),
    meter.read({ import: 9n, export: 0n }, at(10)),
    roof.read({ export: 0n }, at(11)),
  ])
  t.is(engine.registry.get(meter.id)?.burnedWh, 0n)
  engine.db.write(() => {
    engine.enrolment.revoke(charger.id, { epoch: charger.epoch, sequence: 1 })
    engine.remainders.settleAll()
  })
  t.is(engine.registry.get(meter.id)?.burnedWh, 9n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('a point that booked itself and gets children later goes on with the remainder', (t) => {
  const { engine } = openRig(t)
  const { house: meter, charger } = house()
  engine.ingest([
    meter.certificateMessage(),
    meter.read({ import: 0n, export: 0n }, at(1)),
    meter.read({ import: 20n, export: 0n }, at(10)),
  ])
  t.is(engine.registry.get(meter.id)?.burnedWh, 20n)
  engine.ingest([
    charger.certificateMessage(),
    charger.read({ import: 0n }, at(11)),
    meter.read({ import: 35n, export: 0n }, at(20)),
    charger.read({ import: 12n }, at(19)),
    charger.read({ import: 12n }, at(29)),
  ])
  t.is(engine.registry.get(meter.id)?.burnedWh, 23n)
  t.is(engine.registry.get(charger.id)?.burnedWh, 12n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
})

test('a clock that ran ahead once does not hold up its parent', (t) => {
  const { engine } = openRig(t)
  const { house: meter, charger } = house()
  engine.ingest([meter.certificateMessage(), charger.certificateMessage()])
  engine.ingest([
    meter.read({ import: 0n, export: 0n }, at(1)),
    charger.read({ import: 0n }, at(0)),
    meter.read({ import: 10n, export: 0n }, at(9_000_000)),
    meter.read({ import: 12n, export: 0n }, at(20)),
    charger.read({ import: 0n }, at(21)),
  ])
  t.is(engine.registry.get(meter.id)?.burnedWh, 12n)
  t.true(auditLedger(engine.db, fastVerifier).ok)
})
