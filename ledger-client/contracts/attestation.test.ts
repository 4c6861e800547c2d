import * as secp256k1 from '@noble/secp256k1'
import { Verifier } from '@road-labs/ocmf'
import { Crypto } from '@road-labs/ocmf-crypto-noble'
import {
  type Base,
  formatOcmfText,
  formatPublicKey,
  makeSigner,
  noUser,
  parseOcmfText,
  type ReadingState,
  type SignedRecord,
  type Signer,
  signRecord,
  stepBase,
} from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { record as anyRecord, roof, roofRecord, signerOf } from '../../protocol/test/arbitraries.ts'
import type { Reason } from '../src/evm/attestation-contract.ts'
import { encodeSettle, isSettleable, type Settlement, toDeviceAddress } from '../src/evm/settlement.ts'
import { genesisSeconds } from '../test/anvil.ts'
import { Chain, signedPair, toItem } from '../test/chain.ts'
import { rises, runChaos, steps } from '../test/chain-chaos.ts'
import { genesisMs, type Reading, signReadings } from '../test/chain-records.ts'
import { hex } from '../test/contracts.ts'

const producer = 2
const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
let chain: Chain
let number = 0

test.before(async () => {
  chain = await Chain.start()
  await chain.anvil.mine(genesisSeconds + 86_400)
})
test.after.always(() => chain?.stop())

/** A roof of its own, which counts from 0 Wh. */
async function enrolRoof(terms: { rolloverWh?: bigint; maxPowerW?: number; owner?: number } = {}) {
  const signer = signerOf(100 + ++number)
  const owner = terms.owner ?? 10_000 + number
  const first = { at: genesisMs, registers: { export: 0n } }
  const device = await chain.enrol(signer, { books: producer, first, ...terms, owner })
  return { signer, owner, device }
}

async function settle(records: readonly (SignedRecord | undefined)[], signer: Signer) {
  const settlements: Settlement[] = []
  for (const record of records) if (record !== undefined) settlements.push(await chain.toSettlement(record, signer))
  return chain.settle(settlements)
}

const exported = (wh: number): Reading => ({ registers: { export: BigInt(wh) } })
const wh = fc.bigInt({ min: 0n, max: (1n << 56n) - 1n })

test.serial('the text that the contract builds is the one that was signed, whatever the record says', async (t) => {
  const counter = fc.integer({ min: 1, max: 2 ** 40 - 1 })
  const records = fc
    .record({
      base: anyRecord,
      numbers: fc.record({ pageNumber: counter, sequence: counter, epoch: fc.integer({ min: 1, max: 2 ** 48 - 1 }) }),
      state: fc.constantFrom<ReadingState>('ok', 'roll-over', 're-based'),
      registers: fc.oneof(fc.record({ import: wh }), fc.record({ export: wh }), fc.record({ import: wh, export: wh })),
    })
    .map(({ base: { mark: _mark, ...base }, numbers, state, registers }) => {
      return { ...base, ...numbers, state, registers, context: 'F' as const, user: noUser }
    })
  const signer = signerOf(1)
  const templates = [roof, ...fc.sample(anyRecord, { numRuns: 5, seed: 7 }).map(({ template }) => template)]
  for (const [i, sample] of fc.sample(records, { numRuns: 60, seed: 8 }).entries()) {
    const signed = signRecord({ ...sample, template: templates[i % templates.length] ?? roof }, signer)
    const item = toItem(await chain.toSettlement(signed, signer))
    t.is(await chain.read('Attestation', 'payloadOf', item), signed.payload)
  }
})

test.serial('leap days, century ends and the last moment of the calendar are written as in the record', async (t) => {
  const signer = signerOf(1)
  for (const day of ['1970-01-01', '2000-02-29', '2024-02-29', '2026-12-31', '2100-03-01', '9999-12-31']) {
    const takenAt = Date.parse(`${day}T23:59:59.999Z`) as never
    const signed = signRecord(roofRecord(1, '0'.repeat(64), { takenAt }), signer)
    const item = toItem(await chain.toSettlement(signed, signer))
    t.is(await chain.read('Attestation', 'payloadOf', item), signed.payload)
  }
})

test.serial('what a chain has counted, other software verifies from the text that the chain gives', async (t) => {
  const { signer, device, owner } = await enrolRoof()
  const records = signReadings([100, 250, 999].map(exported), signer)
  const { settled } = await settle(records, signer)
  t.deepEqual(
    settled.map((event) => [event.mintWh, event.hash]),
    [100n, 150n, 749n].map((minted, i) => [minted, records[i]?.hash]),
  )
  t.true(settled.every((event) => event.device === device && event.epoch === BigInt(genesisMs)))
  t.is(await chain.balanceOf(owner), 999n)
  const adapter = new Crypto()
  const publicKey = await adapter.decodeEcPublicKey(Buffer.from(formatPublicKey(signer.publicKey), 'hex'), 'spki-der')
  for (const record of records) {
    const item = toItem(await chain.toSettlement(record, signer))
    const text = formatOcmfText(await chain.read<string>('Attestation', 'payloadOf', item), record.signature)
    t.is(text, record.text)
    t.true((await new Verifier(adapter).parseAndVerify(text, publicKey)).verified)
  }
})

test.serial('a record again, an older one and one of an older epoch mint nothing', async (t) => {
  const { signer, owner } = await enrolRoof()
  const records = signReadings([...[100, 200, 300].map(exported), { ...exported(400), epoch: genesisMs + 1 }], signer)
  t.is((await settle([records[2]], signer)).settled[0]?.mintWh, 300n, 'records before it may be left out')
  const { skipped } = await settle([records[2], records[0], records[3], records[3], records[1]], signer)
  t.deepEqual(
    skipped.map(({ index, reason }) => `${index} ${reason}`),
    ['0 Replayed', '1 Replayed', '3 Replayed', '4 EpochClosed'],
  )
  t.is(await chain.balanceOf(owner), 400n)
})

test.serial('no bit of a record can be changed: the batch skips it and counts the good ones', async (t) => {
  const { signer, owner } = await enrolRoof()
  const [good, next] = signReadings([exported(500), exported(600)], signer)
  const settlement = await chain.toSettlement(good!, signer)
  const changed = (['numbers', 'previousHash', 'registers', 'r', 'vs'] as const).flatMap((field) =>
    Array.from({ length: 256 }, (_, bit) => ({ ...settlement, [field]: settlement[field] ^ (1n << BigInt(bit)) })),
  )
  const skipped: Reason[] = []
  for (let from = 0; from < changed.length; from += 256) {
    const result = await chain.settle(changed.slice(from, from + 256))
    t.is(result.settled.length, 0)
    skipped.push(...result.skipped.map(({ reason }) => reason))
  }
  t.is(skipped.length, changed.length)
  t.deepEqual([...new Set(skipped)].sort(), ['Malformed', 'UnknownKey', 'UnknownTemplate'])
  const result = await chain.settle([changed[40]!, settlement, changed[700]!, await chain.toSettlement(next!, signer)])
  t.is(result.settled.length, 2)
  t.is(await chain.balanceOf(owner), 600n)
})

test.serial('a signature with high s is no second form of the record', async (t) => {
  // Most high s do not even fit beside the parity. For one that does, the key is made to fit the signature.
  const [record] = signReadings([exported(500)], signerOf(0))
  const digest = BigInt(`0x${record!.hash}`)
  const [nonce, s] = [12_345n, order / 2n + 7n]
  const point = secp256k1.Point.BASE.multiply(nonce).toAffine()
  const { invert, mod } = secp256k1.etc
  const secret = mod((s * nonce - digest) * invert(point.x, order), order)
  const signer = makeSigner(Buffer.from(secret.toString(16).padStart(64, '0'), 'hex'))
  await chain.enrol(signer, {
    owner: 10_000 + ++number,
    books: producer,
    first: { at: genesisMs, registers: { export: 0n } },
  })
  const bytes = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex')
  const signature = Uint8Array.of(...bytes(point.x), ...bytes(s))
  const text = formatOcmfText(record!.payload, signature)
  const low = await chain.toSettlement({ ...record!, signature, text }, signer)
  t.is(low.vs & ((1n << 255n) - 1n), order - s, 'brought into the lower half')
  const high = { ...low, vs: ((1n - (low.vs >> 255n)) << 255n) | s }
  t.is((await chain.settle([high])).skipped[0]?.reason, 'UnknownKey')
  t.is((await chain.settle([low])).settled[0]?.mintWh, 500n)
})

test.serial('a record of a foreign signer with high s is brought into the form that the contract takes', async (t) => {
  const { signer } = await enrolRoof()
  const [record] = signReadings([exported(500)], signer)
  const s = order - BigInt(`0x${Buffer.from(record!.signature.subarray(32)).toString('hex')}`)
  const high = Uint8Array.of(
    ...record!.signature.subarray(0, 32),
    ...Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
  )
  const foreign = { ...record!, signature: high, text: formatOcmfText(record!.payload, high) }
  t.deepEqual(await chain.toSettlement(foreign, signer), await chain.toSettlement(record!, signer))
})

test.serial(
  'SPEC-80, SPEC-81: a decrease, a jump and a roll-over as in the ledger; what was refused heals',
  async (t) => {
    const { signer, owner } = await enrolRoof({ rolloverWh: 10_000n, maxPowerW: 60_000 })
    const records = signReadings(
      [
        exported(1100), // a minute at 60 kW and the tolerance
        exported(2201), // one more than that
        exported(3000), // two minutes at 60 kW
        exported(2999),
        { ...exported(9900), minute: 12 },
        { ...exported(300), minute: 13 },
        { ...exported(300), minute: 14, state: 'roll-over' },
      ],
      signer,
    )
    const { settled, skipped } = await settle(records, signer)
    t.deepEqual(
      settled.map(({ mintWh }) => mintWh),
      [1100n, 1900n, 6900n, 400n],
    )
    t.deepEqual(
      skipped.map(({ index, reason }) => `${index} ${reason}`),
      ['1 OverLimit', '3 RegisterDecreased', '5 RegisterDecreased'],
    )
    t.is(await chain.balanceOf(owner), 10_300n)
  },
)

test.serial('a record from the future waits until the chain has come there', async (t) => {
  const { signer } = await enrolRoof()
  const block = await chain.anvil.rpc<{ timestamp: string }>('eth_getBlockByNumber', 'latest', false)
  const minute = (Number(block.timestamp) - genesisSeconds) / 60 + 30
  const records = signReadings([{ ...exported(500), minute: Math.floor(minute) }], signer)
  t.is((await settle(records, signer)).skipped[0]?.reason, 'AheadOfTime')
  await chain.anvil.mine(Number(block.timestamp) + 1800)
  t.is((await settle(records, signer)).settled[0]?.mintWh, 500n)
})

test.serial('a meter with another serial number counts only after a re-base', async (t) => {
  const { signer } = await enrolRoof()
  const other = { ...roof, meterSerial: '999' }
  const records = signReadings(
    [
      { ...exported(100), template: { ...roof, meterSerial: '' } },
      { ...exported(200), template: roof },
      { ...exported(250), template: other },
      { ...exported(900), state: 're-based' },
      exported(1000),
    ],
    signer,
  )
  const { settled, skipped } = await settle(records, signer)
  t.deepEqual(
    settled.map(({ mintWh }) => mintWh),
    [100n, 100n, 0n, 100n],
  )
  t.deepEqual(skipped, [{ index: 2, reason: 'MeterChanged' }])
})

test.serial('a re-base that was left out freezes the point, and only one that was', async (t) => {
  const { signer, device } = await enrolRoof()
  const records = signReadings(
    [
      exported(100),
      { ...exported(150), state: 're-based' },
      exported(200),
      { ...exported(800), state: 're-based' },
      exported(850),
    ],
    signer,
  )
  const item = async (index: number) => toItem(await chain.toSettlement(records[index]!, signer))
  await settle([records[0], records[1], records[2]], signer)
  await t.throwsAsync(chain.send('Attestation', 'proveSkippedBase', await item(1)), { message: 'BadProof' })
  await t.throwsAsync(chain.send('Attestation', 'proveSkippedBase', await item(3)), { message: 'BadProof' })
  t.is((await settle([records[4]], signer)).settled[0]?.mintWh, 650n, 'within what the fuse allows')
  await t.throwsAsync(chain.send('Attestation', 'proveSkippedBase', await item(4)), { message: 'BadProof' })
  await chain.send('Attestation', 'proveSkippedBase', await item(3))
  t.is(Number((await chain.read<{ status: bigint }>('Attestation', 'pointOf', device)).status), 2)
})

test.serial('SPEC-36: two records at one place freeze the point, no other', async (t) => {
  const [{ signer }, other] = [await enrolRoof(), await enrolRoof()]
  const [one, next] = signReadings([exported(100), exported(200)], signer)
  const [two] = signReadings([exported(101)], signer)
  const [alien] = signReadings([exported(102)], other.signer)
  const prove = (a: SignedRecord | undefined, b: SignedRecord | undefined) =>
    chain.send('Attestation', 'proveEquivocation', signedPair(a, b, signer))
  await t.throwsAsync(prove(one, one), { message: 'BadProof' }, 'a record and itself')
  await t.throwsAsync(prove(one, next), { message: 'BadProof' }, 'two places')
  const mixed = { ...signedPair(one, one, signer), ...pick(signedPair(alien, alien, other.signer)) }
  await t.throwsAsync(chain.send('Attestation', 'proveEquivocation', mixed), { message: 'BadProof' }, 'two keys')
  await prove(one, two)
  t.is((await settle([next], signer)).skipped[0]?.reason, 'Frozen')
  t.is((await settle([alien], other.signer)).settled.length, 1)
})

const pick = ({ b, sigB }: ReturnType<typeof signedPair>) => ({ b, sigB })

test.serial('SPEC-36: transactions are proof as well, and their text stays off the settlements', async (t) => {
  const { signer } = await enrolRoof()
  const user = { ...noUser, assigned: true, level: 'HEARSAY', type: 'ISO14443', id: 'A1' }
  const sign = (id: string) =>
    signRecord(roofRecord(1, '0'.repeat(64), { context: 'T', mark: 'B', user: { ...user, id } }), signer)
  await t.throwsAsync(chain.toSettlement(sign('A1'), signer), { code: 'record/malformed' })
  await chain.send('Attestation', 'proveEquivocation', signedPair(sign('A1'), sign('A2'), signer))
  t.is((await settle(signReadings([exported(1)], signer), signer)).skipped[0]?.reason, 'Frozen')
})

test.serial('too little gas undoes all of a batch and never looks like a bad record', async (t) => {
  const { signer, owner } = await enrolRoof()
  const records = signReadings([100, 200].map(exported), signer)
  const data = hex(
    encodeSettle([await chain.toSettlement(records[0]!, signer), await chain.toSettlement(records[1]!, signer)]),
  )
  let counted = 0
  for (let gas = 40_000n; gas <= 180_000n; gas += 4_000n) {
    const sent = await chain.anvil.send({ from: chain.relayer, to: chain.attestation, data, gas })
    await chain.anvil.mine()
    const { status, logs } = await chain.anvil.receipt(sent)
    if (status === '0x1') counted++
    else t.is(logs.length, 0)
    t.true([0n, 200n].includes(await chain.balanceOf(owner)))
  }
  t.true(counted > 1)
  t.is(await chain.balanceOf(owner), 200n)
})

test.serial('a batch counts what the ledger counts, record by record', async (t) => {
  const states = fc.constantFrom<ReadingState>('ok', 'ok', 'ok', 'roll-over', 're-based', 'no-answer', 'frozen')
  const readings = fc.array(
    fc.record({ state: states, step: fc.integer({ min: -300, max: 1200 }), left: fc.boolean(), both: fc.boolean() }),
    { minLength: 25, maxLength: 25 },
  )
  for (const plan of fc.sample(readings, { numRuns: 4, seed: 11 })) {
    const signer = signerOf(100 + ++number)
    const first = { at: genesisMs, registers: { import: 9000n, export: 9000n } }
    const device = await chain.enrol(signer, { owner: 10_000 + number, books: 3, rolloverWh: 10_000n, first })
    let register = 9000n
    const records = signReadings(
      plan.map(({ state, step, both }) => {
        register = (register + BigInt(step) + 10_000n) % 10_000n
        const registers = both ? { import: register, export: register } : { export: register }
        return { state, registers: state === 'no-answer' ? {} : registers }
      }),
      signer,
    )
    const sent = records.filter((_, i) => plan[i]?.left !== true)
    let base: Base = { registers: first.registers, takenAt: genesisMs as never, clockStatus: 'S' }
    const expected = sent.flatMap(({ text }) => {
      const parsed = parseOcmfText(text)
      const step = stepBase(base, parsed.record, { maxPowerW: 43_000, rolloverWh: 10_000n })
      if (!isSettleable(parsed) || step.kind !== 'counted') return []
      const begins = parsed.record.state === 're-based'
      base = begins ? step.base : { ...step.base, registers: { ...base.registers, ...step.base.registers } }
      return [[parsed.record.sequence, step.energy.export, step.energy.import]]
    })
    const { settled } = await settle(
      sent.filter(({ text }) => isSettleable(parseOcmfText(text))),
      signer,
    )
    t.deepEqual(
      settled.map(({ sequence, mintWh, burnWh }) => [Number(sequence), mintWh, burnWh]),
      expected,
    )
    t.is(device, toDeviceAddress(signer.publicKey))
  }
})

test.serial(
  'minted is what the registers rose by, whatever order, repetition, loss, tampering, gas and reorgs',
  async (t) => {
    for (const [plan, rise] of fc.sample(fc.tuple(steps, rises), { numRuns: 2, seed: 2026 })) {
      for (const { device, expected, booked } of await runChaos(chain, plan, rise))
        t.deepEqual(booked, expected, device)
    }
  },
)

test.serial('minted less burned is what owners hold less what they owe', async (t) => {
  const settled = await chain.settled()
  const net = settled.reduce((sum, { mintWh, burnWh }) => sum + mintWh - burnWh, 0n)
  const owners = [60_000, 60_001, ...Array.from({ length: number }, (_, i) => 10_001 + i)]
  let held = 0n
  for (const owner of owners) held += (await chain.balanceOf(owner)) - (await chain.shortfallOf(owner))
  t.is(held, net)
  t.true(settled.length > 50)
})
