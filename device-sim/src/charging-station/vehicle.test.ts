import test from 'ava'
import { smallCar } from './station-rig.ts'
import { Vehicle } from './vehicle.ts'

const offer = { currentA: 32, phases: 3 }

function charge(vehicle: Vehicle, seconds: number): number[] {
  return Array.from({ length: seconds }, () => {
    const power = vehicle.drawOf(offer)
    vehicle.second(power)
    return power
  })
}

test('it draws what both sides can, on the phases that both have', (t) => {
  const vehicle = new Vehicle({ ...smallCar, phases: 2 })
  t.is(vehicle.drawOf({ currentA: 10, phases: 3 }), 10 * 230 * 2 * 1000)
  t.is(vehicle.drawOf({ currentA: 32, phases: 1 }), 16 * 230 * 1000)
  t.is(vehicle.drawOf({ currentA: 5, phases: 3 }), 0)
})

test('above its taper point it takes less and less, and stops at its target', (t) => {
  const vehicle = new Vehicle({ ...smallCar, batteryWh: 1000, socPercent: 70, targetPercent: 95 })
  const powers = charge(vehicle, 3600)
  const full = 16 * 230 * 3 * 1000
  t.is(powers[0], full)
  t.is(powers.filter((power, i) => i > 0 && power > powers[i - 1]!).length, 0)
  t.true(powers.some((power) => power > 0 && power < full / 2))
  t.is(powers.at(-1), 0)
  t.false(vehicle.wantsEnergy)
  t.true(vehicle.socPercent >= 95 && vehicle.socPercent < 96)
})

test('what is stored is nine tenths of what was drawn', (t) => {
  const vehicle = new Vehicle({ ...smallCar, batteryWh: 20_000, socPercent: 0 })
  const drawnWh = charge(vehicle, 3000).reduce((a, b) => a + b) / 3_600_000
  t.true(Math.abs((vehicle.socPercent / 100) * 20_000 - drawnWh * 0.9) < 0.001)
})

test('in a pause it takes nothing', (t) => {
  const powers = charge(new Vehicle({ ...smallCar, pauses: [{ at: 10, for: 5 }] }), 20)
  t.deepEqual(
    powers.map((power) => power > 0),
    Array.from({ length: 20 }, (_, i) => i < 10 || i >= 15),
  )
})
