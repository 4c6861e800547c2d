import type { CardHolder, SignedDrivers } from './drivers-list.ts'

/** Whose house it is. */
export const owner = 'ada'

/** Charging stations behind the house meter, and who may charge there. */
export interface HouseCharging {
  /** Where the gateway serves them. */
  readonly port: number
  readonly drivers: SignedDrivers
}

interface Charger extends CardHolder {
  readonly id: string
  readonly ocpp: '1.6' | '2.0.1'
  /** When its driver comes, how long the stay is and how often, in real seconds after the gateway has taken it. */
  readonly firstAt: number
  readonly staySeconds: number
  readonly everySeconds: number
}

/** One station of each make, with a driver of its own: a run of twenty seconds sees sessions end, and one that is open. */
export const chargers: readonly Charger[] = [
  {
    id: 'garage',
    ocpp: '1.6',
    token: '04A2B1C37E5580',
    driver: 'ben',
    firstAt: 0.5,
    staySeconds: 4.5,
    everySeconds: 7,
  },
  {
    id: 'carport',
    ocpp: '2.0.1',
    token: '04D9E8F6125A91',
    driver: 'cleo',
    firstAt: 1,
    staySeconds: 5.5,
    everySeconds: 8,
  },
]

// A value a second: at this speed it stands for two minutes.
const settings = {
  '1.6': { MeterValueSampleInterval: '1' },
  '2.0.1': { 'SampledDataCtrlr.TxUpdatedInterval': '1' },
}

/** The stations as the simulator runs them. Whoever comes while the gateway is not there yet would be sent away. */
export function simStations(port: number): readonly object[] {
  return chargers.map(({ id, ocpp, token, driver: _, ...visits }) => ({
    id,
    ocpp,
    url: `ws://127.0.0.1:${port}`,
    evses: [{ startWh: 250_000 }],
    settings: settings[ocpp],
    stepsFrom: 'accepted',
    // One phase: no station is believed to give more than 500 kW (SPEC-111), and time runs that much faster.
    drivers: [{ idToken: token, ...visits, sessions: 1000, vehicle: { batteryWh: 80_000, socPercent: 10, phases: 1 } }],
  }))
}

/** The part of gateway.yaml that serves them. */
export function gatewayCharging({ port, drivers }: HouseCharging, maxPowerW: number): object {
  const terms = { behind: 'house', owner, maxPowerW }
  return {
    ocpp: {
      host: '127.0.0.1',
      port,
      stations: chargers.map(({ id }) => ({ id, ...terms, connectors: [{ id: 1 }] })),
    },
    drivers,
  }
}
