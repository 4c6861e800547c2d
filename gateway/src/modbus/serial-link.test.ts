import { execFileSync, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WattError } from '@wattline/protocol'
import test from 'ava'
import { appears } from './bus-rig.ts'
import { serialConnector } from './serial-link.ts'

test('a terminal that hangs up while its last bytes are taken ends the link at once', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'wattline-link-'))
  const path = join(folder, 'tty')
  const socat = spawn('socat', ['-', `pty,raw,echo=0,link=${path}`], { stdio: ['pipe', 'ignore', 'inherit'] })
  t.teardown(async () => {
    socat.kill()
    await rm(folder, { recursive: true })
  })
  await appears(path)
  // Nothing else may run between the bytes and the hang-up: the next read finds 0 bytes, which is no error by itself.
  const hangUp = () => {
    const isGone = `grep -q '^State:.Z' /proc/${socat.pid}/status`
    execFileSync('sh', ['-c', `kill -9 ${socat.pid}; until ${isGone}; do :; done`])
  }
  const address = { path, baudRate: 9600, parity: 'none', stopBits: 1 } as const
  const ended = new Promise<WattError>((resolve, reject) => {
    const events = { bytes: hangUp, ended: resolve }
    serialConnector(address)(events, new AbortController().signal).then(() => socat.stdin.write('x'), reject)
  })
  t.is((await ended).code, 'bus/closed')
})
