import { readSync, writeSync } from 'node:fs'
import { access } from 'node:fs/promises'
import { WattError } from '@wattline/protocol'
import { SerialPort } from 'serialport'
import type { Connect, Link, LinkEvents } from './link.ts'
import type { SerialFormat } from './rtu-framing.ts'

export interface SerialAddress extends SerialFormat {
  readonly path: string
}

// serialport's own stream is left aside: it reads each few bytes through the thread pool, ten times the work, and
// where a terminal hangs up while bytes arrive it reads "end of file" for ever, without an event.
type OpenPort = Extract<Awaited<ReturnType<typeof SerialPort.binding.open>>, { poller: unknown }>

// More than any frame.
const readBytes = 1024

/**
 * Connects byte pipes over a serial port. Modem lines are left as the kernel sets them: adapters switch the
 * direction themselves, and a pty refuses to read or set them (ENOTTY).
 */
export function serialConnector(address: SerialAddress): Connect {
  return async (events, abort) => {
    const { path } = address
    await access(path).catch((cause: unknown) => {
      throw new WattError('port/missing', `serial port ${path} does not exist`, { retryable: true, cause })
    })
    const port = await openPort(address)
    if (!abort.aborted) return openLink(port, path, events)
    await close(port)
    throw cannotOpen(path, abort.reason)
  }
}

async function openPort({ path, baudRate, parity, stopBits }: SerialAddress): Promise<OpenPort> {
  const port = await SerialPort.binding
    // Without `lock`, two programs would share the answers of one line.
    .open({ path, baudRate, parity, stopBits, dataBits: 8, lock: true, hupcl: true })
    .catch((cause: unknown) => {
      throw cannotOpen(path, cause)
    })
  if ('poller' in port) return port
  await port.close()
  throw cannotOpen(path, new Error('serial ports are served on Linux and macOS only'))
}

function openLink(port: OpenPort, path: string, events: LinkEvents): Link {
  let over = false
  const buffer = Buffer.alloc(readBytes)
  const end = (cause: unknown) => {
    if (over) return
    over = true
    void close(port)
    events.ended(new WattError('bus/closed', `serial port ${path} is gone`, { retryable: true, cause }))
  }
  const read = () => {
    const bytesRead = readNow(port, buffer)
    if (over || bytesRead === undefined) return
    // A terminal that hung up reads as end of file.
    if (typeof bytesRead !== 'number') end(bytesRead)
    else if (bytesRead === 0) end(new Error('end of file'))
    else events.bytes(Buffer.from(buffer.subarray(0, bytesRead)))
  }
  const listen = () => {
    if (over) return
    port.poller.once('readable', (error) => {
      if (over) return
      if (error !== null) return end(error)
      read()
      listen()
    })
  }
  listen()
  return {
    write: (bytes) => {
      const rest = bytes.subarray(writeNow(port, bytes))
      if (rest.length > 0) void port.write(Buffer.from(rest)).catch(end)
    },
    // Bytes that came while this process was busy still lie in the kernel, where a later read would find them.
    clear: async () => read(),
    close: () => {
      over = true
      return close(port)
    },
  }
}

/** How many bytes there were, undefined for none, or why the port cannot be read any more. */
function readNow(port: OpenPort, buffer: Buffer): number | Error | undefined {
  if (port.fd === null) return undefined
  try {
    return readSync(port.fd, buffer)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    const code = 'code' in error ? error.code : undefined
    return code === 'EAGAIN' || code === 'EINTR' ? undefined : error
  }
}

/** How many bytes the kernel took at once: the way through the thread pool costs a fast line a tenth of its time. */
function writeNow(port: OpenPort, bytes: Uint8Array): number {
  if (port.fd === null) return 0
  try {
    return writeSync(port.fd, bytes)
  } catch {
    return 0 // the other way tells what is wrong
  }
}

// Closing a port whose device was pulled out fails, and then there is nothing left to close.
async function close(port: OpenPort): Promise<void> {
  if (port.isOpen) await port.close().catch(() => {})
}

function cannotOpen(path: string, cause: unknown): WattError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  // The library tells a lock that another program holds by its text alone.
  if (/cannot lock port/i.test(reason)) {
    const message = `serial port ${path} is in use by another program, such as a running gateway`
    return new WattError('port/occupied', message, { retryable: true, cause })
  }
  return new WattError('bus/closed', `cannot open serial port ${path}: ${reason}`, { retryable: true, cause })
}
