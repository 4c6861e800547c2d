import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Clock,
  type ClockStatus,
  type MeterId,
  makeGatewayId,
  makeMeterId,
  makePointId,
  makeTimestamp,
  type PointId,
  type Role,
} from '@wattline/protocol'
import { type Attestor, makeAttestor } from '../src/attest.ts'
import type { Observation } from '../src/guard.ts'
import { ensureDeviceKey } from '../src/identity/device-key.ts'
import { type AttestedRecord, RecordWriter } from '../src/record-writer.ts'
import { openSession, type Session } from '../src/session.ts'
import type { PointSetup } from '../src/setup.ts'
import { Outbox } from '../src/store/outbox.ts'

/** For tests: a clock that is set by hand. */
export class HandClock implements Clock {
  nowMs = 1_800_000_000_000
  clockStatus: ClockStatus = 'S'

  now() {
    return makeTimestamp(this.nowMs)
  }

  status() {
    return this.clockStatus
  }
}

/** For tests: where the garbage goes. Both `t.teardown` of ava and a list of one's own will do. */
export type Teardown = (action: () => void) => void

/** A folder that is gone after the test. */
export function makeTempFolder(teardown: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'wattline-'))
  teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** What a rig may be told. */
export interface RigOptions {
  readonly dataDir: string
  readonly clock?: HandClock
  readonly meters?: readonly string[]
  readonly role?: Role
  readonly bootId?: string
  readonly rolloverWh?: bigint
}

/** For tests: everything from a reading to the outbox, on a real data folder, without buses and broker. */
export interface SigningRig {
  readonly dataDir: string
  readonly clock: HandClock
  readonly session: Session
  readonly attestor: Attestor
  readonly writer: RecordWriter
  readonly outbox: Outbox
  readonly setups: readonly PointSetup[]
  readonly points: readonly PointId[]
  /** Signs one reading of the first meter, or of another. */
  sign(exportWh: number, meter?: string): AttestedRecord
  /** The texts of a point, in the order of the chain. */
  texts(point?: PointId): readonly string[]
  close(): void
}

export const rigGatewayId = makeGatewayId('gw-1')
export const rigBootId = 'boot-1'

export function openRig(options: RigOptions): SigningRig {
  const { dataDir, clock = new HandClock(), meters = ['roof'], bootId = rigBootId } = options
  const setups: PointSetup[] = []
  const session = openSession(
    dataDir,
    clock,
    () => setups.push(...meters.map((id) => makeRigSetup(makeMeterId(id), options))),
    bootId,
  )
  const { store, epochs, witness } = session
  const writer = new RecordWriter({ store, dataDir, gatewayId: rigGatewayId, epochs, witness })
  const attestor = makeAttestor({ store, writer, setups })
  const points = setups.map(({ point }) => point)
  return {
    dataDir,
    clock,
    session,
    attestor,
    writer,
    outbox: new Outbox(store),
    setups,
    points,
    sign: (exportWh, meter = meters[0] ?? 'roof') => {
      clock.nowMs += 60_000
      const [record] = attestor.attest([{ meterId: makeMeterId(meter), seen: observeExport(exportWh, clock, bootId) }])
      if (record === undefined) throw new Error('one reading gives one record')
      return record
    },
    texts: (point = points[0]) =>
      store.db
        .prepare(
          `SELECT text FROM records r JOIN points p ON p.number = r.point WHERE p.point = ? ORDER BY r.epoch, r.sequence`,
        )
        .pluck()
        .all(point)
        .map(String),
    close: () => session.close(),
  }
}

function makeRigSetup(meterId: MeterId, { dataDir, role = 'producer', rolloverWh }: RigOptions): PointSetup {
  return {
    meterId,
    point: makePointId(rigGatewayId, meterId),
    role,
    vendor: 'Eastron',
    model: 'SDM630',
    maxPowerW: 54_338,
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
    signer: ensureDeviceKey(dataDir, meterId),
  }
}

/** An observation of an export register at the clock's time. */
export function observeExport(exportWh: number, clock: HandClock, bootId = rigBootId): Observation {
  return {
    kind: 'read',
    moment: { takenAt: clock.now(), clockStatus: clock.status(), bootId, uptimeMs: clock.nowMs - 1_700_000_000_000 },
    energy: { export: { registerWh: BigInt(exportWh), resolutionWh: 1 } },
    serial: '12345',
  }
}
