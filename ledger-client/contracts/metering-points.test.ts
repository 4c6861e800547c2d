import type { SignedRecord, Signer } from '@wattline/protocol'
import test from 'ava'
import { signTyped } from 'micro-eth-signer'
import { roof, signerOf } from '../../protocol/test/arbitraries.ts'
import { type Settlement, toContractTemplate, toDeviceAddress } from '../src/evm/settlement.ts'
import { genesisSeconds } from '../test/anvil.ts'
import { Chain, certificateOf, councillors, type PointTerms, signedBody, signedPair, walletOf } from '../test/chain.ts'
import { genesisMs, type Reading, signReadings } from '../test/chain-records.ts'
import { encodeCall } from '../test/contracts.ts'

interface Point {
  readonly owner: string
  readonly status: bigint
  readonly books: bigint
  readonly certificate: Uint8Array
}

const [consumer, producer] = [1, 2]
const first = { at: genesisMs, registers: { export: 0n } }
const day = 86_400
let chain: Chain
let number = 0

test.before(async () => {
  chain = await Chain.start()
  await chain.anvil.mine(genesisSeconds + day)
})
test.after.always(() => chain?.stop())

async function enrolRoof(terms: Partial<PointTerms> = {}) {
  const signer = signerOf(7000 + ++number)
  const owner = terms.owner ?? 20_000 + number
  const device = await chain.enrol(signer, { books: producer, first, ...terms, owner })
  return { signer, owner, device, address: walletOf(owner).address }
}

async function settle(records: readonly (SignedRecord | undefined)[], signer: Signer) {
  const settlements: Settlement[] = []
  for (const record of records) if (record !== undefined) settlements.push(await chain.toSettlement(record, signer))
  return chain.settle(settlements)
}

const exported = (wh: number): Reading => ({ registers: { export: BigInt(wh) } })
const pointOf = (device: string) => chain.read<Point>('Attestation', 'pointOf', device)

test.serial(
  'a point comes in with the signatures of its key, its owner and the council, and not without one',
  async (t) => {
    const signer = signerOf(7000 + ++number)
    const terms = { owner: 20_000, books: producer }
    const good = chain.enrolment(signer, terms)
    await t.throwsAsync(chain.send('Attestation', 'enrol', good), { message: 'OnlyCouncil' })
    await t.throwsAsync(chain.act('Attestation', 'enrol', { ...good, books: 3n }), { message: 'BadOwnerSignature' })
    const { ownerSignature } = chain.enrolment(signer, { ...terms, owner: 20_001 })
    await t.throwsAsync(chain.act('Attestation', 'enrol', { ...good, ownerSignature }), {
      message: 'BadOwnerSignature',
    })
    const { r } = signedBody(certificateOf(signerOf(1)), signerOf(1))
    await t.throwsAsync(
      chain.act('Attestation', 'enrol', { ...good, r }),
      undefined,
      'another key than the owner signed for',
    )
    await chain.act('Attestation', 'enrol', good)
    const device = toDeviceAddress(signer.publicKey)
    const { owner, certificate } = await pointOf(device)
    t.is(owner.toLowerCase(), walletOf(20_000).address)
    t.is(Buffer.from(certificate).toString('hex'), certificateOf(signer).hash)
    await t.throwsAsync(chain.act('Attestation', 'enrol', good), { message: 'KnownKey' })
  },
)

test.serial('terms that make no sense are refused', async (t) => {
  const refused = (terms: Partial<PointTerms>) =>
    t.throwsAsync(enrolRoof(terms), { message: 'BadTerms' }, JSON.stringify(Object.keys(terms)))
  await refused({ books: 4 })
  await refused({ maxPowerW: 0 })
  await refused({ maxPowerW: 1_000_000_001 })
  await refused({ behind: walletOf(1).address })
  await refused({ first: { at: 253_402_300_800_000, registers: {} } })
})

test.serial('without first registers the first record that is brought begins the count', async (t) => {
  const signer = signerOf(7000 + ++number)
  await chain.enrol(signer, { owner: 20_000 + number, books: producer })
  const { settled } = await settle(signReadings([500, 700].map(exported), signer), signer)
  t.deepEqual(
    settled.map(({ mintWh }) => mintWh),
    [0n, 200n],
  )
})

test.serial('two of three act; one alone, one twice, a stranger and a late or repeated act do not', async (t) => {
  const [a, b, c] = councillors
  const act = (signers: typeof councillors) => chain.act('Attestation', 'setPaused', true, signers)
  await t.throwsAsync(act([a!]), { message: 'TooFewSignatures' })
  await t.throwsAsync(act([a!, a!]), { message: 'BadSignature' })
  await t.throwsAsync(act([a!, walletOf(99)]), { message: 'BadSignature' })
  await t.throwsAsync(act([c!, b!]), { message: 'BadSignature' }, 'not in order')
  const call = chain.actCall({ name: 'Attestation', method: 'setPaused', args: false, signers: [a!, c!] })
  await chain.transact(chain.council, call)
  await t.throwsAsync(chain.transact(chain.council, call), { message: 'Spent' })
  const late = chain.actCall({ name: 'Attestation', method: 'setPaused', args: true, deadline: 1n })
  await t.throwsAsync(chain.transact(chain.council, late), { message: 'Expired' })
})

test.serial('the council changes its members and takes back acts by itself only', async (t) => {
  const [a, b, c] = councillors
  const members = councillors.map(({ address }) => address)
  await t.throwsAsync(chain.send('Council', 'setMembers', { members_: members, threshold_: 1n }), {
    message: 'OnlyItself',
  })
  await chain.act('Council', 'setMembers', { members_: members, threshold_: 3n })
  await t.throwsAsync(chain.act('Attestation', 'setPaused', false, [a!, b!]), { message: 'TooFewSignatures' })
  for (const threshold_ of [0n, 4n]) {
    const act = chain.act('Council', 'setMembers', { members_: members, threshold_ }, [a!, b!, c!])
    await t.throwsAsync(act, { message: 'BadMembers' })
  }
  await chain.act('Council', 'setMembers', { members_: members, threshold_: 2n }, [a!, b!, c!])
  const act = chain.actTyped({ name: 'Attestation', method: 'setPaused', args: true, salt: 777n })
  const digest = await chain.read<Uint8Array>('Council', 'hashAct', act)
  await chain.act('Council', 'spend', digest)
  const call = chain.actCall({ name: 'Attestation', method: 'setPaused', args: true, salt: 777n })
  await t.throwsAsync(chain.transact(chain.council, call), { message: 'Spent' })
})

test.serial('while the council has paused it, nothing is settled; afterwards nothing is missing', async (t) => {
  const { signer, owner } = await enrolRoof()
  const records = signReadings([100, 200].map(exported), signer)
  await chain.act('Attestation', 'setPaused', true)
  await t.throwsAsync(settle(records, signer), { message: 'Paused' })
  await chain.act('Attestation', 'setPaused', false)
  await settle([records[1]], signer)
  t.is(await chain.balanceOf(owner), 200n)
})

test.serial('a new key is the way out of a freeze', async (t) => {
  const { signer, owner, device } = await enrolRoof()
  const [one, two] = [100, 101].map((wh) => signReadings([exported(wh)], signer)[0])
  await settle([one], signer)
  await chain.send('Attestation', 'proveEquivocation', signedPair(one, two, signer))
  const next = signerOf(7000 + ++number)
  await chain.act('Attestation', 'rotateKey', { device, ...signedBody(certificateOf(next), next) })
  await settle(signReadings([{ ...exported(300), minute: 3 }], next), next)
  t.is(await chain.balanceOf(owner), 300n)
  const behind = enrolRoof({ behind: device })
  await t.throwsAsync(behind, { message: 'BadTerms' }, 'behind a key that is no more')
})

test.serial('a new key goes on from the register that the old one left', async (t) => {
  const { signer, owner, device } = await enrolRoof()
  await settle(signReadings([100, 200].map(exported), signer), signer)
  const next = signerOf(7000 + ++number)
  const rotation = { device, ...signedBody(certificateOf(next), next) }
  await t.throwsAsync(chain.send('Attestation', 'rotateKey', rotation), { message: 'OnlyCouncil' })
  await chain.act('Attestation', 'rotateKey', rotation)
  const late = signReadings([100, 200, 300].map(exported), signer)
  t.is((await settle([late[2]], signer)).skipped[0]?.reason, 'Rotated')
  const [one] = signReadings([{ ...exported(450), minute: 9 }], next)
  t.is((await settle([one], next)).settled[0]?.mintWh, 250n)
  t.is(await chain.balanceOf(owner), 450n)
  await t.throwsAsync(chain.act('Attestation', 'rotateKey', rotation), { message: 'UnknownKey' })
  const back = { device: toDeviceAddress(next.publicKey), ...signedBody(certificateOf(signer), signer) }
  await t.throwsAsync(chain.act('Attestation', 'rotateKey', back), { message: 'KnownKey' }, 'a key is used once')
})

test.serial('a revoked key counts up to the stated place, and its history stays', async (t) => {
  const { signer, owner, device } = await enrolRoof()
  const records = signReadings([100, 200, 300].map(exported), signer)
  await settle([records[0]], signer)
  await chain.act('Attestation', 'revoke', { device, epoch: BigInt(genesisMs), sequence: 2n })
  const { settled, skipped } = await settle([records[2], records[1], records[2]], signer)
  t.is(settled.length, 1)
  t.deepEqual(
    skipped.map(({ reason }) => reason),
    ['Revoked', 'Revoked'],
  )
  t.is(await chain.balanceOf(owner), 200n)
})

test.serial('a point changes hands when its owner offers it and the other takes it', async (t) => {
  const { signer, owner, device, address } = await enrolRoof()
  const other = walletOf(30_000).address
  await settle(signReadings([exported(100)], signer), signer)
  await t.throwsAsync(chain.as(other, 'Attestation', 'offerPoint', { device, to: other }), { message: 'OnlyOwner' })
  await t.throwsAsync(chain.as(other, 'Attestation', 'acceptPoint', device), { message: 'OnlyOwner' })
  await chain.as(address, 'Attestation', 'offerPoint', { device, to: other })
  await chain.as(other, 'Attestation', 'acceptPoint', device)
  await settle(signReadings([100, 250].map(exported), signer), signer)
  t.is(await chain.balanceOf(owner), 100n)
  t.is(await chain.balanceOf(30_000), 150n)
  await chain.act('Attestation', 'offerPoint', { device, to: address })
  await chain.as(address, 'Attestation', 'acceptPoint', device)
  t.is((await pointOf(device)).owner.toLowerCase(), address)
})

test.serial('SPEC-84: a point that others are behind books nothing: its meter sees their energy too', async (t) => {
  const house = await enrolRoof()
  t.is((await settle(signReadings([exported(100)], house.signer), house.signer)).settled[0]?.mintWh, 100n)
  const leaf = await enrolRoof({ behind: house.device })
  const later = signReadings([100, 200].map(exported), house.signer)
  t.is((await settle([later[1]], house.signer)).skipped[0]?.reason, 'BooksNothing')
  t.is((await settle(signReadings([exported(50)], leaf.signer), leaf.signer)).settled[0]?.mintWh, 50n)
})

test.serial('SPEC-83: a register outside the role does not count', async (t) => {
  const { signer, owner } = await enrolRoof()
  const records = signReadings([{ registers: { import: 5n } }, { registers: { import: 9n, export: 30n } }], signer)
  const { settled, skipped } = await settle(records, signer)
  t.deepEqual(skipped, [{ index: 0, reason: 'BooksNothing' }])
  t.like(settled[0], { mintWh: 30n, burnWh: 0n })
  t.is(await chain.balanceOf(owner), 30n)
})

test.serial(
  'SPEC-85: what is consumed burns while there is WATT; the rest is owed, and later WATT does not pay it',
  async (t) => {
    const roofPoint = await enrolRoof()
    const { owner } = roofPoint
    const house = await enrolRoof({ owner, books: consumer, first: { at: genesisMs, registers: { import: 0n } } })
    await settle(signReadings([exported(300)], roofPoint.signer), roofPoint.signer)
    const consumed = signReadings(
      [200, 500].map((wh) => ({ registers: { import: BigInt(wh) } })),
      house.signer,
    )
    await settle([consumed[0]], house.signer)
    t.deepEqual([await chain.balanceOf(owner), await chain.shortfallOf(owner)], [100n, 0n])
    await settle([consumed[1]], house.signer)
    t.deepEqual([await chain.balanceOf(owner), await chain.shortfallOf(owner)], [0n, 200n])
    await settle(signReadings([300, 350].map(exported), roofPoint.signer), roofPoint.signer)
    t.deepEqual([await chain.balanceOf(owner), await chain.shortfallOf(owner)], [50n, 200n])
  },
)

test.serial('WATT moves by a signature alone (permit)', async (t) => {
  const { signer, owner, address } = await enrolRoof()
  await settle(signReadings([exported(100)], signer), signer)
  const [spender, deadline] = [walletOf(31_000).address, 4_000_000_000n]
  const types = {
    EIP712Domain: ['name:string', 'version:string', 'chainId:uint256', 'verifyingContract:address'].map(toField),
    Permit: ['owner:address', 'spender:address', 'value:uint256', 'nonce:uint256', 'deadline:uint256'].map(toField),
  }
  const domain = { name: 'Wattline WATT', version: '1', chainId: 31_337n, verifyingContract: chain.watt }
  const message = { owner: address, spender, value: 60n, nonce: 0n, deadline }
  const signature = signTyped({ domain, types, primaryType: 'Permit', message } as never, walletOf(owner).secret)
  const bytes = Buffer.from(signature.slice(2), 'hex')
  const [r, s, v] = [bytes.subarray(0, 32), bytes.subarray(32, 64), BigInt(bytes[64] ?? 0)]
  await chain.send('Watt', 'permit', { owner: address, spender, value: 60n, deadline, v, r, s })
  await chain.as(spender, 'Watt', 'transferFrom', { from: address, to: spender, value: 60n })
  t.is(await chain.balanceOf(31_000), 60n)
  t.is(await chain.read('Watt', 'decimals'), 3n)
})

const toField = (field: string) => ({ name: field.split(':')[0], type: field.split(':')[1] })

test.serial('texts that a record cannot hold are no template, and the same texts are stored once', async (t) => {
  const template = toContractTemplate(roof)
  for (const bad of ['"', '\\', '|', '\n', 'é', 'x'.repeat(201)]) {
    await t.throwsAsync(chain.send('Attestation', 'registerTemplate', { ...template, pointText: bad }), {
      message: 'UnfitText',
    })
  }
  await chain.send('Attestation', 'registerTemplate', template)
  const before = await chain.read<bigint>('Attestation', 'templateCount')
  await chain.send('Attestation', 'registerTemplate', template)
  t.is(await chain.read<bigint>('Attestation', 'templateCount'), before)
})

test.serial('nobody but the booker books, and nobody but the council names it', async (t) => {
  const [owner] = [walletOf(1).address]
  await t.throwsAsync(chain.send('Watt', 'book', { owner, mintWh: 1n, burnWh: 0n }), { message: 'OnlyBooker' })
  await t.throwsAsync(chain.send('Watt', 'nameBooker', owner), { message: 'OnlyCouncil' })
  await t.throwsAsync(chain.send('Watt', 'changeBooker'), { message: 'TooEarly' })
})

test.serial(
  'an upgrade takes seven days in the open; then points go on where they were, and energy counts once',
  async (t) => {
    const { signer, owner, device } = await enrolRoof()
    const records = signReadings([100, 200, 300].map(exported), signer)
    await settle([records[0]], signer)
    const old = chain.attestation
    const next = await chain.succeed()
    await chain.act('Watt', 'nameBooker', next)
    await t.throwsAsync(chain.send('Watt', 'changeBooker'), { message: 'TooEarly' })
    const adopt = encodeCall('Attestation', 'adopt', [device])
    await t.throwsAsync(chain.transact(next, adopt), { message: 'NotBooker' })
    await settle([records[1]], signer)
    await chain.anvil.mine(genesisSeconds + 9 * day)
    await chain.send('Watt', 'changeBooker')
    await t.throwsAsync(settle([records[2]], signer), { message: 'OnlyBooker' }, 'the old one books no more')
    chain.move(next)
    t.is((await settle([records[2]], signer)).skipped[0]?.reason, 'UnknownKey')
    await chain.transact(next, adopt)
    await chain.transact(next, adopt) // again: stays as it is
    const { settled, skipped } = await settle(records, signer)
    t.deepEqual([settled.map(({ mintWh }) => mintWh), skipped.length], [[100n], 2])
    t.is(await chain.balanceOf(owner), 300n)
    t.not(old, next)
  },
)
