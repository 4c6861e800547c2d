import * as v from 'valibot'
import { runJson } from './programs.ts'

const wh = v.pipe(
  v.union([v.string(), v.number()]),
  v.transform((value) => BigInt(value)),
)

const balancesSchema = v.object({
  owners: v.array(v.object({ owner: v.string(), wattWh: wh, gridWh: wh })),
  points: v.array(
    v.object({
      point: v.string(),
      sequence: v.number(),
      records: v.number(),
      mintedWh: wh,
      burnedWh: wh,
      carriedWh: wh,
      openWh: wh,
      unsettled: v.number(),
    }),
  ),
  storages: v.array(v.object({ point: v.string(), chargedWh: wh, dischargedWh: wh, storedWh: wh })),
  mintedWh: wh,
  burnedWh: wh,
  supplyWh: wh,
  balanced: v.boolean(),
})
const quarantineSchema = v.object({
  total: v.number(),
  messages: v.array(v.object({ code: v.string(), reason: v.string() })),
})
const verifySchema = v.object({
  ok: v.boolean(),
  faults: v.array(v.object({ place: v.string(), code: v.string(), message: v.string() })),
})

/** What the ledger says of itself, by its own commands. */
export interface LedgerBooks {
  readonly balances: v.InferOutput<typeof balancesSchema>
  readonly quarantine: v.InferOutput<typeof quarantineSchema>
  readonly audit: v.InferOutput<typeof verifySchema>
}
export type LedgerPoint = LedgerBooks['balances']['points'][number]
export type LedgerStorage = LedgerBooks['balances']['storages'][number]

/** Asks the ledger for its books; it may be running or not. */
export async function readLedger(ledgerConfig: string): Promise<LedgerBooks> {
  const ask = (command: string) => runJson('ledger', [command, '--config', ledgerConfig, '--json'])
  const [balances, quarantine, audit] = await Promise.all(['balances', 'quarantine', 'verify'].map(ask))
  return {
    balances: v.parse(balancesSchema, balances),
    quarantine: v.parse(quarantineSchema, quarantine),
    audit: v.parse(verifySchema, audit),
  }
}
