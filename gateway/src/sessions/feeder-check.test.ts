import { makeMeterId } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { KeptLog } from '../../test/csms-rig.ts'
import { openSessionRig } from '../../test/signer-rig.ts'
import { HandClock, makeTempFolder } from '../../test/signing-rig.ts'
import { Health } from '../health.ts'
import { findSessionCheck } from '../store/session-checks.ts'
import { compareWithFeeder, FeederCheck, type FeederReadings } from './feeder-check.ts'

const minute = 60_000

function open(t: ExecutionContext, stations = '{ id: CP1, feederMeter: roof, maxPowerW: 11000 }') {
  const options = { dataDir: makeTempFolder(t.teardown), clock: new HandClock(), stations }
  const rig = openSessionRig(options)
  t.teardown(() => rig.close())
  const [log, health] = [new KeptLog(), new Health()]
  const parts = { config: rig.config, store: rig.session.store, clock: rig.clock, log, health }
  const check = new FeederCheck({ ...parts, points: () => rig.signer.points() })
  const { bootId } = rig.session
  /** The feeder's meter is read after this many minutes. */
  const read = (importWh: number, minutes = 1, accepted = false) => {
    rig.clock.nowMs += minutes * minute
    const moment = { takenAt: rig.clock.now(), clockStatus: 'S' as const, bootId, uptimeMs: rig.clock.nowMs - 1.7e12 }
    if (accepted) rig.session.store.sql("UPDATE points SET rebase = 1 WHERE point = 'gw-1/roof'").run()
    const energy = { import: { registerWh: BigInt(importWh), resolutionWh: 10 } }
    rig.attestor.attest([{ meterId: makeMeterId('roof'), seen: { kind: 'read', moment, energy } }])
  }
  const verdict = (session = 1) => {
    check.run()
    return findSessionCheck(rig.session.store, session)?.verdict
  }
  return { rig, log, health, read, verdict, parts }
}

test('a session that its feeder saw as well agrees, once the meter was read after its end', (t) => {
  const { rig, health, log, read, verdict } = open(t)
  read(50_000)
  rig.charge('begin', 1_000)
  for (const wh of [50_100, 50_250, 50_400]) read(wh)
  rig.charge('end', 1_480)
  t.is(verdict(), undefined, 'the meter was not read since')
  read(50_500)
  t.is(verdict(), 'agrees')
  t.like(findSessionCheck(rig.session.store, 1), { sessionWh: 480n, lowWh: 300n, highWh: 500n, meter: 'roof' })
  t.deepEqual(health.report().reasons, [])
  t.like(log.lines[0], { event: 'session.feeder.agrees', session: 1 })
})

test('a difference beyond both tolerances is flagged: in its row, in the log, in health, also after a restart', (t) => {
  const { rig, health, log, read, verdict, parts } = open(t)
  read(50_000)
  rig.charge('begin', 1_000)
  read(50_100)
  rig.charge('end', 1_360)
  read(50_200)
  t.is(verdict(), 'differs')
  t.regex(findSessionCheck(rig.session.store, 1)?.reason ?? '', /0\.360 kWh .* 0\.000 to 0\.200 kWh .* too much/)
  const reason = { code: 'session/feeder-differs', where: 'feeder: gw-1/CP1.1' }
  t.like(health.report().reasons[0], reason)
  t.like(log.lines[0], { level: 'warn', event: 'session.feeder.differs' })
  const again = new Health()
  new FeederCheck({ ...parts, health: again, points: () => rig.signer.points() })
  t.like(again.report().reasons[0], reason)
  rig.charge('begin', 1_360, { sessionId: 2 })
  rig.charge('end', 1_360, { sessionId: 2 })
  read(50_200)
  t.is(verdict(2), 'agrees')
  t.deepEqual(health.report().reasons, [], 'and it is over when they agree again')
})

test('a station that tells too little is found as well', (t) => {
  const { rig, read, verdict } = open(t)
  rig.charge('begin', 1_000)
  for (const wh of [50_000, 50_150, 50_300, 50_450, 50_600]) read(wh)
  rig.charge('end', 1_300)
  read(50_610)
  t.is(verdict(), 'unknown', 'there is no reading before the begin')
  rig.charge('begin', 1_300, { sessionId: 2 })
  for (const wh of [50_610, 50_750, 50_900, 51_050]) read(wh)
  rig.charge('end', 1_500, { sessionId: 2 })
  read(51_060)
  t.is(verdict(2), 'differs')
  t.regex(findSessionCheck(rig.session.store, 2)?.reason ?? '', /0\.200 kWh .* 0\.440 to 0\.450 kWh .* too little/)
})

test('what cannot be compared is unknown, and is not asked for ever', (t) => {
  const { rig, health, read, verdict } = open(t)
  read(50_000)
  rig.charge('begin', 1_000, { doubt: 'no register' })
  rig.charge('end', 1_100)
  t.is(verdict(1), 'unknown')
  rig.charge('begin', 1_100, { sessionId: 2 })
  rig.charge('end', 1_200, { sessionId: 2 })
  read(7, 1, true)
  t.is(verdict(2), 'unknown', 'the meter began anew with the reading after the end')
  rig.charge('begin', 1_200, { sessionId: 3 })
  read(3, 1, true)
  rig.charge('end', 1_300, { sessionId: 3 })
  read(100)
  t.is(verdict(3), 'unknown')
  rig.charge('begin', 1_300, { sessionId: 4 })
  rig.charge('end', 1_400, { sessionId: 4 })
  t.is(verdict(4), undefined)
  rig.clock.nowMs += 24 * 60 * minute
  t.is(verdict(4), 'unknown')
  t.deepEqual(health.report().reasons, [])
})

test('several that share a feeder may only not tell more than it measured', (t) => {
  const { rig, read, verdict } = open(t, '{ id: CP1, feederMeter: roof, connectors: [{ id: 1 }, { id: 2 }] }')
  const second = { place: { stationId: 'CP1', connectorId: 2 } }
  read(50_000)
  rig.charge('begin', 1_000)
  rig.charge('begin', 9_000, { ...second, sessionId: 2 })
  for (const wh of [50_400, 50_900]) read(wh)
  rig.charge('end', 1_300)
  rig.charge('end', 12_000, { ...second, sessionId: 2 })
  read(51_000)
  t.is(verdict(1), 'agrees')
  t.is(verdict(2), 'differs')
})

test('whatever flows, and whenever it is read: two right meters agree, and what is far off differs', (t) => {
  const power = fc.integer({ min: 0, max: 11_000 })
  fc.assert(
    fc.property(
      fc.array(power, { minLength: 4, maxLength: 60 }),
      fc.integer({ min: 1, max: 15 }),
      fc.integer({ min: -19, max: 19 }),
      (watts, every, error) => {
        // A step a minute; the meter is read each `every` of them, and the session is the middle half.
        const whAt = (step: number) => watts.slice(0, Math.max(0, step)).reduce((sum, w) => sum + w / 60, 0)
        const [begin, end] = [Math.floor(watts.length / 4), Math.floor((watts.length * 3) / 4)]
        const at = (step: number) => ({ takenAt: step, importWh: BigInt(Math.floor(whAt(step))) })
        const [down, up] = [
          (step: number) => at(Math.floor(step / every) * every),
          (step: number) => at(Math.ceil(step / every) * every),
        ]
        const readings: FeederReadings = {
          beforeBegin: down(begin),
          afterBegin: up(begin),
          beforeEnd: down(end),
          afterEnd: up(end),
          restarted: false,
        }
        const trueWh = whAt(end) - whAt(begin)
        const rules = { readings, maxPowerW: 11_000, shared: false }
        const sessionWh = BigInt(Math.round(trueWh * (1 + error / 1000)))
        t.is(compareWithFeeder({ ...rules, sessionWh }).verdict, 'agrees')
        const farWh = BigInt(Math.round((whAt(watts.length + every) + 1_000) * 1.2))
        t.is(compareWithFeeder({ ...rules, sessionWh: farWh }).verdict, 'differs')
      },
    ),
  )
})
