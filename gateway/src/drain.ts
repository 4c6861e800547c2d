import { makeGatewayId, makeMeterId, makePointId, WattError } from '@wattline/protocol'
import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { exitCodes, toExitCode } from './exit-codes.ts'
import { Health } from './health.ts'
import { openLog } from './log.ts'
import { makeMetrics } from './metrics.ts'
import { Uplink } from './mqtt/uplink.ts'
import { openSession } from './session.ts'
import { listChargingPoints } from './sessions/charging-points.ts'
import { Outbox } from './store/outbox.ts'
import { findPoint } from './store/points.ts'
import { startSystemClock } from './system-clock.ts'
import { watchUplink } from './watch.ts'

const lookEveryMs = 100

/**
 * Sends what still waits and takes the receipts, without reading a meter: before a box is taken away, for instance.
 * Gives the exit code: `ok` where nothing waits any more, `unavailable` where time ran out.
 */
export async function drainOutbox(config: GatewayConfig, output: Output, timeoutSeconds: number): Promise<number> {
  if (config.mqtt === undefined) throw new WattError('config/invalid', 'mqtt: needed to send what waits')
  const clock = startSystemClock()
  const session = openSession(config.gateway.dataDir, clock, () => {})
  const { store, epochs } = session
  const gatewayId = makeGatewayId(config.gateway.id)
  const meters = config.meters.map(({ id }) => makePointId(gatewayId, makeMeterId(id)))
  const chargers = listChargingPoints(config).map(({ point }) => point)
  const points = [...meters, ...chargers].filter((point) => findPoint(store, point) !== undefined)
  const outbox = new Outbox(store)
  const ending = Promise.withResolvers<number>()
  const log = openLog('warn')
  const onFatal = (error: unknown) => {
    log.error('gateway.drain.failed', { message: String(error) })
    ending.resolve(toExitCode(error))
  }
  const events = watchUplink({ log, health: new Health(), metrics: makeMetrics(), onFatal })
  const uplink = new Uplink({ config: config.mqtt, gatewayId, points, store, outbox, epochs, events })
  const waiting = () => points.reduce((sum, point) => sum + outbox.waiting(point), 0)
  const untilMs = performance.now() + timeoutSeconds * 1000
  const look = () => {
    if (waiting() === 0) ending.resolve(exitCodes.ok)
    else if (performance.now() > untilMs) ending.resolve(exitCodes.unavailable)
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.resolve(exitCodes.unavailable))
  const timer = setInterval(look, lookEveryMs)
  try {
    uplink.start()
    const code = await ending.promise
    output.write(`${waiting()} records wait for a receipt\n`)
    return code
  } finally {
    clearInterval(timer)
    await uplink.stop()
    session.close()
    clock.stop()
  }
}
