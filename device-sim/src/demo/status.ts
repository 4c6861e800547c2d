import * as v from 'valibot'

const wh = v.pipe(v.string(), v.regex(/^-?\d+$/))

const pointSchema = v.object({
  id: v.string(),
  role: v.string(),
  profile: v.string(),
  state: v.nullish(v.string()),
  registers: v.object({ importWh: v.optional(wh), exportWh: v.optional(wh) }),
  lastSigned: v.nullish(v.object({ epoch: v.number(), sequence: v.number(), takenAt: v.number() })),
  waiting: v.number(),
  receipt: v.nullish(v.object({ epoch: v.number(), sequence: v.number(), mintedWh: wh, burnedWh: wh })),
  publicKeySpki: v.string(),
})

const sessionSchema = v.object({
  station: v.string(),
  connector: v.number(),
  begunAt: v.number(),
  endedAt: v.optional(v.number()),
  wh,
  completeness: v.string(),
})

const statusSchema = v.object({ points: v.array(pointSchema), sessions: v.optional(v.array(sessionSchema), []) })

/** What a gateway says of its metering points right now. */
export type GatewayStatus = v.InferOutput<typeof statusSchema>
export type PointStatus = GatewayStatus['points'][number]
export type SessionStatus = GatewayStatus['sessions'][number]

/** Asks a gateway; undefined while it does not answer. */
export async function fetchStatus(webUrl: string): Promise<GatewayStatus | undefined> {
  try {
    const response = await fetch(`${webUrl}/status`, { signal: AbortSignal.timeout(2000) })
    return v.parse(statusSchema, await response.json())
  } catch (error) {
    if (error instanceof v.ValiError) throw error
    return undefined // it is starting, or gone: the caller tries again
  }
}
