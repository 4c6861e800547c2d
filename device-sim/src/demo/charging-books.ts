import * as v from 'valibot'
import { runJson } from './programs.ts'

const wh = v.pipe(
  v.string(),
  v.regex(/^\d+$/),
  v.transform((text) => Number(text)),
)
const moment = { registerWh: v.optional(wh), record: v.optional(v.string()) }

const sessionsSchema = v.array(
  v.object({
    id: v.number(),
    station: v.string(),
    connector: v.number(),
    version: v.string(),
    driver: v.optional(v.string()),
    begin: v.object(moment),
    end: v.optional(v.object({ ...moment, how: v.string() })),
    lastRegisterWh: v.optional(wh),
    wh,
    countedWh: wh,
    completeness: v.string(),
    isSettled: v.boolean(),
  }),
)
/** A session as `ocpp sessions` tells it. */
export type GatewaySession = v.InferOutput<typeof sessionsSchema>[number]

const recordSchema = v.object({
  point: v.string(),
  place: v.string(),
  entry: v.nullable(v.number()),
  kind: v.nullable(v.string()),
  postings: v.array(v.object({ account: v.string(), amount: v.number() })),
})
/** A record as the ledger's `records` tells it. */
export type LedgerRecord = v.InferOutput<typeof recordSchema>

/** What the gateway says of its sessions, and the ledger of all records. */
export interface ChargingBooks {
  readonly sessions: readonly GatewaySession[]
  readonly records: readonly LedgerRecord[]
}

/** More than any run here has. */
const most = 100_000

/** Of a gateway and a ledger that run or do not. */
export async function readCharging(gatewayConfig: string, ledgerConfig: string): Promise<ChargingBooks> {
  const [sessions, { records }] = await Promise.all([
    readSessions(gatewayConfig),
    runJson('ledger', ['records', '--config', ledgerConfig, '--json']).then((json) =>
      v.parse(v.object({ records: v.array(recordSchema) }), json),
    ),
  ])
  return { sessions, records }
}

async function readSessions(gatewayConfig: string): Promise<readonly GatewaySession[]> {
  const args = ['ocpp', 'sessions', '--config', gatewayConfig, '--most', `${most}`, '--json']
  return v.parse(sessionsSchema, await runJson('gateway', args))
}
