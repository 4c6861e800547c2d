import test from 'ava'
import fc from 'fast-check'
import { genesisSeconds } from '../../test/anvil.ts'
import { Chain, certificateOf, signedBody } from '../../test/chain.ts'
import { events, FinalityRig, fundPayer, KeepingDevice, losesNothing } from '../../test/finality-rig.ts'
import { testSigner } from '../../test/rig.ts'
import { FinalPlaces, forgetFinalPlaces } from '../store/final-places.ts'
import { makeRpc, type Rpc } from './rpc.ts'

let chain: Chain
let owner = 90_000

test.before(async () => {
  chain = await Chain.start()
  await chain.anvil.mine(genesisSeconds + 86_400)
  await fundPayer(chain)
})
test.after.always(() => chain?.stop())

const roof = () => ({ meter: `roof-${++owner}`, owner })

test.serial('SPEC-170: a receipt waits until what it names is final, and not for what counts nothing', async (t) => {
  const rig = new FinalityRig(t, chain)
  const device = await rig.add(roof())
  const read = (wh: bigint) => {
    device.registerWh += wh
    rig.engine.ingest([device.read({ export: device.registerWh })])
  }
  const silent = () => rig.engine.ingest([device.read({}, { state: 'no-answer' })])
  read(0n)
  silent()
  await rig.look()
  t.is(rig.receiptOf(device), 0, 'its enrolment is not final')
  await rig.settle()
  await rig.look()
  t.is(rig.receiptOf(device), 2, 'the register is where the chain begins, and silence tells nothing')
  read(100n)
  silent()
  await rig.look()
  t.is(rig.receiptOf(device), 2)
  await rig.settle(0)
  await rig.look()
  t.is(rig.receiptOf(device), 4, 'two blocks passed since')
  read(5n)
  await rig.relay()
  await chain.anvil.mine()
  await chain.anvil.mine()
  await rig.look()
  t.is(rig.receiptOf(device), 4, 'counted, and one block short of final')
  await chain.anvil.mine()
  t.deepEqual((await rig.look()).moved, [device.id])
  t.is(rig.receiptOf(device), 5)
  t.deepEqual(device.kept, [])
})

test.serial(
  'SPEC-171: what the contract refuses for good holds nothing back, as where the ledger refuses it',
  async (t) => {
    const rig = new FinalityRig(t, chain)
    // To the chain it was further on already: enrolled later, with a later register.
    const late = await rig.add(roof(), 'not on the chain')
    rig.engine.ingest([late.read({ export: 500n }), late.read({ export: 800n })])
    await rig.settle()
    const held = await rig.look()
    t.deepEqual(held.held, [{ point: late.id, status: 'unknown' }])
    t.is(rig.receiptOf(late), 0)
    const first = { at: late.takenAt as never, registers: { export: 900n } }
    await chain.enrol(late.signer, { owner: late.owner, books: 2, maxPowerW: 1_000_000, first })
    await rig.settle()
    const { refused } = await rig.look()
    t.deepEqual(
      refused.map(({ sequence, reason }) => [sequence, reason]),
      [
        [1, 'RegisterDecreased'],
        [2, 'RegisterDecreased'],
      ],
    )
    t.is(rig.receiptOf(late), 2)
    rig.engine.ingest([late.read({ export: 950n })])
    await rig.settle()
    await rig.look()
    t.is(rig.receiptOf(late), 3)
    t.is(await chain.balanceOf(late.owner), 50n)
  },
)

test.serial('SPEC-171: no receipt waits for what no chain books', async (t) => {
  const rig = new FinalityRig(t, chain)
  const storage = await rig.add({ ...roof(), role: 'storage' }, 'not on the chain')
  const house = await rig.add(roof(), 'not on the chain')
  const child = await rig.add({ ...roof(), behind: house.id }, 'not on the chain')
  rig.engine.ingest([storage.read({ import: 5n, export: 1n }), storage.read({ import: 9n, export: 2n })])
  rig.engine.ingest([house.read({ export: 5n }), house.read({ export: 9n }), child.read({ export: 1n })])
  await rig.look()
  t.deepEqual([rig.receiptOf(storage), rig.receiptOf(house), rig.receiptOf(child)], [2, 2, 0])
  // A session names a person, so it stays off the chain; the energy comes with the next interval.
  const charger = await rig.add({ ...roof(), role: 'charger' }, 1)
  const at = (wh: bigint) => ({ import: charger.registerWh + wh })
  rig.engine.ingest([
    charger.read(at(0n)),
    charger.read(at(0n), { mark: 'B', driver: 'A1' }),
    charger.read(at(700n), { mark: 'E', driver: 'A1' }),
    charger.read({}, { state: 'no-answer' }),
  ])
  await rig.settle()
  await rig.look()
  t.is(rig.receiptOf(charger), 4)
  rig.engine.ingest([charger.read(at(700n))])
  await rig.look()
  t.is(rig.receiptOf(charger), 4)
  await rig.settle()
  await rig.look()
  t.is(rig.receiptOf(charger), 5)
  t.is(await chain.shortfallOf(charger.owner), 700n)
})

test.serial('SPEC-172: a point that the contract stopped counting gets no receipts until a person acts', async (t) => {
  const rig = new FinalityRig(t, chain)
  const device = await rig.add(roof())
  const at = (wh: bigint) => ({ export: device.registerWh + wh })
  rig.engine.ingest([device.read(at(0n)), device.read(at(40n))])
  await rig.settle()
  await rig.look()
  t.is(rig.receiptOf(device), 2)
  const address = chain.deviceOf(device.signer)
  await chain.send(
    'Attestation',
    'revoke',
    { device: address, epoch: BigInt(device.epoch), sequence: 2n },
    chain.council,
  )
  rig.engine.ingest([device.read(at(60n)), device.read({}, { state: 'no-answer' })])
  await rig.settle()
  t.deepEqual((await rig.look()).held, [{ point: device.id, status: 'revoked' }])
  t.is(rig.receiptOf(device), 2)
  const next = testSigner(++owner)
  const successor = { device: address, ...signedBody(certificateOf(next), next) }
  await chain.send('Attestation', 'rotateKey', successor, chain.council)
  await rig.settle()
  await rig.look()
  t.is(rig.receiptOf(device), 4, 'the register goes on with the new key, which tells the rest')
})

test.serial('a ledger that changes to a chain goes on from what receipts have told', async (t) => {
  const rig = new FinalityRig(t, chain)
  const device = await rig.add(roof(), 'not on the chain')
  rig.engine.ingest([device.read({ export: 5n }), device.read({ export: 9n })])
  const places = new FinalPlaces(rig.engine.db)
  const point = () => rig.engine.registry.get(device.id) as NonNullable<ReturnType<typeof rig.engine.registry.get>>
  places.begin()
  t.is(places.of(point()), undefined, 'on a chain since the first start: nothing was told yet')
  forgetFinalPlaces(rig.engine.db)
  places.begin()
  t.like(places.of(point()), { sequence: 2, hash: point().head?.hash })
})

test.serial('SPEC-170: hundreds of points that wait take a few questions, which are all of two blocks', async (t) => {
  const rig = new FinalityRig(t, chain)
  const device = await rig.add(roof())
  const read = (wh: bigint) => rig.engine.ingest([device.read({ export: device.registerWh + wh })])
  read(0n)
  read(5n)
  await rig.settle()
  const others = Array.from({ length: 120 }, () => new KeepingDevice(roof()))
  rig.engine.ingest(others.flatMap((each) => [each.certificateMessage(), each.read({ export: 5n })]))
  read(9n)
  const node = makeRpc(chain.anvil.url)
  const asked: unknown[][] = []
  const count: Rpc = {
    ask(method, ...params) {
      asked.push([method, params[1]])
      return node.ask(method, ...params)
    },
  }
  rig.use(count)
  const newest = Number(await chain.anvil.rpc<string>('eth_blockNumber'))
  t.is((await rig.look()).held.length, 120)
  t.is(rig.receiptOf(device), 2)
  const blocks = asked.slice(1).map(([, block]) => Number(block))
  t.deepEqual([...new Set(blocks)].sort(), [newest - 2, newest])
  // For each hundred the heads twice; one template and one record are tried.
  t.is(asked.length, 1 + 2 * 2 + 2)
  asked.length = 0
  await rig.look()
  t.is(asked.length, 1 + 2 * 2, 'what waits for its turn is tried once')
})

const histories = (numRuns: number, seed: number) => fc.sample(events, { numRuns, seed })

test.serial(
  'whatever is cut, killed or taken back: what has a receipt is on the chain, the rest at a gateway',
  async (t) => {
    for (const [i, plan] of histories(2, 2026).entries()) t.true(await losesNothing(t, chain, plan), `history ${i}`)
  },
)

test.serial('the check bites: receipts before finality lose energy', async (t) => {
  for (const mutant of ['receipt at commit', 'receipt at first sight'] as const) {
    let isFound = false
    for (const plan of histories(20, 5)) isFound ||= !(await losesNothing(t, chain, plan, mutant))
    t.true(isFound, mutant)
  }
})
