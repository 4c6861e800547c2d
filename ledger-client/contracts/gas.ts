// `npm run gas`: what things cost on a chain, measured and written to GAS.md. `--check` measures and fails on
// difference.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Registers, SignedRecord, Signer } from '@wattline/protocol'
import { roof, signerOf } from '../../protocol/test/arbitraries.ts'
import type { Settlement } from '../src/evm/settlement.ts'
import { toContractTemplate } from '../src/evm/settlement.ts'
import { genesisSeconds } from '../test/anvil.ts'
import { Chain, signedPair } from '../test/chain.ts'
import { genesisMs, signReadings } from '../test/chain-records.ts'

/** One line of the table. */
export interface GasRow {
  readonly what: string
  readonly gas: number
  readonly limit?: number
}

export const gasPath = fileURLToPath(new URL('./GAS.md', import.meta.url))

/** The limits that were asked for: one settlement alone, and each of a hundred in one transaction. */
export const limits = { single: 75_000, inBatch: 45_000 } as const

const books = { consumer: 1, producer: 2, bidirectional: 3 } as const

/** Measures everything on a chain of its own. */
export async function measureGas(): Promise<readonly GasRow[]> {
  const chain = await Chain.start()
  try {
    await chain.anvil.mine(genesisSeconds + 86_400)
    return [...(await measureSetUp(chain)), ...(await measureSingles(chain)), ...(await measureBatch(chain))]
  } finally {
    await chain.stop()
  }
}

const used = ({ gasUsed }: { gasUsed: string }) => Number(gasUsed)

async function measureSetUp(chain: Chain): Promise<GasRow[]> {
  const template = toContractTemplate(roof)
  const registration = await chain.send('Attestation', 'registerTemplate', template)
  const again = await chain.send('Attestation', 'registerTemplate', template)
  const first = { at: genesisMs, registers: { export: 0n } }
  const enrolment = chain.enrolment(signerOf(1000), { owner: 1000, books: books.producer, first })
  const enrolled = await chain.act('Attestation', 'enrol', enrolment)
  return [
    { what: 'template registration, once for each change of texts', gas: used(registration) },
    { what: 'template registration again: stores nothing', gas: used(again) },
    { what: 'enrolment, signed by two of three, the owner and the key', gas: used(enrolled) },
  ]
}

async function pointOf(chain: Chain, number: number, kind: keyof typeof books, readings: readonly Registers[]) {
  const signer = signerOf(number)
  await chain.enrol(signer, {
    owner: number,
    books: books[kind],
    first: { at: genesisMs, registers: readings[0] ?? {} },
  })
  const records = signReadings(
    readings.slice(1).map((registers) => ({ registers })),
    signer,
  )
  return { signer, records, settlements: await pack(chain, records, signer) }
}

async function pack(chain: Chain, records: readonly SignedRecord[], signer: Signer): Promise<Settlement[]> {
  const settlements: Settlement[] = []
  for (const record of records) settlements.push(await chain.toSettlement(record, signer))
  return settlements
}

async function measureSingles(chain: Chain): Promise<GasRow[]> {
  const cost = async (settlement: Settlement | undefined) => (await chain.settle(settlement ? [settlement] : [])).gas
  const registers = [12_345_000n, 12_345_500n, 12_346_000n].map((wh) => ({ export: wh }))
  const producer = (await pointOf(chain, 1001, 'producer', registers)).settlements
  const [opening, steady] = [await cost(producer[0]), await cost(producer[1])]
  const replay = await cost(producer[1])
  const consumer = await pointOf(
    chain,
    1001_1,
    'consumer',
    [1n, 2n, 3n].map((kwh) => ({ import: kwh * 100n })),
  )
  await cost(consumer.settlements[0])
  const shortfall = await cost(consumer.settlements[1])
  const bidirectional = await pointOf(
    chain,
    1002,
    'bidirectional',
    [1n, 2n, 3n].map((n) => ({ import: 5_000_000n + n * 100n, export: 7_000_000n + n * 300n })),
  )
  await cost(bidirectional.settlements[0])
  const both = await cost(bidirectional.settlements[1])
  const equivocation = await chain.send('Attestation', 'proveEquivocation', equivocationBy(signerOf(1001)))
  return [
    { what: "one record, the point's and its owner's first", gas: opening, limit: undefined },
    { what: 'one record of a producer', gas: steady, limit: limits.single },
    { what: 'one record of a consumer without WATT: a shortfall', gas: shortfall, limit: limits.single },
    { what: 'one record with two registers, minting and burning', gas: both, limit: limits.single },
    { what: 'one record again: mints 0', gas: replay },
    { what: 'proof of equivocation: freezes the point', gas: used(equivocation) },
  ].map(({ limit, ...row }) => (limit === undefined ? row : { ...row, limit }))
}

function equivocationBy(signer: Signer) {
  const [one, other] = [1n, 2n].map((wh) => signReadings([{ registers: { export: wh } }], signer)[0])
  return signedPair(one, other, signer)
}

async function measureBatch(chain: Chain): Promise<GasRow[]> {
  const points: Awaited<ReturnType<typeof pointOf>>[] = []
  for (let i = 0; i < 100; i++) {
    const registers = [12_345_000n, 12_345_500n, 12_346_000n].map((wh) => ({ export: wh + BigInt(i) }))
    points.push(await pointOf(chain, 2000 + i, 'producer', registers))
  }
  const round = (n: number) => points.flatMap(({ settlements }) => settlements[n] ?? [])
  await chain.settle(round(0))
  const { gas, settled } = await chain.settle(round(1))
  if (settled.length !== 100) throw new Error(`${settled.length} of 100 counted`)
  const replay = await chain.settle(round(1))
  return [
    { what: 'each of 100 points with 100 owners in one transaction', gas: Math.ceil(gas / 100), limit: limits.inBatch },
    { what: 'each of the same 100 again: mints 0', gas: Math.ceil(replay.gas / 100) },
  ]
}

/** The table as it stands in the repository. */
export function formatGas(rows: readonly GasRow[]): string {
  const lines = rows.map(
    ({ what, gas, limit }) => `| ${what} | ${group(gas)} | ${limit === undefined ? '' : group(limit)} |`,
  )
  return [
    '# What it costs on a chain',
    '',
    'Gas of whole transactions, the 21,000 for the transaction itself included. Made by `npm run gas`; `make test`',
    'measures again and fails on any difference, and where a limit is passed.',
    '',
    '| what | gas | limit |',
    '|---|--:|--:|',
    ...lines,
    '',
  ].join('\n')
}

const group = (gas: number) => gas.toString().replace(/\B(?=(\d{3})+$)/g, ',')

if (import.meta.main) {
  const text = formatGas(await measureGas())
  if (!process.argv.includes('--check')) writeFileSync(gasPath, text)
  else if (readFileSync(gasPath, 'utf8') !== text) {
    process.stderr.write(`contracts/GAS.md is not what was measured: npm run gas\n${text}`)
    process.exitCode = 1
  }
}
