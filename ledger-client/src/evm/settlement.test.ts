import { makeTimestamp, noUser, parseOcmfText, type ReadingState, signRecord } from '@wattline/protocol'
import test from 'ava'
import { roofRecord, signerOf } from '../../../protocol/test/arbitraries.ts'
import { toItem } from '../../test/chain.ts'
import { encodeCall, hex } from '../../test/contracts.ts'
import { encodeSettle, isSettleable, mustSettle, packRegisters, toDeviceAddress, toSettlement } from './settlement.ts'

const signer = signerOf(1)
const sign = (changes: Parameters<typeof roofRecord>[2] = {}) =>
  parseOcmfText(signRecord(roofRecord(7, 'ab'.repeat(32), changes), signer).text)

test('the address of a key is the one that every wallet shows', (t) => {
  // Secret key 1: an address that is published everywhere.
  t.is(toDeviceAddress(signerOf(0).publicKey), '0x7e5f4552091a69125d5dfcb7b8c2659029395bdf')
})

test('a call is encoded as a general ABI coder encodes it', (t) => {
  const settlements = [1, 2, 3].map((sequence) => toSettlement(sign({ sequence }), signer.publicKey, 9))
  t.is(hex(encodeSettle(settlements)), encodeCall('Attestation', 'settle', settlements.map(toItem)))
  t.is(hex(encodeSettle([])), encodeCall('Attestation', 'settle', []))
})

test('every number has its own bits', (t) => {
  const takenAt = makeTimestamp(253_402_300_799_999)
  const parsed = sign({
    pageNumber: 2 ** 40 - 1,
    sequence: 1,
    epoch: 2 ** 48 - 1,
    takenAt,
    clockStatus: 'R',
    state: 're-based',
  })
  const { numbers, previousHash } = toSettlement(parsed, signer.publicKey, 2 ** 32 - 1)
  const field = (from: bigint, bits: bigint) => (numbers >> from) & ((1n << bits) - 1n)
  const fields = [
    field(0n, 32n),
    field(32n, 40n),
    field(72n, 48n),
    field(120n, 40n),
    field(160n, 48n),
    field(208n, 2n),
    field(210n, 2n),
  ]
  t.deepEqual(fields, [2n ** 32n - 1n, 2n ** 40n - 1n, BigInt(takenAt), 1n, 2n ** 48n - 1n, 3n, 2n])
  t.is(previousHash, BigInt(`0x${'ab'.repeat(32)}`))
  t.is(packRegisters({ import: 1n, export: 2n }), 1n | (2n << 56n) | (3n << 112n))
  t.is(packRegisters({ export: 0n }), 2n << 112n)
})

test('what counts no energy, names a person or is too large has no place on a chain', (t) => {
  t.true(isSettleable(sign()))
  const refused = [
    sign({ state: 'no-answer' satisfies ReadingState, registers: {} }),
    sign({ state: 'frozen' }),
    sign({ context: 'T', mark: 'B', user: { ...noUser, assigned: true, id: 'A1' } }),
    sign({ epoch: 2 ** 48 }),
    sign({ sequence: 2 ** 40 }),
    sign({ registers: { export: 1n << 56n } }),
  ]
  for (const parsed of refused) {
    t.false(isSettleable(parsed))
    t.throws(() => toSettlement(parsed, signer.publicKey, 1), { code: 'record/malformed' })
  }
  t.deepEqual(
    (['ok', 'roll-over', 're-based'] as const).map((state) => mustSettle(sign({ state }))),
    [false, true, true],
  )
})

test('a record of another key is not packed', (t) => {
  t.throws(() => toSettlement(sign(), signerOf(2).publicKey, 1), { code: 'record/bad-signature' })
})
