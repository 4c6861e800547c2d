import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Resident memory of a process in megabytes: now, and the most there ever was. */
export interface ProcessMemory {
  readonly residentMb: number
  readonly peakMb: number
}

/** Asks the kernel; undefined where the process is gone. */
export function readMemory(pid: number): ProcessMemory | undefined {
  let status: string
  try {
    status = readFileSync(`/proc/${pid}/status`, 'latin1')
  } catch {
    return undefined // it has ended
  }
  const megabytesOf = (field: string) => {
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]
    return kilobytes === undefined ? undefined : (Number(kilobytes) * 1024) / 1e6
  }
  const [residentMb, peakMb] = [megabytesOf('VmRSS'), megabytesOf('VmHWM')]
  return residentMb === undefined || peakMb === undefined ? undefined : { residentMb, peakMb }
}

/** Resident megabytes of a Node that does nothing: what there is to compare with. */
export async function measureIdleNode(): Promise<number> {
  const idle = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e3)'], { stdio: 'ignore' })
  try {
    await sleep(1000)
    return readMemory(idle.pid ?? -1)?.residentMb ?? Number.NaN
  } finally {
    idle.kill()
  }
}

/** Follows the peak of a process until it ends. */
export class MemoryWatch {
  readonly #timer: NodeJS.Timeout
  #peakMb = 0

  constructor(pid: number) {
    const look = () => {
      this.#peakMb = Math.max(this.#peakMb, readMemory(pid)?.peakMb ?? 0)
    }
    look()
    this.#timer = setInterval(look, 100)
  }

  /** Ends the watch and gives the peak in megabytes. */
  stop(): number {
    clearInterval(this.#timer)
    return this.#peakMb
  }
}
