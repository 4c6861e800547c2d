import test from 'ava'
import { Rig, sessionsOf, smallCar } from './station-rig.ts'
import { Vehicle } from './vehicle.ts'

interface Outcome {
  /** How many moments there were at which a cut could come. */
  readonly points: number
  readonly rig: Rig
}

/**
 * Two drivers, one after the other, and a killed program at the n-th moment: before and after each write to the disk,
 * before each message out and in. The drivers go on as if nothing had happened.
 */
async function live(version: '1.6' | '2.0.1', cutAt: number): Promise<Outcome> {
  let points = 0
  let cut = false
  const rig: Rig = new Rig({
    version,
    preset: { MeterValueSampleInterval: '5', 'SampledDataCtrlr.TxUpdatedInterval': '5' },
    onPoint() {
      points += 1
      if (points !== cutAt) return
      cut = true
      rig.die()
    },
  })
  let vehicle: Vehicle | undefined
  const acts: Readonly<Record<number, () => void>> = {
    2: () => plug(new Vehicle(smallCar)),
    3: () => void rig.station.presentCard(1, 'CARD'),
    12: () => void rig.station.presentCard(1, 'CARD'),
    14: () => plug(undefined),
    16: () => plug(new Vehicle(smallCar)),
    17: () => void rig.station.presentCard(1, 'CARD'),
    29: () => plug(undefined),
  }
  const plug = (next: Vehicle | undefined) => {
    vehicle = next
    if (next === undefined) rig.station.unplug(1)
    else rig.station.plugIn(1, next)
  }
  rig.station.powerOn()
  for (let second = 0; second < 40; second += 1) {
    acts[second]?.()
    await rig.run(1)
    if (!cut) continue
    cut = false
    rig.kill()
    if (vehicle !== undefined) rig.station.plugIn(1, vehicle)
    rig.station.powerOn()
  }
  return { points, rig }
}

for (const version of ['1.6', '2.0.1'] as const) {
  test(`${version}: a power cut at any moment loses no session, doubles none, and invents no energy`, async (t) => {
    const { points, rig: whole } = await live(version, 0)
    t.is(sessionsOf(whole.csms.heard).length, 2)
    t.true(points > 60, `${points}`)
    for (let cutAt = 1; cutAt <= points; cutAt += 1) {
      const { rig } = await live(version, cutAt)
      const sessions = sessionsOf(rig.csms.heard)
      const told = `cut at ${cutAt}: ${JSON.stringify(sessions)}`
      t.is(rig.station.queueLength, 0, told)
      // Whole Wh in 1.6: what lies behind the point is rounded away at both ends.
      const toleranceWh = version === '1.6' ? sessions.length : 0.0005
      const energyWh = sessions.reduce((sum, { beginWh, endWh = Number.NaN }) => sum + endWh - beginWh, 0)
      t.true(Math.abs(energyWh - (rig.registerWh() - 1000)) <= toleranceWh, `${told}, register ${rig.registerWh()}`)
      for (const [i, { beginWh, endWh = Number.NaN }] of sessions.entries()) {
        t.true(endWh >= beginWh, told)
        t.true(beginWh >= (sessions[i - 1]?.endWh ?? 1000), told)
      }
      t.true(sessions.length >= 1 && sessions.length <= 3, told)
      t.deepEqual(
        rig.csms.heard.filter(({ problem }) => problem !== undefined),
        [],
      )
    }
  })
}

test('2.0.1: over all cuts the sequence numbers of a transaction have no gap', async (t) => {
  for (let cutAt = 3; cutAt < 60; cutAt += 4) {
    const { rig } = await live('2.0.1', cutAt)
    const byTransaction = Map.groupBy(rig.csms.heardOf('TransactionEvent'), ({ payload }) =>
      JSON.stringify(payload['transactionInfo']).slice(0, 60),
    )
    for (const events of byTransaction.values()) {
      const numbers = [...new Set(events.map(({ payload }) => Number(payload['seqNo'])))].sort((a, b) => a - b)
      t.deepEqual(
        numbers,
        numbers.map((_, i) => i),
      )
    }
  }
})
