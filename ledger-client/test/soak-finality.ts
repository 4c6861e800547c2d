// `make soak`: receipts where a chain counts. Histories that are cut off anywhere, after which every watt-hour is on the
// chain or at a gateway; then a ledger with `backend: evm`, killed again and again while blocks are taken back.
import { readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { AttestationContract } from '../src/evm/attestation-contract.ts'
import { makeRpc } from '../src/evm/rpc.ts'
import { toDeviceAddress } from '../src/evm/settlement.ts'
import { Wallet } from '../src/evm/wallet.ts'
import { genesisSeconds } from './anvil.ts'
import { Chain } from './chain.ts'
import { events, fundPayer, losesNothing, type Mutant } from './finality-rig.ts'
import { connectGateway } from './gateway-client.ts'
import { freePort, startProgram } from './programs.ts'
import { openRelayRig, type RelayPoint, whileMining } from './relay-rig.ts'

const [, , runs = '200', seed = '1', kills = '20'] = process.argv
const perChain = 25
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Runs work with a place for what has to be put away after it. */
async function withTeardown<T>(work: (t: { teardown(fn: () => unknown): void }) => Promise<T>): Promise<T> {
  const steps: (() => unknown)[] = []
  try {
    return await work({ teardown: (fn) => void steps.push(fn) })
  } finally {
    for (const step of steps.toReversed()) await step()
  }
}

/** How many histories lose energy. */
async function countLosses(count: number, from: number, mutant: Mutant): Promise<number> {
  const chain = await Chain.start()
  let losses = 0
  try {
    await chain.anvil.mine(genesisSeconds + 86_400)
    await fundPayer(chain)
    for (const plan of fc.sample(events, { numRuns: count, seed: from })) {
      if (!(await withTeardown((t) => losesNothing(t, chain, plan, mutant)))) losses++
    }
  } finally {
    await chain.stop()
  }
  return losses
}

for (let from = 0; from < Number(runs); from += perChain) {
  const start = 1000 * Number(seed) + from
  const losses = await countLosses(Math.min(perChain, Number(runs) - from), start, 'none')
  if (losses > 0) throw new Error(`${losses} histories from seed ${start} lose energy that had a receipt`)
}
for (const mutant of ['receipt at commit', 'receipt at first sight'] as const) {
  const losses = await countLosses(perChain, Number(seed), mutant)
  if (losses === 0) throw new Error(`the check does not bite: ${mutant} loses nothing`)
  process.stdout.write(`${mutant}: ${losses} of ${perChain} histories lose energy, as they must\n`)
}
process.stdout.write(`${runs} histories of receipts: every watt-hour on the chain or at a gateway\n`)

await withTeardown(async (t) => {
  const { chain, engine, path, points } = await openRelayRig(t, 3)
  engine.close()
  const config = readFileSync(path, 'utf8')
    .replace('port: 0', `port: ${await freePort()}`)
    .replace('./data }', './data, backend: evm }')
    .replace('everySeconds: 1', 'everySeconds: 1, confirmations: 3')
  writeFileSync(path, config)
  const wallet = new Wallet(makeRpc(chain.anvil.url), Buffer.alloc(32, 1), { maxFeePerGas: 0n, tipPerGas: 0n })
  const contract = new AttestationContract(makeRpc(chain.anvil.url), wallet, {
    address: chain.attestation,
    confirmations: 0,
  })
  const told = new Map<string, number>()
  const check = async ({ device }: RelayPoint) => {
    const [head] = await contract.headsOf([toDeviceAddress(device.signer.publicKey)], 'latest')
    const receipt = told.get(device.id) ?? 0
    // Each reading is 250 Wh beyond the one before; the first, of 1000 Wh, began the count.
    const owed = receipt === 0 ? 0n : 1000n + 250n * BigInt(receipt - 1)
    if ((head?.registers.export ?? 0n) < owed)
      throw new Error(`${device.id}: receipt up to ${receipt}, chain: ${head?.sequence}`)
  }
  await whileMining(chain, async () => {
    for (let round = 0; round <= Number(kills); round++) {
      await withTeardown(async (each) => {
        const program = await startProgram(each, path)
        const gateway = await connectGateway(each, program.url, { ledgerKey: program.publicKey })
        for (const { device } of points) {
          device.read({ export: 1000n + 250n * BigInt(device.sequence) })
          const unconfirmed = device.texts.slice(told.get(device.id) ?? 0)
          await gateway.send(device.certificateMessage(), ...unconfirmed.map((text) => device.message(text)))
        }
        const isLast = round === Number(kills)
        const places = new Map(points.map(({ device }) => [device.id as string, device.sequence]))
        const all = points.map(({ device }) =>
          gateway.receipt(({ point, sequence }) => point === device.id && sequence === places.get(device.id)),
        )
        await (isLast ? Promise.all(all) : pause(500 + ((round * 733) % 2500)))
        if (round % 3 === 1) await chain.anvil.rpc('anvil_reorg', 2, [])
        if (round % 5 === 2) await chain.anvil.rpc('anvil_dropAllTransactions')
        await program.kill('SIGKILL')
        for (const { point, sequence } of gateway.receipts) {
          if (sequence < (told.get(point) ?? 0))
            throw new Error(`${point}: a receipt for ${sequence} after a later one`)
          told.set(point, sequence)
        }
        for (const point of points) await check(point)
      })
    }
  })
  for (const { device, owner } of points) {
    const booked = await chain.balanceOf(owner)
    const rise = 250n * BigInt(device.sequence - 1)
    if (booked !== rise) throw new Error(`${device.id}: ${booked} booked, the register rose by ${rise}`)
  }
})
process.stdout.write(
  `a ledger on a chain killed ${kills} times: no receipt was contradicted, every register counted once\n`,
)
