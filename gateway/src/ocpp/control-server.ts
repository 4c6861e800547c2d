import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { decodeWith, WattError } from '@wattline/protocol'
import type { DriverCommand } from '../drivers/driver-commands.ts'
import { type ControlReply, controlPath, controlRequestShape, longestControlLine } from './control-socket.ts'
import type { Csms } from './csms.ts'

export interface ControlServer {
  close(): Promise<void>
}

/** Commands for drivers are done elsewhere. */
type RunDriverCommand = (command: DriverCommand) => Promise<unknown>

/** Takes commands on a socket in the data folder. */
export async function startControl(
  dataDir: string,
  csms: Csms,
  runDriverCommand: RunDriverCommand,
): Promise<ControlServer> {
  const path = controlPath(dataDir)
  // What a killed gateway left; the lock on the data folder says that it is gone.
  rmSync(path, { force: true })
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy()))
    readLine(socket, async (line) => {
      socket.end(`${JSON.stringify(await answer(line, csms, runDriverCommand))}\n`)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      const reason = cause.message
      reject(new WattError('control/unreachable', `${path}: no socket for commands: ${reason}`, { cause }))
    })
    server.listen(path, resolve)
  })
  chmodSync(path, 0o600)
  return {
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function readLine(socket: Socket, take: (line: string) => Promise<void>): void {
  let text = ''
  const onData = (chunk: string) => {
    text += chunk
    const end = text.indexOf('\n')
    if (end < 0 && text.length <= longestControlLine) return
    socket.off('data', onData)
    void take(end < 0 ? '' : text.slice(0, end))
  }
  socket.setEncoding('utf8').on('data', onData)
}

async function answer(line: string, csms: Csms, runDriverCommand: RunDriverCommand): Promise<ControlReply> {
  try {
    const request = decodeWith(controlRequestShape, parse(line), 'command', 'message/invalid')
    if (request.command === 'stations') return { ok: true, result: csms.stations() }
    if (request.command !== 'call') return { ok: true, result: await runDriverCommand(request) }
    return { ok: true, result: await csms.call(request.station, request.action, request.payload) }
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    return { ok: false, code: error.code, message: error.message }
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined // told as a problem of the command
  }
}
