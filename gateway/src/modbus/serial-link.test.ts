import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { eventually } from './bus-rig.ts'
import { serialConnector } from './serial-link.ts'

const script = fileURLToPath(new URL('hang-up.py', import.meta.url))

async function startTerminal(t: ExecutionContext) {
  const command = process.getuid?.() === 0 ? ['python3', script] : ['sudo', '-n', 'python3', script]
  const child = spawn(command[0]!, command.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill())
  const [path] = await once(createInterface({ input: child.stdout }), 'line')
  return { path: String(path), hangUp: () => void child.stdin.write('now\n'), end: () => void child.stdin.end() }
}

test.serial('a terminal that hangs up while bytes arrive ends the link, every time', async (t) => {
  for (let round = 0; round < 12; round++) {
    const terminal = await startTerminal(t)
    const seen = { bytes: 0, ends: [] as string[] }
    const address = { path: terminal.path, baudRate: 9600, parity: 'none', stopBits: 1 } as const
    const events = {
      bytes: (bytes: Buffer) => {
        seen.bytes += bytes.length
      },
      ended: ({ code }: { code: string }) => void seen.ends.push(code),
    }
    const link = await serialConnector(address)(events, new AbortController().signal)
    t.teardown(() => link.close())
    await eventually(() => seen.bytes > 20)
    terminal.hangUp()
    await eventually(() => seen.ends.length > 0)
    t.deepEqual(seen.ends, ['bus/closed'])
    terminal.end()
  }
})

test('a port that another program has open is refused', async (t) => {
  const terminal = await startTerminal(t)
  const address = { path: terminal.path, baudRate: 9600, parity: 'none', stopBits: 1 } as const
  const events = { bytes: () => {}, ended: () => {} }
  const link = await serialConnector(address)(events, new AbortController().signal)
  t.teardown(() => link.close())
  await t.throwsAsync(serialConnector(address)(events, new AbortController().signal), {
    code: 'port/occupied',
    message: /in use by another program, such as a running gateway/,
  })
})
