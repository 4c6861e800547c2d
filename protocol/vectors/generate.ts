// Writes the golden vectors: `node protocol/vectors/generate.ts --check` compares instead and fails on difference.
// They are append-only; a changed vector is a breaking change of the protocol.
import { readFileSync, writeFileSync } from 'node:fs'
import {
  encodeFrame,
  formatOcmfText,
  formatPublicKey,
  formatReceipt,
  isLowS,
  makeCertificate,
  makeGatewayId,
  makeMeterId,
  makePointId,
  type OcmfRecord,
  type ParsedOcmf,
  parseOcmfText,
  readingStateNames,
  readingStates,
  type SignedRecord,
  signRecord,
  toUpperHex,
} from '@wattline/protocol'
import { firstEpoch, roofRecord, signerOf } from '../test/arbitraries.ts'
import { makeStatementVectors } from './statements.ts'
import { makeTransferVectors } from './transfers.ts'

const signer = signerOf(100)
const point = makePointId(makeGatewayId('gw-1'), makeMeterId('roof'))
const key = formatPublicKey(signer.publicKey)

const certificate = makeCertificate(
  {
    point,
    role: 'producer',
    behind: makePointId(makeGatewayId('gw-1'), makeMeterId('house')),
    owner: 'ada',
    meter: { vendor: 'Eastron', model: 'SDM630-Modbus V2', serial: '10223344' },
    maxPowerW: 30_000,
    issuedAt: firstEpoch,
  },
  signer,
)

function sign(record: OcmfRecord): SignedRecord {
  const signed = signRecord(record, signer)
  if (!isLowS(signed.signature)) throw new Error('high-s')
  return signed
}

/** The states that the first chain begins with; those that came later stand at its end, as vectors are append-only. */
const firstStates = readingStateNames.indexOf('frozen') + 1

/** One record in each of the first states, then one with both registers in a new epoch and what came later: a chain. */
function makeRecords(): SignedRecord[] {
  const records: SignedRecord[] = []
  let previousHash = certificate.hash
  const add = (sequence: number, changes: Partial<OcmfRecord>) => {
    const signed = sign(roofRecord(sequence, previousHash, changes))
    records.push(signed)
    previousHash = signed.hash
  }
  readingStateNames.slice(0, firstStates).forEach((state, i) => {
    add(i + 1, { state, ...(readingStates[state].energy === 'absent' ? { registers: {} } : {}) })
  })
  const next = records.length + 1
  add(next, { epoch: firstEpoch + 5, registers: { import: 7n, export: 123_456_789n }, clockStatus: 'U' })
  add(next + 1, {
    epoch: firstEpoch + 5,
    context: 'T',
    pageNumber: 1,
    mark: 'B',
    registers: { import: 8n },
    user: { assigned: true, level: 'HEARSAY', flags: ['RFID_PLAIN', 'OCPP_AUTH'], type: 'ISO14443', id: '04A1B2C3' },
  })
  readingStateNames.slice(firstStates).forEach((state, i) => {
    add(next + 2 + i, { epoch: firstEpoch + 5, state, registers: { import: 9n, export: 123_456_790n } })
  })
  return records
}

function mirrored(signature: Uint8Array): Uint8Array {
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const s = order - BigInt(`0x${toUpperHex(signature.subarray(32))}`)
  return Uint8Array.from([...signature.subarray(0, 32), ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex')])
}

/** Records with the verdict that any verifier of this protocol must reach. */
function makeVerdicts(good: SignedRecord): { what: string; text: string; verdict: string }[] {
  const other = signRecord(roofRecord(1, certificate.hash), signerOf(101))
  return [
    { what: 'as signed', text: good.text, verdict: 'valid' },
    {
      what: 'one digit of the register changed',
      text: good.text.replace('1000.010', '1000.011'),
      verdict: 'record/bad-signature',
    },
    { what: 'signed by another key', text: other.text, verdict: 'record/bad-signature' },
    { what: 'high-s', text: formatOcmfText(good.payload, mirrored(good.signature)), verdict: 'record/malformed' },
    { what: 'a blank between tokens', text: good.text.replace('"XN":1', '"XN": 1'), verdict: 'record/malformed' },
    { what: 'a fourth section', text: `${good.text}|`, verdict: 'record/malformed' },
    { what: 'SA left out', text: good.text.replace('"SA":"ECDSA-secp256k1-SHA256",', ''), verdict: 'record/malformed' },
  ]
}

/** Every record after the base that a frame can carry. */
function makeFrames(records: readonly SignedRecord[], base: ParsedOcmf): { frame: string; text: string }[] {
  return records.flatMap(({ text }) => {
    const frame = encodeFrame(text, base)
    return frame === undefined ? [] : [{ frame: toUpperHex(frame), text }]
  })
}

function makeVectors(): Record<string, unknown> {
  const records = makeRecords()
  const base = parseOcmfText(records[0]?.text ?? '')
  const second = parseOcmfText(records[firstStates]?.text ?? '')
  return {
    'certificate.json': { key, text: certificate.text, hash: certificate.hash },
    'records.json': { key, records: records.map(({ text, hash }) => ({ text, hash })) },
    'frames.json': {
      base: base.hash,
      frames: [
        ...makeFrames(records, base),
        ...makeFrames(records, second).map((each) => ({ base: second.hash, ...each })),
      ],
    },
    'verdicts.json': { key, records: records[0] === undefined ? [] : makeVerdicts(records[0]) },
    'transfers.json': makeTransferVectors(signer, signerOf(102)),
    'statements.json': makeStatementVectors(signer, signerOf(102)),
    'receipt.json': {
      text: formatReceipt(
        {
          point,
          session: '0123456789abcdef',
          serial: 1,
          epoch: firstEpoch,
          sequence: 1,
          hash: base.hash,
          mintedWh: 0n,
          burnedWh: 0n,
          resend: false,
        },
        signerOf(102),
      ),
    },
  }
}

const check = process.argv.includes('--check')
let different = 0
for (const [name, content] of Object.entries(makeVectors())) {
  const path = new URL(name, import.meta.url)
  const text = `${JSON.stringify(content, null, 2)}\n`
  if (!check) writeFileSync(path, text)
  else if (readFileSync(path, 'utf8') !== text) {
    process.stderr.write(`${name} differs from what the code makes: a breaking change of the protocol\n`)
    different++
  }
}
process.exitCode = different === 0 ? 0 : 1
