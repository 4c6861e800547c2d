import { createServer, type Socket } from 'node:net'
import { Aedes } from 'aedes'
import { listen } from './socket-server.ts'

export interface RunningBroker {
  readonly port: number
  /** Breaks all connections off and forgets everything: nothing here is durable. */
  stop(): Promise<void>
}

/** Runs an MQTT 3.1.1 broker in this process; port 0 takes a free one. */
export async function startBroker({ host, port }: { host: string; port: number }): Promise<RunningBroker> {
  // One subscriber that stopped reading must not hold up the others, and bursts must not be refused.
  const aedes = await Aedes.createBroker({ drainTimeout: 10_000, queueLimit: 10_000 })
  const sockets = new Set<Socket>()
  // Without TCP_NODELAY every acknowledgement waits for the peer's delayed one.
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    aedes.handle(socket)
  })
  const closeAedes = () => new Promise<void>((resolve) => aedes.close(() => resolve()))
  const actualPort = await listen(server, host, port).catch(async (error: unknown) => {
    await closeAedes()
    throw error
  })
  return {
    port: actualPort,
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await closed
      await closeAedes()
    },
  }
}
