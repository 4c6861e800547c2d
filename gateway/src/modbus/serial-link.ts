import { access } from 'node:fs/promises'
import { WattError } from '@wattline/protocol'
import { SerialPort } from 'serialport'
import type { Connect, Link, LinkEvents } from './link.ts'
import type { SerialFormat } from './rtu-framing.ts'

export interface SerialAddress extends SerialFormat {
  readonly path: string
}

/**
 * Connects byte pipes over a serial port. Modem lines are left as the kernel sets them: adapters switch the
 * direction themselves, and a pty refuses to read or set them (ENOTTY).
 */
export function serialConnector(address: SerialAddress): Connect {
  return async (events, abort) => {
    await access(address.path).catch((cause: unknown) => {
      throw new WattError('port/missing', `serial port ${address.path} does not exist`, { retryable: true, cause })
    })
    const { path, baudRate, parity, stopBits } = address
    // Without `lock`, two programs would share the answers of one line.
    const port = new SerialPort({ path, baudRate, parity, stopBits, dataBits: 8, lock: true, autoOpen: false })
    await new Promise<void>((resolve, reject) => {
      port.open((error) => (error ? reject(cannotOpen(path, error)) : resolve()))
    })
    if (abort.aborted) {
      await close(port)
      throw cannotOpen(path, abort.reason)
    }
    return openLink(port, path, events)
  }
}

function openLink(port: SerialPort, path: string, events: LinkEvents): Link {
  let over = false
  const end = (cause: unknown) => {
    if (over) return
    over = true
    void close(port)
    events.ended(new WattError('bus/closed', `serial port ${path} is gone`, { retryable: true, cause }))
  }
  port.on('data', (bytes: Buffer) => {
    if (!over) events.bytes(bytes)
  })
  port.on('error', end)
  port.on('close', end)
  // A terminal that hangs up reads as end of file on some kernels.
  port.on('end', end)
  return {
    write: (bytes) => void port.write(Buffer.from(bytes)),
    // Bytes that came while this process was busy still lie in the kernel, where a later read would find them.
    clear: () => new Promise((resolve) => port.flush(() => resolve())),
    close: () => {
      over = true
      return close(port)
    },
  }
}

// Closing a port whose device was pulled out fails, and then there is nothing left to close.
function close(port: SerialPort): Promise<void> {
  return new Promise((resolve) => (port.isOpen ? port.close(() => resolve()) : resolve()))
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
