import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { lstat, readlink, rename, rm, symlink } from 'node:fs/promises'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { WattError } from '@wattline/protocol'
import type { Termios } from './termios.ts'

// `performance.now()` is CLOCK_MONOTONIC from another origin.
const bootMs = Number(process.hrtime.bigint()) / 1e6 - performance.now()

type PtyProcess = ChildProcessByStdio<Writable, Readable, null>

/** One end of a pseudo-terminal; the peer opens the other end at the link's path as if it were a serial port. */
export interface Pty {
  /** The real device behind the link. */
  readonly device: string
  /** Bytes are there at a moment of `performance.now()`, or at once; in the order of the calls. */
  write(bytes: Uint8Array, atMs?: number): void
  close(): Promise<void>
}

export interface PtyOptions {
  readonly link: string
  /** The speed that the port has until a client sets another; 9600 when absent. */
  readonly baudRate?: number
  /** By which flag a client's parity is told; see `toClientSettings`. */
  readonly bait?: 'odd' | 'not-odd'
  /** Bytes of the client, and when it had written them, by `performance.now()`. */
  readonly onBytes: (bytes: Uint8Array, atMs: number) => void
  /** A client has set up its end. */
  readonly onTermios?: (termios: Termios) => void
  /** The process that holds the pseudo-terminal ended by itself. */
  readonly onLost: (error: WattError) => void
}

/** Opens a pseudo-terminal and links it at a path. */
export async function openPty(options: PtyOptions): Promise<Pty> {
  const { link, baudRate = 9600, bait = 'odd', onLost } = options
  await refuseForeignFile(link)
  const program = fileURLToPath(new URL('./pty.pl', import.meta.url))
  const child = spawn('perl', [program, String(baudRate), bait === 'odd' ? '1' : '0'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  // Writing to a process that just ended is told by its exit.
  child.stdin.on('error', () => {})
  const messages = new PtyMessages(options)
  const device = await readDevice(child, (bytes) => messages.push(bytes))
  await replaceLink(link, device)
  let closing = false
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.once('exit', (code) => {
    if (!closing) onLost(new WattError('port/missing', `${link}: the pseudo-terminal ended with code ${code}`))
  })
  return {
    device,
    write: (bytes, atMs) => void child.stdin.write(toOrder(bytes, atMs)),
    async close() {
      closing = true
      child.stdin.end()
      await ended
      if ((await readlink(link).catch(() => undefined)) === device) await rm(link, { force: true })
    },
  }
}

function readDevice(child: PtyProcess, onBytes: (bytes: Uint8Array) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let head: Buffer = Buffer.alloc(0)
    const onHead = (chunk: Buffer) => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\n')
      if (end < 0) return
      child.stdout.off('data', onHead)
      child.stdout.on('data', onBytes)
      if (end + 1 < head.length) onBytes(head.subarray(end + 1))
      resolve(head.subarray(0, end).toString())
    }
    child.stdout.on('data', onHead)
    const fail = (cause: unknown) =>
      reject(new WattError('port/missing', `no pseudo-terminal: ${String(cause)}`, { cause }))
    child.once('error', fail)
    child.once('exit', (code) => fail(`perl ended with code ${code}`))
  })
}

async function refuseForeignFile(link: string): Promise<void> {
  const found = await lstat(link).catch(() => undefined)
  if (found !== undefined && !found.isSymbolicLink()) {
    throw new WattError('port/occupied', `${link}: a file that is no link is in the way`)
  }
}

// Renaming replaces a stale link in one step: a peer that opens the path finds the old device or the new one.
async function replaceLink(link: string, device: string): Promise<void> {
  const fresh = `${link}.${process.pid}`
  await rm(fresh, { force: true })
  await symlink(device, fresh)
  await rename(fresh, link)
}

/** Cuts what `pty.pl` says into its messages: a letter, the length in 16 bits, the payload. */
class PtyMessages {
  readonly #options: PtyOptions
  #rest: Buffer = Buffer.alloc(0)

  constructor(options: PtyOptions) {
    this.#options = options
  }

  push(bytes: Uint8Array): void {
    let rest: Buffer = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes])
    while (rest.length >= 3 && rest.length >= 3 + rest.readUInt16BE(1)) {
      const payload = rest.subarray(3, 3 + rest.readUInt16BE(1))
      if (rest[0] === 0x44) this.#options.onBytes(payload.subarray(8), payload.readDoubleBE() * 1000 - bootMs)
      else this.#options.onTermios?.(toTermios(payload))
      rest = rest.subarray(3 + payload.length)
    }
    this.#rest = rest
  }
}

// What `pty.pl` is told: when, how much, what.
function toOrder(bytes: Uint8Array, atMs: number | undefined): Buffer {
  const head = Buffer.alloc(10)
  head.writeDoubleBE(atMs === undefined ? 0 : (atMs + bootMs) / 1000)
  head.writeUInt16BE(bytes.length, 8)
  return Buffer.concat([head, bytes])
}

function toTermios(payload: Buffer): Termios {
  return { iflag: payload.readUInt32BE(0), cflag: payload.readUInt32BE(4), speed: payload.readUInt32BE(8) }
}
