import { type OcppVersion, ocppVersions } from '@wattline/protocol'
import test from 'ava'
import { checkOutgoing } from '../ocpp/outgoing.ts'
import { activeStyles, defaultStyles, type ProfileOrder, toSetChargingProfile } from './profile.ts'

const order = (version: OcppVersion, more: Partial<ProfileOrder> = {}): ProfileOrder => ({
  version,
  connector: 2,
  style: { purpose: 'TxProfile', kind: 'Absolute', unit: 'A' },
  limitA: 10.57,
  after: { forSeconds: 120, safeA: 6 },
  transactionId: '17',
  phases: 3,
  stationNowMs: Date.parse('2026-11-21T12:00:00Z'),
  transactionSeconds: 61.9,
  ...more,
})

test('every form of every version is what its schema demands', (t) => {
  for (const version of ocppVersions) {
    for (const style of [...defaultStyles, ...activeStyles(undefined)]) {
      for (const after of [undefined, { forSeconds: 120, safeA: 0 }]) {
        const payload = toSetChargingProfile(order(version, { style, after }))
        t.notThrows(() => checkOutgoing(version, 'SetChargingProfile', payload))
      }
    }
  }
})

test('a limit turns into the safe current by itself, in the same schedule, and names its transaction', (t) => {
  t.deepEqual(toSetChargingProfile(order('ocpp1.6')), {
    connectorId: 2,
    csChargingProfiles: {
      chargingProfileId: 9021,
      transactionId: 17,
      stackLevel: 0,
      chargingProfilePurpose: 'TxProfile',
      chargingProfileKind: 'Absolute',
      chargingSchedule: {
        startSchedule: '2026-11-21T11:55:00.000Z',
        chargingRateUnit: 'A',
        chargingSchedulePeriod: [
          { startPeriod: 0, limit: 10.5 },
          { startPeriod: 420, limit: 6 },
        ],
      },
    },
  })
})

test('a relative schedule counts from the begin of the transaction, and has no begin of its own', (t) => {
  const style = { purpose: 'TxProfile', kind: 'Relative', unit: 'W' } as const
  t.like(toSetChargingProfile(order('ocpp2.0.1', { style, limitA: 10 })), {
    evseId: 2,
    chargingProfile: {
      transactionId: '17',
      chargingSchedule: [
        {
          chargingRateUnit: 'W',
          startSchedule: undefined,
          chargingSchedulePeriod: [
            { startPeriod: 0, limit: 6900, numberPhases: 3 },
            { startPeriod: 181, limit: 4140, numberPhases: 3 },
          ],
        },
      ],
    },
  })
})

test('a limit of the whole station stands at connector 0, by the name that its version has for it', (t) => {
  const style = { purpose: 'ChargingStationMaxProfile', kind: 'Absolute', unit: 'A' } as const
  t.like(toSetChargingProfile(order('ocpp1.6', { style })), {
    connectorId: 0,
    csChargingProfiles: { chargingProfilePurpose: 'ChargePointMaxProfile' },
  })
  t.like(toSetChargingProfile(order('ocpp2.1', { style })), {
    evseId: 0,
    chargingProfile: { chargingProfilePurpose: 'ChargingStationMaxProfile' },
  })
})

test('what the station has taken as its default is tried first', (t) => {
  const [first, , , , next] = activeStyles({ purpose: 'TxDefaultProfile', kind: 'Relative', unit: 'W' })
  t.deepEqual(first, { purpose: 'TxProfile', kind: 'Relative', unit: 'W' })
  t.deepEqual(next, { purpose: 'TxDefaultProfile', kind: 'Relative', unit: 'W' })
})
