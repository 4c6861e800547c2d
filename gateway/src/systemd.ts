import { execFile } from 'node:child_process'

/** Tells the service manager how the gateway is. Does nothing where none started it. */
export interface ServiceManager {
  ready(): void
  stopping(): void
  /** Ends the watchdog's messages. */
  close(): void
}

/** What the service manager said when it started this process (sd_notify(3), sd_watchdog_enabled(3)). */
export interface ServiceEnvironment {
  readonly NOTIFY_SOCKET?: string | undefined
  readonly WATCHDOG_USEC?: string | undefined
  readonly WATCHDOG_PID?: string | undefined
}

/** Sends one message, such as `READY=1`. */
export type Notify = (message: string) => void

// Node has no datagram sockets of the AF_UNIX family, so the message is sent by systemd's own tool. The unit needs
// NotifyAccess=all, as the tool is another process. A lost message is lost: the next one follows, or the watchdog acts.
const notifyByTool: Notify = (message) => {
  execFile('systemd-notify', [message], { timeout: 5_000 }, () => {})
}

/** `isAlive` says whether readings still come out; while it does not, the watchdog hears nothing, and restarts us. */
export function attachServiceManager(
  environment: ServiceEnvironment,
  isAlive: () => boolean,
  notify: Notify = notifyByTool,
): ServiceManager {
  if (environment.NOTIFY_SOCKET === undefined) return { ready: () => {}, stopping: () => {}, close: () => {} }
  const watchdogMs = Number(environment.WATCHDOG_USEC ?? 0) / 1000
  const isOurs = environment.WATCHDOG_PID === undefined || Number(environment.WATCHDOG_PID) === process.pid
  const timer =
    watchdogMs > 0 && isOurs
      ? setInterval(() => {
          if (isAlive()) notify('WATCHDOG=1')
        }, watchdogMs / 2)
      : undefined
  return {
    ready: () => notify('READY=1'),
    stopping: () => notify('STOPPING=1'),
    close: () => clearInterval(timer),
  }
}
