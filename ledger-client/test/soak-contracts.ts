// `make soak`: hostile histories of a chain, each of which has to book what the registers rose by; a relayer
// killed again and again; and the compiler once more, byte by byte.
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { artifactsPath, compileContracts, formatArtifacts } from '../contracts/compile.ts'
import { genesisSeconds } from './anvil.ts'
import { Chain } from './chain.ts'
import { rises, runChaos, steps } from './chain-chaos.ts'
import { findDifference, histories as governance } from './chain-governance.ts'
import { openRelayRig, relayAndKill, relayOnce, whileMining } from './relay-rig.ts'

const [, , runs = '200', seed = '1'] = process.argv
const perChain = 25

if (readFileSync(artifactsPath, 'utf8') !== formatArtifacts(compileContracts())) {
  throw new Error('contracts/artifacts.json is not what the sources compile to: npm run contracts')
}
const histories = fc.sample(fc.tuple(steps, rises), { numRuns: Number(runs), seed: Number(seed) })
for (let from = 0; from < histories.length; from += perChain) {
  const chain = await Chain.start()
  try {
    await chain.anvil.mine(genesisSeconds + 86_400)
    for (const [i, [plan, rise]] of histories.slice(from, from + perChain).entries()) {
      const wrong = (await runChaos(chain, plan, rise)).filter(({ expected, booked }) => {
        return expected.mintWh !== booked.mintWh || expected.burnWh !== booked.burnWh
      })
      if (wrong.length > 0) throw new Error(`history ${from + i} of seed ${seed}: ${wrong.map(({ device }) => device)}`)
    }
  } finally {
    await chain.stop()
  }
}
process.stdout.write(`${runs} histories of a chain: every register counted once\n`)

const acts = Math.ceil(Number(runs) / 4)
for (let from = 0; from < acts; from += perChain) {
  const chain = await Chain.start()
  try {
    await chain.anvil.mine(genesisSeconds + 86_400)
    const some = fc.sample(governance, {
      numRuns: Math.min(perChain, acts - from),
      seed: 1000 * Number(seed) + from,
    })
    for (const [i, history] of some.entries()) {
      const wrong = await findDifference(chain, history)
      if (wrong !== undefined) throw new Error(`history ${i} of seed ${1000 * Number(seed) + from}: ${wrong}`)
    }
  } finally {
    await chain.stop()
  }
}
process.stdout.write(`${acts} histories of councils, owners and strangers: the contracts stand as they should\n`)

const teardowns: (() => void)[] = []
const { chain, engine, path, points } = await openRelayRig({ teardown: (fn) => teardowns.push(fn) }, 3)
const [delays = []] = fc.sample(fc.array(fc.integer({ min: 300, max: 2500 }), { minLength: 30, maxLength: 30 }), {
  numRuns: 1,
  seed: Number(seed),
})
let wh = 1000n
await whileMining(chain, async () => {
  for (const [i, afterMs] of delays.entries()) {
    wh += 250n
    for (const { device } of points) engine.ingest([device.read({ export: wh })])
    await relayAndKill(path, afterMs)
    if (i % 7 === 6) await chain.anvil.rpc('anvil_dropAllTransactions')
  }
})
await relayOnce(chain, path)
for (const { owner } of points) {
  const booked = await chain.balanceOf(owner)
  if (booked !== wh - 1000n) throw new Error(`owner ${owner}: ${booked} booked, the register rose by ${wh - 1000n}`)
}
for (const each of teardowns.toReversed()) each()
process.stdout.write(`a relayer killed ${delays.length} times: every register counted once\n`)
