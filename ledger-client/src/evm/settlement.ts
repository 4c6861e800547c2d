import { sha256 } from '@noble/hashes/sha2.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { bytesToHex, concatBytes, hexToBytes } from '@noble/hashes/utils.js'
import * as secp256k1 from '@noble/secp256k1'
import {
  asciiToBytes,
  type CompactSignature,
  clockStatuses,
  type OcmfTemplate,
  type ParsedOcmf,
  type PublicKey,
  type Registers,
  readingStateNames,
  toLowS,
  WattError,
} from '@wattline/protocol'

/** One record as the contract takes it; it builds the signed text from this and the template. */
export interface Settlement {
  readonly numbers: bigint
  readonly previousHash: bigint
  readonly registers: bigint
  readonly r: bigint
  /** s, and in the highest bit the parity (EIP-2098). */
  readonly vs: bigint
}

/** The address that a key has on a chain: how the contract knows a metering point. */
export function toDeviceAddress(publicKey: PublicKey): string {
  return `0x${bytesToHex(keccak_256(publicKey.subarray(1)).subarray(12))}`
}

// ok, roll-over and re-based: the states that count, in the order that the contract numbers them.
const countedStates = readingStateNames.slice(0, 3)

/**
 * Whether a record has a place on a chain. One in context T names a person; one whose energy is absent or doubtful
 * counts nothing. The next record that counts tells the same energy, as the register is cumulative.
 */
export function isSettleable({ record }: ParsedOcmf): boolean {
  const { registers } = record
  return (
    record.context === 'F' &&
    countedStates.includes(record.state) &&
    record.pageNumber < 2 ** 40 &&
    record.sequence < 2 ** 40 &&
    record.epoch < 2 ** 48 &&
    (registers.import ?? 0n) < 1n << 56n &&
    (registers.export ?? 0n) < 1n << 56n
  )
}

/**
 * Whether leaving a record out would change what is counted. Where a register began anew, the next one does not tell
 * what was before; so the record before it must not be left out either.
 */
export function mustSettle(parsed: ParsedOcmf): boolean {
  return isSettleable(parsed) && parsed.record.state !== 'ok'
}

/** Packs registers as the contract keeps them. */
export function packRegisters(registers: Registers): bigint {
  const { import: imported, export: exported } = registers
  const present = (imported === undefined ? 0n : 1n) | (exported === undefined ? 0n : 2n)
  return (imported ?? 0n) | ((exported ?? 0n) << 56n) | (present << 112n)
}

/** Packs a place as the contract compares it: a later one is greater. */
export function packPlace({ epoch, sequence }: { readonly epoch: number; readonly sequence: number }): bigint {
  return (BigInt(epoch) << 40n) | BigInt(sequence)
}

/** Packs a verified record for the contract. The signature is brought to low s, which is all that it takes. */
export function toSettlement(parsed: ParsedOcmf, publicKey: PublicKey, templateId: number): Settlement {
  const { record } = parsed
  if (!isSettleable(parsed)) {
    const place = `record ${record.epoch}/${record.sequence} of '${record.template.pointText}'`
    throw new WattError('record/malformed', `${place}: ${record.context}, ${record.state}: not for a chain`)
  }
  const numbers =
    BigInt(templateId) |
    (BigInt(record.pageNumber) << 32n) |
    (BigInt(record.takenAt) << 72n) |
    (BigInt(record.sequence) << 120n) |
    (BigInt(record.epoch) << 160n) |
    (BigInt(clockStatuses.indexOf(record.clockStatus)) << 208n) |
    (BigInt(countedStates.indexOf(record.state)) << 210n)
  const previousHash = BigInt(`0x${record.previousHash}`)
  return { numbers, previousHash, registers: packRegisters(record.registers), ...sign(parsed, publicKey) }
}

function sign({ payload, signature }: ParsedOcmf, publicKey: PublicKey): Pick<Settlement, 'r' | 'vs'> {
  return toCompactSignature(asciiToBytes(payload), signature, publicKey)
}

/** A signature in the form that the contract takes (EIP-2098), with the parity that leads to the key. */
export function toCompactSignature(
  text: Uint8Array,
  signature: CompactSignature,
  publicKey: PublicKey,
): Pick<Settlement, 'r' | 'vs'> {
  const low = toLowS(signature)
  const [r, s] = [toNumber(low.subarray(0, 32)), toNumber(low.subarray(32))]
  const parity = findParity({ r, s, digest: toNumber(sha256(text)) }, publicKey)
  if (parity === undefined) throw new WattError('record/bad-signature', 'not signed by the key of this metering point')
  return { r, vs: s | (parity << 255n) }
}

const order = secp256k1.Point.CURVE().n

// The point that the signer made, as verifying finds it: its x is r, and its y has the parity. One that lies beyond the
// curve's order, which no signer will ever meet, has no place in this form.
function findParity(signed: { r: bigint; s: bigint; digest: bigint }, publicKey: PublicKey): bigint | undefined {
  const { mod, invert } = secp256k1.etc
  try {
    const inverse = invert(signed.s, order)
    const base = secp256k1.Point.BASE.multiply(mod(signed.digest * inverse, order))
    const key = secp256k1.Point.fromBytes(publicKey).multiply(mod(signed.r * inverse, order), false)
    const { x, y } = base.add(key).toAffine()
    return x === signed.r ? y & 1n : undefined
  } catch {
    return undefined // numbers that are none on the curve
  }
}

const settleSelector = keccak_256(asciiToBytes('settle((uint256,bytes32,uint256,bytes32,bytes32)[])')).subarray(0, 4)

/** The call that settles these records. */
export function encodeSettle(settlements: readonly Settlement[]): Uint8Array {
  const words = settlements.flatMap(({ numbers, previousHash, registers, r, vs }) => [
    numbers,
    previousHash,
    registers,
    r,
    vs,
  ])
  // Before the array: where it begins, and how long it is.
  return concatBytes(settleSelector, ...[32n, BigInt(settlements.length), ...words].map(toWord))
}

function toWord(number: bigint): Uint8Array {
  return hexToBytes(number.toString(16).padStart(64, '0'))
}

/** A template as the contract's `registerTemplate` takes it. */
export function toContractTemplate(template: OcmfTemplate) {
  const { pointType, ...texts } = template
  return { ...texts, isEvse: pointType === 'EVSEID' }
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytesToHex(bytes)}`)
}
