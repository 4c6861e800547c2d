import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type PublicKey, parsePublicKey } from '@wattline/protocol'
import { tempDir } from './rig.ts'

// Runs the programs as a user does: as processes.

interface Teardown {
  teardown(fn: () => unknown): void
}

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const walletMain = fileURLToPath(new URL('../src/wallet-main.ts', import.meta.url))
const verifyMain = fileURLToPath(new URL('../src/verify-main.ts', import.meta.url))

/** A port that nobody listens on, below those that Linux gives to whoever connects: it stays free until it is used. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_768)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Writes a config of an embedded broker into a folder of its own. */
export function writeConfig(
  t: Teardown,
  {
    port,
    enrolment = 'open',
    more = '',
  }: { readonly port: number; readonly enrolment?: string; readonly more?: string },
): { readonly path: string; readonly folder: string } {
  const folder = tempDir(t)
  const path = join(folder, 'ledger.yaml')
  writeFileSync(
    path,
    `version: 1\nledger: { dataDir: ./data, enrolment: ${enrolment} }\nmqtt: { embedded: { host: 127.0.0.1, port: ${port} } }\n${more}`,
  )
  return { path, folder }
}

export interface Running {
  readonly url: string
  readonly publicKey: PublicKey
  /** Sends a signal and gives the exit code, or null where the signal itself ended it. */
  kill(signal: NodeJS.Signals): Promise<number | null>
}

/** Starts `wattline-ledger` and waits until it says that it has. */
export function startProgram(t: Teardown, config: string): Promise<Running> {
  const child = spawn(process.execPath, [main, '--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  return new Promise((resolve, reject) => {
    void ended.then((code) => reject(new Error(`the program ended with ${code}`)))
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { event, mqtt, publicKey } = JSON.parse(line) as { event: string; mqtt: string; publicKey: string }
      if (event !== 'ledger.started') return
      resolve({
        url: mqtt,
        publicKey: parsePublicKey(publicKey),
        kill: (signal) => {
          child.kill(signal)
          return ended
        },
      })
    })
  })
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `wattline-ledger` with arguments to its end. */
export function runCommand(args: readonly string[]): Promise<Finished> {
  return run([main, ...args])
}

/** Runs `wattline-verify` with arguments to its end. */
export function runVerify(args: readonly string[]): Promise<Finished> {
  return run([verifyMain, ...args])
}

/** Runs `wattline-wallet` with arguments to its end. */
export function runWallet(args: readonly string[]): Promise<Finished> {
  return run([walletMain, ...args])
}

function run(args: readonly string[]): Promise<Finished> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += String(chunk)
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += String(chunk)
  })
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })))
}
