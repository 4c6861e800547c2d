import type { Registers, SignedRecord, Signer } from '@wattline/protocol'
import fc from 'fast-check'
import { signerOf } from '../../protocol/test/arbitraries.ts'
import { encodeSettle, type Settlement, toDeviceAddress } from '../src/evm/settlement.ts'
import type { Chain } from './chain.ts'
import { genesisMs, type Reading, signReadings } from './chain-records.ts'
import { hex } from './contracts.ts'

/** What a relayer does, or what is done to it. */
type Step =
  /** Sends records in one transaction: any, again, in any order, some of them changed on the way. */
  | { readonly do: 'settle'; readonly picks: readonly (readonly [number, number])[]; readonly tamper?: Tamper }
  /** The same with too little gas. */
  | { readonly do: 'starve'; readonly picks: readonly (readonly [number, number])[]; readonly gas: number }
  | { readonly do: 'mine' }
  /** The chain forgets its last blocks. */
  | { readonly do: 'reorg'; readonly depth: number }

interface Tamper {
  readonly field: keyof Settlement
  readonly bit: number
}

const pointCount = 6
const recordCount = 20

const picks = fc.array(fc.tuple(fc.nat(pointCount - 1), fc.nat(recordCount - 1)), { minLength: 1, maxLength: 8 })
const tamper = fc.record({
  field: fc.constantFrom<keyof Settlement>('numbers', 'previousHash', 'registers', 'r', 'vs'),
  bit: fc.nat(255),
})

/** What may happen between records and chain. */
export const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant('settle' as const), picks }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('settle' as const), picks, tamper }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('starve' as const),
        picks,
        gas: fc.integer({ min: 60_000, max: 250_000 }),
      }),
    },
    { weight: 4, arbitrary: fc.constant({ do: 'mine' as const }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('reorg' as const), depth: fc.integer({ min: 1, max: 3 }) }) },
  ),
  { minLength: 30, maxLength: 30 },
)

/** How far each register rises from reading to reading, in Wh, and whether anything counts. */
export const rises = fc.array(
  fc.array(fc.record({ wh: fc.integer({ min: 0, max: 700 }), sound: fc.boolean() }), {
    minLength: recordCount,
    maxLength: recordCount,
  }),
  { minLength: pointCount, maxLength: pointCount },
)

interface ChaosPoint {
  readonly device: string
  readonly signer: Signer
  readonly records: readonly SignedRecord[]
  readonly settlements: readonly (Settlement | undefined)[]
  /** What the registers rose by in all: the energy that has to be booked, no more and no less. */
  readonly importWh: bigint
  readonly exportWh: bigint
}

const widthWh = 1_000_000n
let serial = 0

/** Runs one plan on a chain, then sends everything once more in order, and tells what was booked and what should be. */
export async function runChaos(chain: Chain, plan: readonly Step[], rise: Rises) {
  const points: ChaosPoint[] = []
  for (const [i, each] of rise.entries()) points.push(await makePoint(chain, i, each))
  const enrolledAt = await chain.anvil.rpc<string>('eth_blockNumber')
  for (const step of plan) await perform(chain, points, step, Number(enrolledAt))
  await chain.anvil.mine()
  for (const { settlements } of points) await chain.settle(settlements.filter((each) => each !== undefined))
  const settled = await chain.settled()
  return points.map(({ device, importWh, exportWh }) => {
    const own = settled.filter((event) => event.device === device)
    const sum = (field: 'mintWh' | 'burnWh') => own.reduce((total, event) => total + event[field], 0n)
    return {
      device,
      expected: { mintWh: exportWh, burnWh: importWh },
      booked: { mintWh: sum('mintWh'), burnWh: sum('burnWh') },
    }
  })
}

type Rises = readonly (readonly { readonly wh: number; readonly sound: boolean }[])[]

async function makePoint(chain: Chain, index: number, rise: Rises[number]): Promise<ChaosPoint> {
  const signer = signerOf(50_000 + serial++)
  const books = 1 + (index % 3)
  // Every fourth point's register passes its width on the way.
  const rollsOver = index % 4 === 3
  const start = rollsOver ? widthWh - 3000n : 5_000n
  const { readings, lastWh } = toReadings({ rise, books, start, rollsOver })
  const first = { at: genesisMs, registers: toRegisters(books, start) }
  const owner = 60_000 + (index % 2)
  const device = await chain.enrol(signer, { owner, books, first, ...(rollsOver ? { rolloverWh: widthWh } : {}) })
  const records = signReadings(readings, signer)
  const settlements: (Settlement | undefined)[] = []
  for (const [i, record] of records.entries()) {
    const counts = readings[i]?.state !== 'no-answer'
    settlements.push(counts ? await chain.toSettlement(record, signer) : undefined)
  }
  const energy = lastWh - start
  return {
    device: toDeviceAddress(signer.publicKey) === device ? device : '',
    signer,
    records,
    settlements,
    importWh: books & 1 ? energy : 0n,
    exportWh: books & 2 ? energy : 0n,
  }
}

function toRegisters(books: number, wh: bigint): Registers {
  return { ...(books & 1 ? { import: wh } : {}), ...(books & 2 ? { export: wh } : {}) }
}

function toReadings(options: { rise: Rises[number]; books: number; start: bigint; rollsOver: boolean }) {
  const { rise, books, start, rollsOver } = options
  const readings: Reading[] = []
  let [total, lastWh, wraps] = [start, start, 0n]
  for (const [i, { wh, sound }] of rise.entries()) {
    total += BigInt(wh)
    // The reading that finds the register wrapped cannot be one that failed: that one would tell it only later.
    const wrapped = rollsOver && total / widthWh > wraps
    const isLast = i === rise.length - 1
    if (!sound && !wrapped && !isLast) readings.push({ state: 'no-answer', registers: {} })
    else {
      if (wrapped) wraps = total / widthWh
      const registers = toRegisters(books, rollsOver ? total % widthWh : total)
      readings.push({ state: wrapped ? 'roll-over' : 'ok', registers })
      lastWh = total
    }
  }
  return { readings, lastWh }
}

async function perform(chain: Chain, points: readonly ChaosPoint[], step: Step, floor: number): Promise<unknown> {
  if (step.do === 'mine') return chain.anvil.mine()
  if (step.do === 'reorg') {
    const height = Number(await chain.anvil.rpc<string>('eth_blockNumber'))
    // What was before the points were enrolled is settled ground.
    const depth = Math.min(step.depth, height - floor)
    if (depth > 0) await chain.anvil.rpc('anvil_reorg', depth, [])
    // What still waits has nonces that the shorter chain does not come to: it is lost as well.
    return chain.anvil.rpc('anvil_dropAllTransactions')
  }
  const chosen = step.picks.flatMap(([point, record]) => points[point]?.settlements[record] ?? [])
  const changed = step.do === 'settle' && step.tamper !== undefined ? chosen.map(flip(step.tamper)) : chosen
  const gas = step.do === 'starve' ? { gas: BigInt(step.gas) } : {}
  return chain.anvil.send({ from: chain.relayer, to: chain.attestation, data: hex(encodeSettle(changed)), ...gas })
}

// One bit of every second record.
function flip({ field, bit }: Tamper) {
  return (settlement: Settlement, i: number): Settlement =>
    i % 2 === 0 ? { ...settlement, [field]: settlement[field] ^ (1n << BigInt(bit)) } : settlement
}
