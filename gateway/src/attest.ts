import {
  type Certificate,
  type CertificateFacts,
  formatPublicKey,
  type GatewayId,
  type MeterId,
  makeCertificate,
  makePointId,
  noUser,
  type OcmfRecord,
  type PointId,
  type ReadingState,
  type SignedRecord,
  signRecord,
  WattError,
} from '@wattline/protocol'
import { type GuardRules, judge, type Observation } from './guard.ts'
import { noHistory } from './guard-history.ts'
import { ensureCertificate } from './identity/certificate-file.ts'
import { toRecordText } from './record-text.ts'
import type { PointSetup } from './setup.ts'
import type { Store } from './store/database.ts'
import type { Epochs } from './store/epochs.ts'
import { countSigned, type Witness } from './store/lineage.ts'
import { findPoint, insertPoint, type PointRow, updateHead, updateHistory } from './store/points.ts'
import { gatewayModel, gatewayVersion } from './version.ts'

/** One observation and the metering point that it is of. */
export interface PointObservation {
  readonly meterId: MeterId
  readonly seen: Observation
}

/** A record that is stored and may leave. */
export interface AttestedRecord {
  readonly meterId: MeterId
  readonly point: PointId
  readonly epoch: number
  readonly sequence: number
  readonly state: ReadingState
  /** For people: the figures that a doubt follows from. */
  readonly reason?: string
  readonly takenAt: number
}

/** Turns observations into signed, stored records. */
export interface Attestor {
  /** Judges, signs and stores in one transaction. What is returned is on the disk; what throws has left nothing. */
  attest(observations: readonly PointObservation[]): readonly AttestedRecord[]
}

/** What an attestor works with. */
export interface AttestorParts {
  readonly store: Store
  readonly dataDir: string
  readonly gatewayId: GatewayId
  readonly epochs: Epochs
  readonly witness: Witness
  readonly setups: readonly PointSetup[]
}

interface PreparedPoint {
  readonly setup: PointSetup
  readonly certificate: Certificate
}

/** Makes the one attestor of a gateway. */
export function makeAttestor(parts: AttestorParts): Attestor {
  const { store, epochs, witness } = parts
  const setups = new Map(parts.setups.map((setup) => [setup.meterId, setup]))
  const prepared = new Map<MeterId, PreparedPoint>()
  const prepare = ({ meterId, seen }: PointObservation): void => {
    if (prepared.has(meterId)) return
    const setup = setups.get(meterId)
    if (setup === undefined) throw new WattError('config/invalid', `no meter '${meterId}' is configured`)
    prepared.set(meterId, preparePoint(parts, setup, seen))
  }
  return {
    attest(observations) {
      // Certificates are files: they are made before the transaction, and found again if it never comes to be.
      observations.forEach(prepare)
      const { records, signed } = store.write(() => ({
        records: observations.map(({ meterId, seen }) => {
          const point = prepared.get(meterId)
          if (point === undefined) throw new WattError('config/invalid', `no meter '${meterId}' is configured`)
          return attestOne(parts, point, seen)
        }),
        signed: countSigned(store, observations.length),
      }))
      witness.note(signed, epochs.highest())
      return records
    },
  }
}

function preparePoint(parts: AttestorParts, setup: PointSetup, seen: Observation): PreparedPoint {
  const make = () =>
    findPoint(parts.store, setup.point)?.certificate ??
    makeCertificate(toCertificateFacts(parts.gatewayId, setup, seen), setup.signer).text
  return { setup, certificate: ensureCertificate(parts.dataDir, setup.meterId, setup.signer, make) }
}

// Made at the first observation, so that it can name the meter that is there.
function toCertificateFacts(gatewayId: GatewayId, setup: PointSetup, seen: Observation): CertificateFacts {
  const registers = seen.kind === 'read' ? [seen.energy.import, seen.energy.export] : []
  const rolloverWh = setup.rolloverWh ?? registers.find((register) => register?.rolloverWh !== undefined)?.rolloverWh
  const serial = seen.kind === 'read' ? (seen.serial ?? '') : ''
  return {
    point: setup.point,
    role: setup.role,
    ...(setup.behind === undefined ? {} : { behind: makePointId(gatewayId, setup.behind) }),
    ...(setup.owner === undefined ? {} : { owner: setup.owner }),
    meter: { vendor: toRecordText(setup.vendor), model: toRecordText(setup.model), serial: toRecordText(serial) },
    maxPowerW: setup.maxPowerW,
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
    issuedAt: seen.moment.takenAt,
  }
}

// Everything here is part of one transaction. The sequence number is taken from the database inside of it: OCMF wants
// pages without gaps, and nothing may be signed twice for one number. A signature whose transaction fails is never seen.
function attestOne(parts: AttestorParts, prepared: PreparedPoint, seen: Observation): AttestedRecord {
  const { store } = parts
  const row = findPoint(store, prepared.setup.point) ?? addPoint(parts, prepared)
  const { state, reason, registers, history } = judge(row.history, seen, rulesOf(prepared), { accepted: row.rebase })
  const record: OcmfRecord = {
    template: {
      gatewayModel,
      gatewaySerial: parts.gatewayId,
      gatewayVersion,
      meterVendor: toRecordText(prepared.setup.vendor),
      meterModel: toRecordText(prepared.setup.model),
      meterSerial: toRecordText(history.foreignSerial === '' ? history.serial : history.foreignSerial),
      pointType: 'CBIDC',
      pointText: `${parts.gatewayId} ${prepared.setup.meterId}`,
    },
    context: 'F',
    pageNumber: row.pageF + 1,
    user: noUser,
    epoch: row.epoch,
    sequence: row.sequence + 1,
    previousHash: row.headHash,
    takenAt: seen.moment.takenAt,
    clockStatus: seen.moment.clockStatus,
    state,
    registers,
  }
  const signed = signRecord(record, prepared.setup.signer)
  insertRecord(store, row, record, signed)
  updateHead(store, row.number, {
    epoch: record.epoch,
    sequence: record.sequence,
    pageF: record.pageNumber,
    pageT: row.pageT,
    headHash: signed.hash,
  })
  updateHistory(store, row.number, history, row.rebase && state !== 're-based')
  const { epoch, sequence, takenAt } = record
  const { meterId, point } = prepared.setup
  return { meterId, point, epoch, sequence, state, ...(reason === undefined ? {} : { reason }), takenAt }
}

function addPoint({ store, epochs }: AttestorParts, { setup, certificate }: PreparedPoint): PointRow {
  return insertPoint(store, {
    point: setup.point,
    publicKey: formatPublicKey(certificate.key),
    certificate: certificate.text,
    epoch: epochs.next(),
    headHash: certificate.hash,
    history: noHistory,
  })
}

// The ledger judges by what is enrolled, and that is the certificate, not what the configuration says today.
function rulesOf({ certificate, setup }: PreparedPoint): GuardRules {
  const { maxPowerW, rolloverWh } = certificate
  const { grid } = setup
  return { maxPowerW, ...(rolloverWh === undefined ? {} : { rolloverWh }), ...(grid === undefined ? {} : { grid }) }
}

function insertRecord(store: Store, row: PointRow, record: OcmfRecord, { hash, text }: SignedRecord): void {
  store
    .sql(
      `INSERT INTO records (point, epoch, sequence, page_f, page_t, taken_at, state, hash, text)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      row.number,
      record.epoch,
      record.sequence,
      record.pageNumber,
      row.pageT,
      record.takenAt,
      record.state,
      hash,
      text,
    )
}
