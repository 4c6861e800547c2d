import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'
import { SerialPort } from 'serialport'
import { encodeMbap } from './mbap-framing.ts'
import { withCrc } from './rtu-framing.ts'

// What the tests of the bus stand on: scripted servers that answer wrong, late, twice or not at all.

/** A read request as a scripted server sees it. */
export interface SeenRequest {
  readonly unitId: number
  readonly functionCode: number
  readonly address: number
  readonly count: number
  readonly transactionId: number
  /** Counts all requests of the server. */
  readonly tag: number
}

/** Sends raw bytes, now or after a while. */
export type Send = (bytes: Uint8Array, afterMs?: number) => void
export type Script = (request: SeenRequest, send: Send, socket?: Socket) => void

/** The answer's unit id and PDU: `count` words, the first of which is the request's tag. */
export function answerBody(request: SeenRequest, count = request.count): Buffer {
  const body = Buffer.alloc(3 + 2 * count)
  body.set([request.unitId, request.functionCode, 2 * count])
  for (let i = 0; i < count; i++) body.writeUInt16BE((request.tag + i) & 0xffff, 3 + 2 * i)
  return body
}

export const rtuAnswer = (request: SeenRequest) => withCrc(answerBody(request))
export const tcpAnswer = (request: SeenRequest) => encodeMbap(request.transactionId, answerBody(request))

/** The exception answer's unit id and PDU. */
export function exceptionBody(request: SeenRequest, code: number): Buffer {
  return Buffer.from([request.unitId, request.functionCode | 0x80, code])
}

/** Takes requests off a stream of bytes and hands them to a script. */
export class ScriptedServer {
  lastTag = 0
  readonly seen: SeenRequest[] = []
  #bytes: Buffer = Buffer.alloc(0)
  readonly #framing: 'rtu' | 'mbap'
  script: Script

  constructor(framing: 'rtu' | 'mbap', script: Script) {
    this.#framing = framing
    this.script = script
  }

  receive(bytes: Buffer, write: (bytes: Uint8Array) => void, socket?: Socket): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    const [header, length] = this.#framing === 'rtu' ? [0, 8] : [6, 12]
    while (this.#bytes.length >= length) {
      const pdu = this.#bytes.subarray(header)
      const request = {
        unitId: pdu.readUInt8(0),
        functionCode: pdu.readUInt8(1),
        address: pdu.readUInt16BE(2),
        count: pdu.readUInt16BE(4),
        transactionId: header === 0 ? 0 : this.#bytes.readUInt16BE(0),
        tag: ++this.lastTag,
      }
      this.#bytes = this.#bytes.subarray(length)
      this.seen.push(request)
      this.script(request, (answer, afterMs = 0) => sendLater(() => write(answer), afterMs), socket)
    }
  }
}

function sendLater(send: () => void, afterMs: number): void {
  if (afterMs === 0) send()
  else setTimeout(send, afterMs)
}

/** Sends byte by byte, in order. */
export function trickle(bytes: Uint8Array, send: Send, everyMs: number): void {
  if (bytes.length === 0) return
  send(bytes.subarray(0, 1))
  setTimeout(() => trickle(bytes.subarray(1), send, everyMs), everyMs)
}

interface Teardown {
  teardown(action: () => Promise<void> | void): void
}

/** A scripted server behind a TCP port of this machine. */
export async function serveTcp(t: Teardown, server: ScriptedServer): Promise<{ host: string; port: number }> {
  const sockets = new Set<Socket>()
  const listener: Server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    const write = (bytes: Uint8Array) => void (socket.destroyed || socket.write(bytes))
    socket.on('data', (bytes: Buffer) => server.receive(bytes, write, socket))
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { host: '127.0.0.1', port: address.port }
}

/** A line made of two ptys: the bus opens `path`, the scripted server answers at the other end. */
export class PtyLine {
  readonly path: string
  readonly #serverPath: string
  readonly #server: ScriptedServer
  #socat: ChildProcess | undefined
  #port: SerialPort | undefined

  constructor(folder: string, server: ScriptedServer) {
    this.path = join(folder, 'bus')
    this.#serverPath = join(folder, 'device')
    this.#server = server
  }

  async plug(): Promise<void> {
    // serialport's native poller uses libuv's default loop and aborts the whole process from a worker thread.
    if (!isMainThread) throw new Error('serial tests need processes: run ava with workerThreads false')
    const ends = [this.path, this.#serverPath].map((path) => `pty,raw,echo=0,link=${path}`)
    this.#socat = spawn('socat', ends, { stdio: 'ignore' })
    await appears(this.path)
    await appears(this.#serverPath)
    const port = new SerialPort({ path: this.#serverPath, baudRate: 115_200, autoOpen: false, lock: false })
    await new Promise<void>((resolve, reject) => port.open((error) => (error ? reject(error) : resolve())))
    port.on('error', () => {})
    port.on('data', (bytes: Buffer) => this.#server.receive(bytes, (answer) => void port.write(Buffer.from(answer))))
    this.#port = port
  }

  async unplug(): Promise<void> {
    const [socat, port] = [this.#socat, this.#port]
    this.#socat = undefined
    this.#port = undefined
    if (port?.isOpen) await new Promise<void>((resolve) => port.close(() => resolve()))
    if (socat === undefined || socat.exitCode !== null) return
    socat.kill('SIGTERM')
    await once(socat, 'exit')
  }
}

/** Waits until a path is there. */
export async function appears(path: string): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    const found = await access(path).then(
      () => true,
      () => false,
    )
    if (found) return
    await delay(10)
  }
  throw new Error(`${path} did not appear`)
}

/** A plugged line with a scripted RTU server at its end. */
export async function servePty(t: Teardown, server: ScriptedServer): Promise<PtyLine> {
  const folder = await mkdtemp(join(tmpdir(), 'wattline-bus-'))
  const line = new PtyLine(folder, server)
  t.teardown(async () => {
    await line.unplug()
    await rm(folder, { recursive: true, force: true })
  })
  await line.plug()
  return line
}

/** Waits for a condition that other processes or sockets bring about. */
export async function eventually(condition: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  const latest = Date.now() + withinMs
  while (!(await condition())) {
    if (Date.now() > latest) throw new Error(`not within ${withinMs} ms`)
    await delay(5)
  }
}

/** Numbers below 1, the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
