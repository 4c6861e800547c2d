import {
  type Certificate,
  type CertificateFacts,
  type ClockStatus,
  formatPublicKey,
  type GatewayId,
  type MeterId,
  makeCertificate,
  makePointId,
  noUser,
  type OcmfRecord,
  type PointId,
  type ReadingState,
  type Registers,
  type SignedRecord,
  signRecord,
  type Timestamp,
  type TransactionMark,
  type UserAssignment,
} from '@wattline/protocol'
import { type GuardHistory, noHistory } from './guard-history.ts'
import { ensureCertificate } from './identity/certificate-file.ts'
import { toRecordText } from './record-text.ts'
import type { PointSetup } from './setup.ts'
import type { Store } from './store/database.ts'
import type { Epochs } from './store/epochs.ts'
import { countSigned, type Witness } from './store/lineage.ts'
import { findPoint, insertPoint, type PointRow, updateHead, updateHistory } from './store/points.ts'
import { gatewayModel, gatewayVersion } from './version.ts'

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

/** What the writer works with. */
export interface RecordWriterParts {
  readonly store: Store
  readonly dataDir: string
  readonly gatewayId: GatewayId
  readonly epochs: Epochs
  readonly witness: Witness
}

/** A metering point that can sign, with the certificate that its chain begins at. */
export interface PreparedPoint {
  readonly setup: PointSetup
  readonly certificate: Certificate
}

/** What is found at a metering point before its certificate is made. */
export interface FirstSight {
  readonly takenAt: Timestamp
  readonly serial: string
  readonly rolloverWh?: bigint
  /** What the energy registers show, where nothing speaks against it. */
  readonly registers?: Registers
}

/** What one record says, without its place in the chain. */
export interface RecordContent {
  readonly takenAt: Timestamp
  readonly clockStatus: ClockStatus
  readonly state: ReadingState
  readonly reason?: string
  readonly registers: Registers
  readonly meterSerial: string
  /** For a session's begin and end; without it the record stands in context F. */
  readonly transaction?: { readonly mark: TransactionMark; readonly user: UserAssignment }
  /** What the guard remembers from now on, and whether the installer's acceptance still waits. */
  readonly history: GuardHistory
  readonly rebase: boolean
}

/** The one way to a signed record: of meters and of charging points alike. */
export class RecordWriter {
  readonly #parts: RecordWriterParts

  constructor(parts: RecordWriterParts) {
    this.#parts = parts
  }

  /** Finds the certificate of a point, or makes it at first sight. It is a file, and found again whatever comes of it. */
  prepare(setup: PointSetup, first: () => FirstSight): PreparedPoint {
    const { store, dataDir, gatewayId } = this.#parts
    const make = () =>
      findPoint(store, setup.point)?.certificate ??
      makeCertificate(toCertificateFacts(gatewayId, setup, first()), setup.signer).text
    return { setup, certificate: ensureCertificate(dataDir, setup.meterId, setup.signer, make) }
  }

  /** What is remembered of a point; before its first record it is added. Part of a transaction. */
  open({ setup, certificate }: PreparedPoint): PointRow {
    const { store, epochs } = this.#parts
    return (
      findPoint(store, setup.point) ??
      insertPoint(store, {
        point: setup.point,
        publicKey: formatPublicKey(certificate.key),
        certificate: certificate.text,
        epoch: epochs.next(),
        headHash: certificate.hash,
        history: noHistory,
      })
    )
  }

  /**
   * Signs and stores one record. Part of a transaction: the sequence number is taken from the database inside of it,
   * as OCMF wants pages without gaps, and nothing may be signed twice for one number. A signature whose transaction
   * fails is never seen.
   */
  write({ setup }: PreparedPoint, row: PointRow, content: RecordContent): AttestedRecord {
    const { store } = this.#parts
    const record = this.#place(setup, row, content)
    const signed = signRecord(record, setup.signer)
    const pages =
      record.context === 'F'
        ? { pageF: record.pageNumber, pageT: row.pageT }
        : { pageF: row.pageF, pageT: record.pageNumber }
    insertRecord(store, row, { ...record, ...pages }, signed)
    updateHead(store, row.number, {
      epoch: record.epoch,
      sequence: record.sequence,
      headHash: signed.hash,
      ...pages,
    })
    updateHistory(store, row.number, content.history, content.rebase)
    const { epoch, sequence, takenAt } = record
    const { meterId, point } = setup
    const { state, reason } = content
    return { meterId, point, epoch, sequence, state, ...(reason === undefined ? {} : { reason }), takenAt }
  }

  /** Counts what was signed in this transaction, and has it witnessed right after the commit, before anything leaves. */
  count(records: number): void {
    const { store, epochs, witness } = this.#parts
    const signed = countSigned(store, records)
    store.onCommit(() => witness.note(signed, epochs.highest()))
  }

  #place(setup: PointSetup, row: PointRow, content: RecordContent): OcmfRecord {
    const { gatewayId } = this.#parts
    const { transaction, takenAt, clockStatus, state, registers, meterSerial } = content
    return {
      template: {
        gatewayModel,
        gatewaySerial: gatewayId,
        gatewayVersion,
        meterVendor: toRecordText(setup.vendor),
        meterModel: toRecordText(setup.model),
        meterSerial: toRecordText(meterSerial),
        pointType: 'CBIDC',
        pointText: `${gatewayId} ${setup.meterId}`,
      },
      ...(transaction === undefined
        ? { context: 'F', pageNumber: row.pageF + 1, user: noUser }
        : { context: 'T', pageNumber: row.pageT + 1, ...transaction }),
      epoch: row.epoch,
      sequence: row.sequence + 1,
      previousHash: row.headHash,
      takenAt,
      clockStatus,
      state,
      registers,
    }
  }
}

// Made at the first observation, so that it can name the meter that is there.
function toCertificateFacts(gatewayId: GatewayId, setup: PointSetup, first: FirstSight): CertificateFacts {
  const rolloverWh = setup.rolloverWh ?? first.rolloverWh
  return {
    point: setup.point,
    role: setup.role,
    ...(setup.behind === undefined ? {} : { behind: makePointId(gatewayId, setup.behind) }),
    ...(setup.owner === undefined ? {} : { owner: setup.owner }),
    meter: { vendor: toRecordText(setup.vendor), model: toRecordText(setup.model), serial: toRecordText(first.serial) },
    maxPowerW: setup.maxPowerW,
    ...(rolloverWh === undefined ? {} : { rolloverWh }),
    ...(first.registers === undefined ? {} : { firstRegister: first.registers }),
    ...(setup.location === undefined ? {} : { location: setup.location }),
    issuedAt: first.takenAt,
  }
}

type PlacedRecord = OcmfRecord & Pick<PointRow, 'pageF' | 'pageT'>

function insertRecord(store: Store, row: PointRow, record: PlacedRecord, { hash, text }: SignedRecord): void {
  store
    .sql(
      `INSERT INTO records (point, epoch, sequence, page_f, page_t, taken_at, state, hash, text)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      row.number,
      record.epoch,
      record.sequence,
      record.pageF,
      record.pageT,
      record.takenAt,
      record.state,
      hash,
      text,
    )
}
