import type { WattError } from '@wattline/protocol'
import type { LineConfig, SimConfig } from './config.ts'
import { placeOf } from './config-checks.ts'
import { openPty } from './pty.ts'
import { SerialLine } from './serial-line.ts'
import type { Simulation } from './simulation.ts'
import { SocketServer } from './socket-server.ts'
import { serveMbap, serveRtu, type TransportOptions } from './tcp-transports.ts'
import { toClientSettings } from './termios.ts'
import type { Timers } from './timers.ts'
import { Wiring } from './wiring.ts'

/** A line or a TCP port: something that can be plugged in and pulled out. */
interface Port {
  readonly lineId: string | undefined
  readonly meterIds: readonly string[]
  open(): Promise<void>
  close(): Promise<void>
  /** Where a peer finds it. */
  describe(): Readonly<Record<string, unknown>>
}

export interface PortsOptions {
  readonly config: SimConfig
  readonly simulation: Simulation
  readonly timers: Timers
  readonly onLost: (error: WattError) => void
}

/** Every line and TCP port that the meters hang on. */
export class Ports {
  readonly #ports: readonly Port[]
  #plugging: Promise<unknown> = Promise.resolve()

  constructor(options: PortsOptions) {
    this.#ports = [...options.config.lines.map((line) => makeLinePort(line, options)), ...makeTcpPorts(options)]
  }

  async open(): Promise<void> {
    for (const port of this.#ports) await port.open()
  }

  async close(): Promise<void> {
    await this.#plugging
    await Promise.all(this.#ports.map((port) => port.close()))
  }

  /** Pulls out or plugs in the port of a line or a meter. Each waits for the one before: an end may follow at once. */
  setPlugged(target: { meter?: string; line?: string }, plugged: boolean): Promise<void> {
    const done = this.#plugging.then(() => this.#plug(target, plugged))
    this.#plugging = done.catch(() => {})
    return done
  }

  async #plug(target: { meter?: string; line?: string }, plugged: boolean): Promise<void> {
    const concerned = this.#ports.filter(
      ({ lineId, meterIds }) =>
        (target.line !== undefined && lineId === target.line) || meterIds.includes(target.meter ?? ''),
    )
    await Promise.all(concerned.map((port) => (plugged ? port.open() : port.close())))
  }

  describe(): readonly Readonly<Record<string, unknown>>[] {
    return this.#ports.map((port) => ({ ...port.describe(), meters: port.meterIds }))
  }
}

// So much earlier does an answer leave for the pseudo-terminal, which holds it until its time.
const ptyLeadMs = 2

/** What carries the bytes of a line: a pseudo-terminal, or the TCP port of a serial device server. */
interface Carrier {
  write(bytes: Uint8Array, atMs: number): void
  close(): Promise<void>
  describe(): Readonly<Record<string, unknown>>
}

function makeLinePort(config: LineConfig, options: PortsOptions): Port {
  const { simulation, timers } = options
  const wiring = new Wiring(config, options.config.meters, options.config.faults, () => simulation.elapsedSeconds)
  let carrier: Carrier | undefined
  const line = new SerialLine({
    wiring,
    timers,
    answer: (meterId, pdu) => simulation.answer(meterId, pdu),
    write: (bytes, atMs) => carrier?.write(bytes, atMs),
    leadMs: config.path === undefined ? 0 : ptyLeadMs,
  })
  const open =
    config.path === undefined
      ? makeSocketCarrier(config, line)
      : makePtyCarrier(config.path, wiring, line, options.onLost)
  return {
    lineId: config.id,
    meterIds: wiring.meters.map(({ id }) => id),
    async open() {
      carrier = await open()
      line.open()
    },
    async close() {
      line.close()
      await carrier?.close()
      carrier = undefined
    },
    describe: () => ({ line: config.id, ...carrier?.describe() }),
  }
}

function makePtyCarrier(
  path: string,
  wiring: Wiring,
  line: SerialLine,
  onLost: PortsOptions['onLost'],
): () => Promise<Carrier> {
  const bait = wiring.parities.has('odd') ? 'not-odd' : 'odd'
  return async () => {
    const pty = await openPty({
      link: path,
      baudRate: wiring.line.baudRate,
      bait,
      onBytes: (bytes, atMs) => line.receive(bytes, atMs),
      onTermios: (termios) => line.setClient({ settings: toClientSettings(termios, bait), iflag: termios.iflag }),
      onLost,
    })
    return { ...pty, describe: () => ({ path, device: pty.device }) }
  }
}

function makeSocketCarrier({ rtuOverTcp }: LineConfig, line: SerialLine): () => Promise<Carrier> {
  const { host, port } = rtuOverTcp ?? { host: '127.0.0.1', port: 0 }
  const connection = { receive: (bytes: Uint8Array) => line.receive(bytes), end: () => {} }
  const server = new SocketServer({ host, port, connect: () => connection })
  return async () => {
    await server.start()
    return {
      write: (bytes) => server.write(bytes),
      close: () => server.stop(),
      describe: () => ({ transport: 'rtuOverTcp', host, port: server.port }),
    }
  }
}

function makeTcpPorts({ config, simulation, timers }: PortsOptions): readonly Port[] {
  const byPlace = Map.groupBy(
    config.meters.filter((meter) => meter.line === undefined),
    placeOf,
  )
  return [...byPlace.values()].map((meters): Port => {
    const transport = meters[0]?.tcp === undefined ? 'rtuOverTcp' : 'tcp'
    const { host, port } = meters[0]?.[transport] ?? { host: '127.0.0.1', port: 0 }
    const ids = new Map(meters.map(({ unitId, id }) => [unitId, id]))
    const options: TransportOptions = {
      hasUnit: (unitId) => ids.has(unitId),
      answer: (unitId, pdu) => {
        const answer = simulation.answer(ids.get(unitId) ?? '', pdu)
        return answer === undefined ? [] : [answer]
      },
      timers,
    }
    const serve = transport === 'tcp' ? serveMbap : serveRtu
    const server = new SocketServer({ host, port, connect: (socket) => serve(socket, options) })
    return {
      lineId: undefined,
      meterIds: meters.map(({ id }) => id),
      open: () => server.start(),
      close: () => server.stop(),
      describe: () => ({ transport, host, port: server.port }),
    }
  })
}
