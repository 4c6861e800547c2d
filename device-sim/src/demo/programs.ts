import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The programs of the line, as they ship. They meet only on the wire, so they are started, never imported. */
const launchers = {
  gateway: 'gateway/bin/wattline-gateway',
  ledger: 'ledger-client/bin/wattline-ledger',
  verify: 'ledger-client/bin/wattline-verify',
  sim: 'device-sim/bin/wattline-sim',
} as const
export type ProgramName = keyof typeof launchers

/** From the sources as they are, or as `make build` has bundled them for the board. */
export type ProgramForm = 'source' | 'built'

function pathOf(name: ProgramName, form: ProgramForm = 'source'): string {
  const root = form === 'built' ? '../../../dist' : '../../..'
  return fileURLToPath(new URL(`${root}/${launchers[name]}`, import.meta.url))
}

/** One line of a program's log. */
export interface LogLine {
  readonly event?: string
  readonly [field: string]: unknown
}

/** A program that runs as a child process. */
export class Program {
  readonly name: ProgramName
  readonly #child: ChildProcess
  readonly #exited: Promise<number | null>
  readonly #log: LogLine[] = []
  readonly #waiting = new Set<() => void>()
  #stderr = ''

  constructor(name: ProgramName, args: readonly string[], form?: ProgramForm) {
    this.name = name
    // Detached: Ctrl-C on the terminal must reach the demo alone, which stops the others in their order.
    this.#child = spawn(pathOf(name, form), args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    this.#exited = once(this.#child, 'exit').then(([code]) => {
      this.#wake()
      return code as number | null
    })
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(line))
    }
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-20_000)
    })
  }

  #take(line: string): void {
    let parsed: unknown
    try {
      parsed = JSON.parse(line)
    } catch {
      parsed = { text: line }
    }
    if (typeof parsed !== 'object' || parsed === null) return
    this.#log.push(parsed as LogLine)
    if (this.#log.length > 5000) this.#log.splice(0, 1000)
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** What the program wrote to stderr, its last 20,000 characters. */
  get stderr(): string {
    return this.#stderr
  }

  /** The log lines that are still remembered. */
  get log(): readonly LogLine[] {
    return this.#log
  }

  /** Waits for a line in the log. Rejects when the program ends before. */
  async event(wanted: string | ((line: LogLine) => boolean), after = 0): Promise<LogLine> {
    const matches = typeof wanted === 'string' ? (line: LogLine) => line.event === wanted : wanted
    for (;;) {
      const found = this.#log.slice(after).find(matches)
      if (found !== undefined) return found
      if (!this.running) throw new Error(`${this.name} ended before it logged '${String(wanted)}': ${this.#stderr}`)
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
      })
    }
  }

  /** Sends a signal and waits for the end. Resolves with the exit code, or null where the signal ended it. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.running) this.#child.kill(signal)
    return this.#exited
  }

  /** Sends a signal and goes on. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  get exited(): Promise<number | null> {
    return this.#exited
  }
}

/** What a command printed, and how it ended. */
export interface CommandResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program's command to its end. */
export function runCommand(name: ProgramName, args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    execFile(pathOf(name), args, { maxBuffer: 1 << 30 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, stdout, stderr })
    })
  })
}

/** As `runCommand`, and takes the output for JSON; throws with the program's own words where it failed. */
export async function runJson(name: ProgramName, args: readonly string[]): Promise<unknown> {
  const { code, stdout, stderr } = await runCommand(name, args)
  try {
    return JSON.parse(stdout)
  } catch {
    throw new Error(`${name} ${args.join(' ')} ended with ${code}: ${stderr || stdout}`)
  }
}

/**
 * Ports on the loopback that nobody listens to right now. They are below those that Linux gives to whoever connects, or
 * a connection somewhere else could have one of them before it is used.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = randomInt(10_240, 32_768)
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
