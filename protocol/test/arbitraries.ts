import {
  clockStatuses,
  formatPublicKey,
  makeSigner,
  makeTimestamp,
  nobleVerifier,
  noUser,
  type OcmfRecord,
  type OcmfTemplate,
  type Registers,
  readingStateNames,
  readingStates,
  type SignatureVerifier,
  type SignedRecord,
  type Signer,
  signRecord,
} from '@wattline/protocol'
import fc from 'fast-check'

/** Text that a record may carry. */
export const ocmfText = fc.string({
  unit: fc.constantFrom(...' !#$%&()*+,-./0123456789:;<=>?@ABCXYZ[]^_`abcxyz{}~'.split('')),
  maxLength: 30,
})

export const template: fc.Arbitrary<OcmfTemplate> = fc.record({
  gatewayModel: ocmfText,
  gatewaySerial: ocmfText,
  gatewayVersion: ocmfText,
  meterVendor: ocmfText,
  meterModel: ocmfText,
  meterSerial: ocmfText,
  pointType: fc.constantFrom('CBIDC', 'EVSEID'),
  pointText: ocmfText,
})

const wh = fc.bigInt({ min: 0n, max: 999_999_999_999_999n })
const counter = fc.integer({ min: 1, max: 999_999_999_999_999 })

const registers: fc.Arbitrary<Registers> = fc.oneof(
  fc.record({ import: wh }),
  fc.record({ export: wh }),
  fc.record({ import: wh, export: wh }),
)

/** Any record that can be signed. */
export const record: fc.Arbitrary<OcmfRecord> = fc
  .record({
    template,
    pageNumber: counter,
    epoch: counter,
    sequence: counter,
    previousHash: fc.string({ unit: fc.constantFrom(...'0123456789abcdef'.split('')), minLength: 64, maxLength: 64 }),
    takenAt: fc.integer({ min: 0, max: 253_402_300_799_999 }).map(makeTimestamp),
    clockStatus: fc.constantFrom(...clockStatuses),
    state: fc.constantFrom(...readingStateNames),
    registers,
    transaction: fc.option(
      fc.record({
        mark: fc.constantFrom('B', 'E', 'L', 'R', 'A', 'P'),
        user: fc.record({
          assigned: fc.boolean(),
          level: fc.constantFrom('NONE', 'HEARSAY', 'TRUSTED'),
          flags: fc.array(fc.constantFrom('RFID_PLAIN', 'OCPP_AUTH', 'ISO15118_NONE', 'PLMN_NONE'), { maxLength: 4 }),
          type: fc.constantFrom('NONE', 'ISO14443', 'CENTRAL'),
          id: ocmfText,
        }),
      }),
    ),
  })
  .map(({ transaction, ...rest }) => ({
    ...rest,
    registers: readingStates[rest.state].energy === 'absent' ? {} : rest.registers,
    context: transaction === null ? ('F' as const) : ('T' as const),
    user: transaction?.user ?? noUser,
    ...(transaction === null ? {} : { mark: transaction.mark as 'B' }),
  }))

/** A key from a number: tests need many, and the same ones each time. */
export function signerOf(number: number): Signer {
  const secret = new Uint8Array(32)
  new DataView(secret.buffer).setUint32(28, number + 1)
  return makeSigner(secret)
}

export const roof: OcmfTemplate = {
  gatewayModel: 'Wattline',
  gatewaySerial: 'gw-1',
  gatewayVersion: '0.1.0',
  meterVendor: 'Eastron',
  meterModel: 'SDM630-Modbus V2',
  meterSerial: '10223344',
  pointType: 'CBIDC',
  pointText: 'gw-1 roof',
}

export const firstEpoch = 1_795_255_200_000

/** The n-th record of a point that exports 10 Wh a minute. */
export function roofRecord(sequence: number, previousHash: string, changes: Partial<OcmfRecord> = {}): OcmfRecord {
  return {
    template: roof,
    context: 'F',
    pageNumber: sequence,
    user: noUser,
    epoch: firstEpoch,
    sequence,
    previousHash,
    takenAt: makeTimestamp(firstEpoch + sequence * 60_000),
    clockStatus: 'S',
    state: 'ok',
    registers: { export: 1_000_000n + 10n * BigInt(sequence) },
    ...changes,
  }
}

/** A chain of records, each naming the one before. */
export function makeChain(length: number, signer: Signer, changes: Partial<OcmfRecord> = {}): SignedRecord[] {
  const chain: SignedRecord[] = []
  let previousHash = '0'.repeat(64)
  for (let sequence = 1; sequence <= length; sequence++) {
    const signed = signRecord(roofRecord(sequence, previousHash, changes), signer)
    chain.push(signed)
    previousHash = signed.hash
  }
  return chain
}

/** The reference verifier, asking it only once for each signature: a property test asks thousands of times. */
export function memoised(verifier: SignatureVerifier = nobleVerifier): SignatureVerifier {
  const known = new Map<string, boolean>()
  return {
    name: `memoised ${verifier.name}`,
    verify(payload, signature, publicKey) {
      const key = `${Buffer.from(signature).toString('hex')}${formatPublicKey(publicKey)}${Buffer.from(payload).toString('latin1')}`
      const before = known.get(key)
      if (before !== undefined) return before
      const verdict = verifier.verify(payload, signature, publicKey)
      known.set(key, verdict)
      return verdict
    },
  }
}
