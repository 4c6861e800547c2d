import { makeTimestamp, type PointId, parseOcmfText } from '@wattline/protocol'
import { decodeConfig, type GatewayConfig } from '../src/config.ts'
import type { AttestedRecord } from '../src/record-writer.ts'
import { PointSigner } from '../src/sessions/point-signer.ts'
import type { SessionReading } from '../src/sessions/session-signer.ts'
import { openRig, type RigOptions, type SigningRig } from './signing-rig.ts'

/** For tests: a gateway's configuration with a roof, and stations as they are wanted. */
export function sessionConfig(
  dataDir: string,
  { stations = '', intervalSeconds = 60 }: { readonly stations?: string; readonly intervalSeconds?: number } = {},
): GatewayConfig {
  const text = `
version: 1
gateway: { id: gw-1, dataDir: ${dataDir} }
buses: [{ id: lan, tcp: { host: 127.0.0.1 } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: bidirectional, intervalSeconds: ${intervalSeconds} }]
ocpp:
  host: 127.0.0.1
  port: 0
  stations: [${stations}]
`
  return decodeConfig(text, '/test/gateway.yaml')
}

/** For tests: a signing rig with a session signer beside the meter's attestor. */
export interface SessionRig extends SigningRig {
  readonly config: GatewayConfig
  readonly signer: PointSigner
  /** What was told after commits. */
  readonly told: { signed: AttestedRecord[]; silent: AttestedRecord[]; met: PointId[] }
  /** Signs one reading of session 1 at CP1, connector 1, a minute later than the one before. */
  charge(mark: SessionReading['mark'], registerWh: number, changes?: Partial<SessionReading>): void
  /** The records of a charging point. */
  records(point?: string): ReturnType<typeof parseOcmfText>['record'][]
}

export const cp1 = 'gw-1/CP1.1' as PointId

export function openSessionRig(
  options: RigOptions & { readonly stations?: string; readonly intervalSeconds?: number },
): SessionRig {
  const rig = openRig(options)
  const config = sessionConfig(options.dataDir, options)
  const told: SessionRig['told'] = { signed: [], silent: [], met: [] }
  const signer = new PointSigner({
    config,
    store: rig.session.store,
    writer: rig.writer,
    clock: rig.clock,
    events: {
      signed: (record) => told.signed.push(record),
      silent: (record) => told.silent.push(record),
      met: ({ point }) => told.met.push(point),
    },
  })
  return {
    ...rig,
    config,
    signer,
    told,
    charge: (mark, registerWh, changes = {}) => {
      rig.clock.nowMs += 60_000
      signer.sign({
        place: { stationId: 'CP1', connectorId: 1 },
        sessionId: 1,
        mark,
        registerWh: BigInt(registerWh),
        takenAt: makeTimestamp(rig.clock.nowMs),
        clockStatus: 'S',
        ...changes,
      })
    },
    records: (point = cp1) => rig.texts(point as PointId).map((text) => parseOcmfText(text).record),
  }
}
