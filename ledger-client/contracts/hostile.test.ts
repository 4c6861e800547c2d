import type { SignedRecord, Signer } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { signerOf } from '../../protocol/test/arbitraries.ts'
import { hashTemplate } from '../src/evm/attestation-contract.ts'
import type { Settlement } from '../src/evm/settlement.ts'
import { genesisSeconds } from '../test/anvil.ts'
import { Chain, certificateOf, type PointTerms, signedBody, toItem, walletOf } from '../test/chain.ts'
import { findDifference, histories } from '../test/chain-governance.ts'
import { genesisMs, type Reading, signReadings } from '../test/chain-records.ts'

// What somebody gains who has every record, or the key of a meter, and wants more than was measured.

const [consumer, producer] = [1, 2]
const first = { at: genesisMs, registers: { export: 0n } }
let chain: Chain
let number = 0

test.before(async () => {
  chain = await Chain.start()
  await chain.anvil.mine(genesisSeconds + 86_400)
})
test.after.always(() => chain?.stop())

async function enrolRoof(terms: Partial<PointTerms> = {}) {
  const signer = signerOf(40_000 + ++number)
  const owner = 110_000 + number
  const device = await chain.enrol(signer, { owner, books: producer, first, ...terms })
  return { signer, owner, device }
}

async function settle(records: readonly (SignedRecord | undefined)[], signer: Signer) {
  const settlements: Settlement[] = []
  for (const record of records) if (record !== undefined) settlements.push(await chain.toSettlement(record, signer))
  const { settled, skipped } = await chain.settle(settlements)
  return { minted: settled.map(({ mintWh }) => Number(mintWh)), skipped: skipped.map(({ reason }) => reason) }
}

const exported = (wh: number): Reading => ({ registers: { export: BigInt(wh) } })
const proveSkipped = async (record: SignedRecord | undefined, signer: Signer) =>
  chain.send('Attestation', 'proveSkippedBase', toItem(await chain.toSettlement(record as SignedRecord, signer)))

test.serial('SPEC-81: a clock that goes back and forth makes no room for energy', async (t) => {
  const { signer } = await enrolRoof({ maxPowerW: 60_000 })
  const records = signReadings(
    [
      { ...exported(1000), minute: 60 },
      { ...exported(1001), minute: 1, changes: { clockStatus: 'U' } },
      // An hour at 60 kW since minute 1, and a tenth of a second since minute 60.
      { ...exported(41_000), minute: 60 },
      { ...exported(1050), minute: 1, state: 're-based' },
      { ...exported(41_000), minute: 60 },
      { ...exported(2050), minute: 61 },
    ],
    signer,
  )
  const { minted, skipped } = await settle(records, signer)
  t.deepEqual(minted, [1000, 1, 0, 1000])
  t.deepEqual(skipped, ['OverLimit', 'OverLimit'])
})

test.serial('a re-base that does not tell the booked register ends it, and is none that was left out', async (t) => {
  const { signer } = await enrolRoof()
  const records = signReadings(
    [
      exported(500),
      { registers: { import: 7n }, state: 're-based' },
      exported(900),
      exported(950),
      { registers: { import: 9n }, state: 'roll-over' },
    ],
    signer,
  )
  const { minted, skipped } = await settle(records, signer)
  t.deepEqual(minted, [500, 0, 0, 50], 'from 500 to 900 it may be another meter')
  t.deepEqual(skipped, ['BooksNothing'])
  await t.throwsAsync(proveSkipped(records[1], signer), { message: 'BadProof' })
})

test.serial('a re-base from before the enrolment neither begins the count again nor freezes', async (t) => {
  const signer = signerOf(40_000 + ++number)
  const records = signReadings(
    [exported(500), { ...exported(0), state: 're-based' }, exported(400), exported(450), exported(500)],
    signer,
  )
  const enrolled = { at: genesisMs + 3 * 60_000, registers: { export: 400n }, after: { epoch: genesisMs, sequence: 3 } }
  await chain.enrol(signer, { owner: 110_000 + number, books: producer, first: enrolled })
  t.deepEqual(await settle([records[1], records[2], records[3]], signer), {
    minted: [50],
    skipped: ['Replayed', 'Replayed'],
  })
  await t.throwsAsync(proveSkipped(records[1], signer), { message: 'BadProof' })
  t.deepEqual((await settle([records[4]], signer)).minted, [50])
})

test.serial('a beginning that has not come yet is no term', async (t) => {
  const { timestamp } = await chain.anvil.rpc<{ timestamp: string }>('eth_getBlockByNumber', 'latest', false)
  const at = Number(timestamp) * 1000 + 3_600_000
  await t.throwsAsync(enrolRoof({ first: { at, registers: {} } }), { message: 'BadTerms' })
})

test.serial('an act at an address without a contract is not done, and can be done where there is one', async (t) => {
  const nowhere = {
    ...chain.actTyped({ name: 'Attestation', method: 'setPaused', args: false }),
    target: walletOf(5).address,
  }
  await t.throwsAsync(chain.send('Council', 'act', { ...nowhere, signatures: [] }), { message: 'NoContract' })
})

test.serial('many points and templates in one answer say what each says alone', async (t) => {
  const points = [await enrolRoof(), await enrolRoof({ books: consumer, first: { at: genesisMs, registers: {} } })]
  const records = signReadings([exported(77)], points[0]!.signer)
  await settle(records, points[0]!.signer)
  const devices = [...points.map(({ device }) => device), walletOf(1).address]
  const heads = await chain.read<{ status: bigint; books: bigint; head: bigint }[]>('Attestation', 'headsOf', devices)
  for (const [i, device] of devices.entries()) {
    const { status, books, head } = await chain.read<(typeof heads)[number]>('Attestation', 'pointOf', device)
    t.deepEqual({ ...heads[i] }, { status, books, head })
  }
  const template = { gatewayModel: 'x', gatewaySerial: 'x', gatewayVersion: 'x', meterVendor: 'x', meterModel: 'x' }
  const unknown = { ...template, meterSerial: 'x', pointType: 'CBIDC', pointText: 'x' } as const
  const [known] = signReadings([exported(1)], points[0]!.signer)
  const id = BigInt(
    await chain.templateId((await import('@wattline/protocol')).parseOcmfText(known!.text).record.template),
  )
  const names = [hashTemplate(unknown)]
  t.deepEqual(await chain.read('Attestation', 'templatesOf', names), [0n])
  t.true(id > 0n)
})

// Upgrades last: they leave everything above behind.

test.serial('a point is known to one contract at a time, whoever forgets what in an upgrade', async (t) => {
  const [one, sleeper] = [await enrolRoof(), await enrolRoof()]
  const records = signReadings([100, 200, 300].map(exported), one.signer)
  const slept = signReadings([100, 200].map(exported), sleeper.signer)
  await settle([records[0]], one.signer)
  await settle([slept[0]], sleeper.signer)
  const old = chain.attestation
  const next = await chain.succeed()
  const signer = signerOf(40_000 + ++number)
  chain.move(next)
  const early = chain.enrol(signer, { owner: 110_000 + number, books: producer })
  await t.throwsAsync(early, { message: 'NotBooker' }, 'the one that books does not know it')
  chain.move(old)
  await chain.upgrade()
  const again = chain.enrol(one.signer, { owner: one.owner, books: producer })
  await t.throwsAsync(again, { message: 'KnownKey' }, 'its count would begin anew')
  await chain.send('Attestation', 'adopt', [one.device])
  await chain.send('Attestation', 'adopt', [one.device])
  const stolen = { device: one.device, ...signedBody(certificateOf(sleeper.signer), sleeper.signer) }
  await t.throwsAsync(chain.send('Attestation', 'rotateKey', stolen, chain.council), { message: 'KnownKey' })
  t.deepEqual((await settle([records[1]], one.signer)).minted, [100])
  await t.throwsAsync(
    chain.act('Watt', 'nameBooker', old),
    { message: 'HasBooked' },
    'it knows nothing of the second 100',
  )
  // Nobody adopted the other point the first time.
  await chain.upgrade()
  await t.throwsAsync(chain.send('Attestation', 'adopt', [walletOf(1).address]), { message: 'UnknownKey' })
  await chain.send('Attestation', 'adopt', [sleeper.device, one.device])
  t.deepEqual((await settle([slept[0], slept[1]], sleeper.signer)).minted, [100])
  t.deepEqual((await settle(records, one.signer)).minted, [100])
  t.is(await chain.balanceOf(one.owner), 300n)
})

test.serial('whatever council, owners, strangers and relayers do, the contracts stand as README.md says', async (t) => {
  const [history] = fc.sample(histories, { numRuns: 1, seed: 5 })
  t.is(await findDifference(chain, history!), undefined)
})
