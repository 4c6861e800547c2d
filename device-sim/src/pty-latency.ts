import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openPty } from './pty.ts'
import { realTimers } from './timers.ts'

// Answers with what it is asked, at once.
const echo = 'open my $tty, "+<", shift or die; while (sysread $tty, my $bytes, 64) { syswrite $tty, $bytes }'
const probes = 12
// So long do the other processes sleep while an answer is on its way: they are slower to wake than after a short nap.
const napMs = 5
// A machine that is busy now may be quick later; a line must not run ahead of its time.
const mostMs = 1
const patienceMs = 1000

let measured: Promise<number> | undefined

/**
 * How long a request and an answer take through a pseudo-terminal, where wires would take no time: ms, both ways
 * together, the lower quartile. Measured once in a process. Unless it is taken off, a line of 115,200 baud is a tenth slower
 * than a real one.
 */
export function measurePtyLatency(): Promise<number> {
  measured ??= measure()
  return measured
}

async function measure(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'wattline-pty-'))
  let arrived: () => void = () => {}
  const pty = await openPty({ link: join(folder, 'tty'), onBytes: () => arrived(), onLost: () => {} })
  const client = spawn('perl', ['-e', echo, pty.device], { stdio: 'ignore' })
  try {
    const giveUpAt = realTimers.now() + patienceMs
    const times: number[] = []
    for (let probe = 0; probe < probes && realTimers.now() < giveUpAt; probe++) {
      await new Promise<void>((resolve) => realTimers.after(napMs, resolve))
      const sentAt = realTimers.now()
      const back = new Promise<void>((resolve) => {
        arrived = resolve
        realTimers.after(100, resolve) // the client may not be there yet
      })
      pty.write(Uint8Array.of(probe))
      await back
      times.push(realTimers.now() - sentAt)
    }
    return Math.min(mostMs, times.toSorted((a, b) => a - b)[Math.floor(times.length / 4)] ?? 0)
  } finally {
    client.kill()
    await pty.close()
    await rm(folder, { recursive: true, force: true })
  }
}
