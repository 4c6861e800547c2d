import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Certificate,
  type Clock,
  type ClockStatus,
  encodeFrame,
  formatTopic,
  makeCertificate,
  makeGatewayId,
  makeMeterId,
  makePointId,
  makeSigner,
  makeTimestamp,
  noUser,
  type OcmfRecord,
  type ParsedOcmf,
  type PointId,
  parseOcmfText,
  type ReadingState,
  type Registers,
  type Role,
  readingStates,
  type SignatureVerifier,
  type Signer,
  signRecord,
  signRotation,
  toDriverAssignment,
} from '@wattline/protocol'
import { type LedgerEngine, type LedgerOptions, openLedger } from '../src/engine.ts'
import { loadLibrary, makeNativeSigner } from '../src/verifiers/native-verifier.ts'
import { pickVerifier } from '../src/verifiers/pick.ts'

// Stands in for gateways: signs records as they do, so that tests and benches can send what a gateway would.

/** 2026-11-21T09:00:00Z. */
export const startMs = 1_795_251_600_000

const library = await loadLibrary()
export const fastVerifier: SignatureVerifier = await pickVerifier('auto')

/** A clock that tests turn. */
export class TestClock implements Clock {
  ms = startMs
  now() {
    return makeTimestamp(this.ms)
  }
  status(): ClockStatus {
    return 'S'
  }
}

/** A key for tests, different for each number. */
export function testSigner(number: number): Signer {
  const secret = new Uint8Array(32)
  new DataView(secret.buffer).setUint32(28, number + 1)
  return library === undefined ? makeSigner(secret) : makeNativeSigner(library, secret)
}

export interface DeviceOptions {
  readonly gateway?: string
  readonly meter: string
  readonly role: Role
  readonly behind?: string
  readonly owner?: string
  readonly maxPowerW?: number
  readonly rolloverWh?: bigint
  readonly key?: number
  /** What the certificate says of the registers. */
  readonly first?: Registers
}

export interface Message {
  readonly topic: string
  readonly payload: Uint8Array
}

export interface ReadingOptions {
  readonly registers?: Registers
  readonly takenAt?: number
  readonly state?: ReadingState
  /** A session's begin or end, and whose account it names. */
  readonly mark?: 'B' | 'E'
  readonly driver?: string
  /** Changes what is signed otherwise. */
  readonly change?: Partial<OcmfRecord>
}

let keys = 0

/** One metering point of a gateway: a key, a certificate and a chain. */
export class Device {
  signer: Signer
  certificate: Certificate
  readonly id: PointId
  readonly texts: string[] = []
  epoch = startMs
  sequence = 0
  page = 0
  pageT = 0
  previousHash: string
  takenAt = startMs
  base: ParsedOcmf | undefined

  constructor(options: DeviceOptions) {
    const gatewayId = makeGatewayId(options.gateway ?? 'gw-1')
    const { role, behind, owner, maxPowerW = 1_000_000, rolloverWh, first } = options
    this.signer = testSigner(options.key ?? ++keys)
    this.id = makePointId(gatewayId, makeMeterId(options.meter))
    this.certificate = makeCertificate(
      {
        point: this.id,
        role,
        ...(behind === undefined ? {} : { behind: behind as PointId }),
        ...(owner === undefined ? {} : { owner }),
        meter: { vendor: 'Acme', model: 'M1', serial: '4711' },
        maxPowerW,
        ...(rolloverWh === undefined ? {} : { rolloverWh }),
        ...(first === undefined ? {} : { firstRegister: first }),
        issuedAt: startMs,
      },
      this.signer,
    )
    this.previousHash = this.certificate.hash
  }

  topic(kind: 'record' | 'certificate'): string {
    const [gatewayId, meterId] = this.id.split('/') as [string, string]
    return formatTopic({ kind, gatewayId: makeGatewayId(gatewayId), meterId: makeMeterId(meterId) })
  }

  certificateMessage(): Message {
    return { topic: this.topic('certificate'), payload: Buffer.from(this.certificate.text) }
  }

  message(text: string): Message {
    return { topic: this.topic('record'), payload: Buffer.from(text) }
  }

  /** Signs the next record; a minute later than the one before unless told otherwise. */
  sign({
    registers = {},
    takenAt = this.takenAt + 60_000,
    state = 'ok',
    change = {},
    ...session
  }: ReadingOptions): string {
    this.takenAt = takenAt
    this.sequence++
    const { mark, driver } = session
    const pageNumber = mark === undefined ? ++this.page : ++this.pageT
    const absent = readingStates[state].energy === 'absent'
    const record: OcmfRecord = {
      template: {
        gatewayModel: 'Wattline gateway',
        gatewaySerial: this.id.split('/')[0] ?? '',
        gatewayVersion: '0.1.0',
        meterVendor: 'Acme',
        meterModel: 'M1',
        meterSerial: '4711',
        pointType: 'CBIDC',
        pointText: this.id.replace('/', ' '),
      },
      user: mark === undefined ? noUser : toDriverAssignment(driver),
      context: mark === undefined ? 'F' : 'T',
      ...(mark === undefined ? {} : { mark }),
      pageNumber,
      epoch: this.epoch,
      sequence: this.sequence,
      previousHash: this.previousHash,
      takenAt: makeTimestamp(takenAt),
      clockStatus: 'S',
      state,
      registers: absent ? {} : registers,
      ...change,
    }
    const { text, hash } = signRecord(record, this.signer)
    this.previousHash = hash
    this.texts.push(text)
    return text
  }

  /** Signs the next record and gives it as a full text. */
  read(registers: Registers, options: Omit<ReadingOptions, 'registers'> = {}): Message {
    const text = this.sign({ registers, ...options })
    if (options.mark === undefined) this.base = parseOcmfText(text)
    return this.message(text)
  }

  /** Signs the next record and gives it as a frame against the last full text. */
  readFrame(registers: Registers, options: Omit<ReadingOptions, 'registers'> = {}): Message {
    const { base } = this
    if (base === undefined) throw new RangeError('a full text comes first')
    const frame = encodeFrame(this.sign({ registers, ...options }), base)
    if (frame === undefined) throw new RangeError('the frame would not rebuild')
    return { topic: this.topic('record'), payload: frame }
  }

  /** The last record, as orders name it. */
  get place(): { readonly epoch: number; readonly sequence: number } {
    return { epoch: this.epoch, sequence: this.sequence }
  }

  /** Takes another key, as `rotate-key` at a gateway does; gives the old key's word and the new certificate. */
  rotate(key: number): readonly [rotation: string, certificate: string] {
    const { signer: old } = this
    const { key: _key, hash: _hash, text: _text, ...facts } = this.certificate
    this.signer = testSigner(key)
    this.certificate = makeCertificate(facts, this.signer)
    const last = { ...this.place, hash: this.previousHash }
    const rotation = signRotation(
      { point: this.id, certificate: this.certificate.hash, last, issuedAt: startMs + this.epoch },
      old,
    )
    this.epoch += 1000
    this.base = undefined
    return [rotation.text, this.certificate.text]
  }

  /** Goes back to an earlier memory and opens a new epoch there, as a restored gateway does. */
  restore(count = this.texts.length): void {
    const past = this.texts.slice(0, count).map((text) => parseOcmfText(text))
    const last = past.at(-1)
    const pageOf = (context: 'T' | 'F') => past.findLast(({ record }) => record.context === context)?.record.pageNumber
    this.epoch += 1000
    this.sequence = last?.record.sequence ?? 0
    this.page = pageOf('F') ?? 0
    this.pageT = pageOf('T') ?? 0
    this.previousHash = last?.hash ?? this.certificate.hash
    this.texts.length = count
    this.base = undefined
  }
}

interface Teardown {
  teardown(fn: () => void): void
}

/** A folder that goes with the test. */
export function tempDir(t: Teardown): string {
  const dir = mkdtempSync(join(tmpdir(), 'wattline-ledger-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export interface Rig {
  readonly engine: LedgerEngine
  readonly clock: TestClock
  readonly dataDir: string
}

/** An open ledger in a folder of its own. */
export function openRig(t: Teardown, options: Partial<LedgerOptions> = {}): Rig {
  const clock = new TestClock()
  const dataDir = options.dataDir ?? tempDir(t)
  const engine = openLedger({ dataDir, clock, verifier: fastVerifier, enrolment: 'open', ...options })
  t.teardown(() => engine.close())
  return { engine, clock, dataDir }
}

/** A row of the quarantine, as tests look at it. */
export function quarantined(engine: LedgerEngine): { topic: string; code: string; reason: string; count: number }[] {
  return engine.db
    .prepare<[], { topic: string; code: string; reason: string; count: number }>(
      'SELECT topic, code, reason, count FROM quarantine ORDER BY id',
    )
    .all()
}
