import { formatPublicKey, WattError } from '@wattline/protocol'
import { listPoints, type Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { exchangeKey, finishRotation } from './identity/rotation.ts'
import { openSession } from './session.ts'
import { startSystemClock } from './system-clock.ts'

/** Gives a metering point another key. The gateway must not be running. */
export function rotateKey(config: GatewayConfig, output: Output, meter: string): void {
  const [chosen] = listPoints(config, meter)
  if (chosen === undefined) throw new WattError('config/invalid', `no meter '${meter}'`)
  const { dataDir } = config.gateway
  const clock = startSystemClock()
  try {
    const session = openSession(dataDir, clock, () => {})
    try {
      const { store, epochs } = session
      finishRotation(chosen, dataDir, store)
      const rotated = exchangeKey(chosen, dataDir, { store, issuedAt: clock.now(), nextEpoch: (at) => epochs.next(at) })
      finishRotation(chosen, dataDir, store)
      output.write(`${chosen.meterId} ${formatPublicKey(rotated.key)}\n`)
    } finally {
      session.close()
    }
  } finally {
    clock.stop()
  }
}
