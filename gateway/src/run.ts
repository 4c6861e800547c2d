import type { GatewayConfig } from './config.ts'
import { exitCodes, toExitCode } from './exit-codes.ts'
import { Gateway } from './gateway.ts'
import { errorFields, type Log, openLog } from './log.ts'
import type { Profiles } from './modbus/profiles.ts'
import { startSystemClock } from './system-clock.ts'
import { attachServiceManager } from './systemd.ts'

/** Whatever still hangs after this long is left behind: everything that counts is on the disk already. */
const stopWithinMs = 1_500

/** Runs a gateway until a signal or an error ends it; gives the exit code. */
export async function runGateway(config: GatewayConfig, profiles: Profiles): Promise<number> {
  const log = openLog(config.gateway.logLevel)
  const ending = Promise.withResolvers<number>()
  const onFatal = (error: unknown) => {
    log.error('gateway.failed', errorFields(error))
    ending.resolve(toExitCode(error))
  }
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.resolve(exitCodes.ok))
  const clock = startSystemClock()
  const gateway = new Gateway({ config, profiles, clock, log, onFatal })
  const manager = attachServiceManager(process.env, () => gateway.isAlive())
  await gateway.start()
  manager.ready()
  const code = await ending.promise
  log.info('gateway.stopping')
  manager.stopping()
  manager.close()
  clock.stop()
  leaveBehind(code, log)
  await gateway.stop()
  log.info('gateway.stopped')
  return code
}

function leaveBehind(code: number, log: Log): void {
  const timer = setTimeout(() => {
    log.warn('gateway.stop.late')
    process.exit(code)
  }, stopWithinMs)
  timer.unref()
}
