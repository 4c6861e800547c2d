import test from 'ava'
import fc from 'fast-check'
import { EnergyTree } from '../energy-tree.ts'
import { Evse, type EvseFault } from './evse.ts'
import { smallCar } from './station-rig.ts'
import { Vehicle } from './vehicle.ts'

function makeEvse(more: { hasVentilation?: boolean } = {}): Evse {
  const evse = new Evse({ maxCurrentA: 32, phases: 3, hasVentilation: false, ...more })
  evse.powered = true
  return evse
}

function charging(more = {}): Evse {
  const evse = makeEvse()
  evse.plugIn(new Vehicle({ ...smallCar, ...more }))
  evse.released = true
  evse.second()
  return evse
}

test('IEC 61851: the pilot goes through A, B and C, and back', (t) => {
  const evse = makeEvse()
  t.is(evse.pilot, 'A')
  evse.plugIn(new Vehicle(smallCar))
  t.is(evse.pilot, 'B')
  t.false(evse.locked)
  evse.released = true
  t.is(evse.pilot, 'C')
  t.true(evse.locked && evse.contactorClosed)
  t.is(evse.second(), 16 * 230 * 3 * 1000)
  evse.released = false
  t.is(evse.pilot, 'B')
  t.is(evse.second(), 0)
  evse.unplug()
  t.is(evse.pilot, 'A')
})

test('IEC 61851: state D needs ventilation at the station', (t) => {
  for (const hasVentilation of [true, false]) {
    const evse = makeEvse({ hasVentilation })
    evse.plugIn(new Vehicle({ ...smallCar, needsVentilation: true }))
    evse.released = true
    t.is(evse.pilot, hasVentilation ? 'D' : 'B')
    t.is(evse.second() > 0, hasVentilation)
  }
})

test('IEC 61851: without power E, out of order F, below 6 A no current', (t) => {
  const evse = charging()
  evse.offer = { currentA: 5.9, phases: 3 }
  t.is(evse.pilot, 'B')
  t.is(evse.second(), 0)
  evse.offer = { currentA: 6, phases: 1 }
  t.is(evse.second(), 6 * 230 * 1000)
  evse.operative = false
  t.is(evse.pilot, 'F')
  evse.powered = false
  t.is(evse.pilot, 'E')
  t.false(evse.contactorClosed)
})

test('a tripped RCD opens the contactor at once, until it is set again', (t) => {
  const evse = charging()
  evse.faults.add('rcd-tripped')
  t.is(evse.pilot, 'F')
  t.is(evse.second(), 0)
  t.is(evse.powerMilliwatts, 0)
  t.false(evse.contactorClosed)
  evse.faults.delete('rcd-tripped')
  t.is(evse.pilot, 'C')
})

test('a welded contactor shows when it should open, and stays closed without current', (t) => {
  const evse = charging()
  evse.faults.add('contactor-welded')
  t.is(evse.fault, undefined)
  t.is(evse.pilot, 'C')
  evse.released = false
  t.is(evse.fault, 'contactor-welded')
  t.is(evse.pilot, 'F')
  t.true(evse.contactorClosed)
  t.is(evse.second(), 0)
  evse.faults.delete('contactor-welded')
  t.false(evse.contactorClosed)
})

test('a contactor that welds while it is open is not closed', (t) => {
  const evse = makeEvse()
  evse.plugIn(new Vehicle(smallCar))
  evse.second()
  evse.faults.add('contactor-welded')
  t.false(evse.contactorClosed)
  t.is(evse.fault, undefined)
})

test('a lock that does not hold keeps the contactor open', (t) => {
  const evse = charging()
  evse.faults.add('lock-stuck')
  t.is(evse.fault, 'lock-stuck')
  t.false(evse.locked)
  t.is(evse.second(), 0)
})

const faults: readonly EvseFault[] = ['rcd-tripped', 'contactor-welded', 'lock-stuck']
const act = fc.oneof(
  fc.record({ kind: fc.constant('plug' as const), soc: fc.integer({ min: 0, max: 100 }) }),
  fc.record({ kind: fc.constantFrom('unplug' as const, 'release' as const, 'hold' as const) }),
  fc.record({ kind: fc.constantFrom('power' as const, 'operative' as const), on: fc.boolean() }),
  fc.record({ kind: fc.constant('offer' as const), currentA: fc.double({ min: 0, max: 40, noNaN: true }) }),
  fc.record({ kind: fc.constant('fault' as const), fault: fc.constantFrom(...faults), on: fc.boolean() }),
  fc.record({ kind: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 50 }) }),
)

test('IEC 61851: whatever happens, no current flows in A, B, E and F, and the register is the integral of the power', (t) => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
      const evse = new Evse({ maxCurrentA: 32, phases: 3, hasVentilation: true })
      let vehicle: Vehicle | undefined
      let sum = 0n
      const second = () => {
        const before = evse.pilot
        const power = evse.second()
        sum += BigInt(power)
        if (power > 0 && before !== 'C' && before !== 'D') throw new Error(`${power} mW in state ${before}`)
        if (power > 32 * 230 * 3 * 1000) throw new Error(`${power} mW is more than the station can give`)
        if (!'CD'.includes(evse.pilot) && evse.powerMilliwatts > 0) throw new Error(`power in ${evse.pilot}`)
        return power
      }
      const tree = new EnergyTree([{ id: 'evse', sees: [], curve: second }], 0)
      let seconds = 0
      for (const step of acts) {
        if (step.kind === 'plug') {
          vehicle = new Vehicle({ ...smallCar, batteryWh: 1000, socPercent: step.soc, maxCurrentA: 80 })
          evse.plugIn(vehicle)
        } else if (step.kind === 'unplug') evse.unplug()
        else if (step.kind === 'release' || step.kind === 'hold') evse.released = step.kind === 'release'
        else if (step.kind === 'power') evse.powered = step.on
        else if (step.kind === 'operative') evse.operative = step.on
        else if (step.kind === 'offer') evse.offer = { currentA: Math.min(32, step.currentA), phases: 3 }
        else if (step.kind === 'fault') step.on ? evse.faults.add(step.fault) : evse.faults.delete(step.fault)
        else if (step.kind === 'wait') {
          seconds += step.seconds
          tree.stepTo(seconds)
        }
        if (!'CD'.includes(evse.pilot) && evse.powerMilliwatts > 0) throw new Error(`power in ${evse.pilot}`)
      }
      t.is(tree.flowOf('evse').importMillijoules, sum)
      t.true((vehicle?.socPercent ?? 0) <= 100)
    }),
  )
})
