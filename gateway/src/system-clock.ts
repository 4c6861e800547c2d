import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { type Clock, type ClockStatus, makeTimestamp } from '@wattline/protocol'

/** Asks once whether the system's clock is synchronised. Never rejects. */
export type SynchronisationProbe = () => Promise<boolean>

const refreshMs = 60_000
const answerWithinMs = 5_000
/** systemd-timesyncd leaves this after its first success. */
const timesyncMark = '/run/systemd/timesync/synchronized'

/**
 * `timedatectl` hands on the kernel's STA_UNSYNC flag (adjtimex(2)), which every time daemon maintains, and which
 * comes back when a daemon has lost its sources for long. Where it cannot be asked, as in a container,
 * timesyncd's mark is all there is.
 */
export const askKernel: SynchronisationProbe = () =>
  new Promise((resolve) => {
    const args = ['show', '--property=NTPSynchronized', '--value']
    execFile('timedatectl', args, { timeout: answerWithinMs }, (error, stdout) => {
      resolve(error === null ? stdout.trim() === 'yes' : existsSync(timesyncMark))
    })
  })

/** The wall clock, and what is known of its state. */
export interface SystemClock extends Clock {
  stop(): void
}

/** Starts with `U` and asks at once, then every minute; whoever wants the time never waits for the answer. */
export function startSystemClock(probe: SynchronisationProbe = askKernel): SystemClock {
  let status: ClockStatus = 'U'
  const refresh = () => {
    probe().then(
      (synchronised) => {
        status = synchronised ? 'S' : 'U'
      },
      () => {
        status = 'U' // a probe that fails knows nothing
      },
    )
  }
  refresh()
  const timer = setInterval(refresh, refreshMs)
  timer.unref()
  return {
    now: () => makeTimestamp(Date.now()),
    status: () => status,
    stop: () => clearInterval(timer),
  }
}
