import { WattError } from '@wattline/protocol'

/** What the process ends with, after sysexits(3). */
export const exitCodes = {
  ok: 0,
  /** A scan that noticed something wrong. */
  findings: 1,
  /** The command line is wrong. */
  usage: 64,
  /** A port is taken, so that another program must go first. Or nobody is there or willing: no gateway, station, meter; a driver refused. */
  unavailable: 69,
  /** A bug. */
  software: 70,
  /** The disk or what is on it. */
  storage: 74,
  /** Another gateway runs with this data folder. */
  locked: 75,
  /** The configuration, a meter's profile, or a key. A person must act. */
  config: 78,
} as const

/** The exit code that an error ends the process with. */
export function toExitCode(error: unknown): number {
  if (!(error instanceof WattError)) return exitCodes.software
  if (error.code === 'storage/locked') return exitCodes.locked
  const [area] = error.code.split('/')
  if (['port', 'bus', 'reading', 'station', 'control', 'driver', 'place', 'session'].includes(area ?? ''))
    return exitCodes.unavailable
  if (error.code === 'message/invalid') return exitCodes.usage
  if (area === 'storage') return exitCodes.storage
  return area === 'config' || area === 'drivers' || area === 'profile' || area === 'key' || area === 'certificate'
    ? exitCodes.config
    : exitCodes.software
}
