import { type MeterId, WattError } from '@wattline/protocol'
import { type GuardRules, judge, type Observation } from './guard.ts'
import { noHistory } from './guard-history.ts'
import type { AttestedRecord, FirstSight, PreparedPoint, RecordContent, RecordWriter } from './record-writer.ts'
import type { PointSetup } from './setup.ts'
import type { Store } from './store/database.ts'

/** One observation and the metering point that it is of. */
export interface PointObservation {
  readonly meterId: MeterId
  readonly seen: Observation
}

/** Turns observations into signed, stored records. */
export interface Attestor {
  /** Judges, signs and stores in one transaction. What is returned is on the disk; what throws has left nothing. */
  attest(observations: readonly PointObservation[]): readonly AttestedRecord[]
}

/** What an attestor works with. */
export interface AttestorParts {
  readonly store: Store
  readonly writer: RecordWriter
  readonly setups: readonly PointSetup[]
}

/** Makes the one attestor of a gateway's meters. */
export function makeAttestor({ store, writer, setups: all }: AttestorParts): Attestor {
  const setups = new Map(all.map((setup) => [setup.meterId, setup]))
  const prepared = new Map<MeterId, PreparedPoint>()
  const prepare = ({ meterId, seen }: PointObservation): void => {
    if (prepared.has(meterId)) return
    const setup = setups.get(meterId)
    if (setup === undefined) throw new WattError('config/invalid', `no meter '${meterId}' is configured`)
    prepared.set(
      meterId,
      writer.prepare(setup, () => toFirstSight(seen, setup)),
    )
  }
  return {
    attest(observations) {
      // Certificates are files: they are made before the transaction, and found again if it never comes to be.
      observations.forEach(prepare)
      return store.write(() => {
        const records = observations.map(({ meterId, seen }) => {
          const point = prepared.get(meterId)
          if (point === undefined) throw new WattError('config/invalid', `no meter '${meterId}' is configured`)
          return attestOne(writer, point, seen)
        })
        writer.count(records.length)
        return records
      })
    },
  }
}

function toFirstSight(seen: Observation, setup: PointSetup): FirstSight {
  const { takenAt } = seen.moment
  if (seen.kind !== 'read') return { takenAt, serial: '' }
  const widths = [seen.energy.import, seen.energy.export]
  const rolloverWh = widths.find((register) => register?.rolloverWh !== undefined)?.rolloverWh
  // A register that is in doubt, as with a wrong register map, would stand in the certificate for ever.
  const { maxPowerW, grid } = setup
  const rules = { maxPowerW, ...(grid === undefined ? {} : { grid }) }
  const { state, registers } = judge(noHistory, seen, rules, { accepted: false })
  return {
    takenAt,
    serial: seen.serial ?? '',
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
    ...(state === 'ok' ? { registers } : {}),
  }
}

/** What a record says beyond what was observed: of a session, and of a meter that nobody here reads. */
export type RecordExtras = Pick<RecordContent, 'transaction'> & { readonly meterSerial?: string }

/** Judges one observation against its point's history, signs and stores it. Part of a transaction. */
export function attestOne(
  writer: RecordWriter,
  prepared: PreparedPoint,
  seen: Observation,
  extras: RecordExtras = {},
): AttestedRecord {
  const row = writer.open(prepared)
  const { state, reason, registers, history } = judge(row.history, seen, rulesOf(prepared), { accepted: row.rebase })
  return writer.write(prepared, row, {
    takenAt: seen.moment.takenAt,
    clockStatus: seen.moment.clockStatus,
    state,
    ...(reason === undefined ? {} : { reason }),
    registers,
    meterSerial: history.foreignSerial === '' ? history.serial : history.foreignSerial,
    history,
    rebase: row.rebase && state !== 're-based',
    ...extras,
  })
}

// The ledger judges by what is enrolled, and that is the certificate, not what the configuration says today.
function rulesOf({ certificate, setup }: PreparedPoint): GuardRules {
  const { maxPowerW, rolloverWh } = certificate
  const { grid } = setup
  return { maxPowerW, ...(rolloverWh === undefined ? {} : { rolloverWh }), ...(grid === undefined ? {} : { grid }) }
}
