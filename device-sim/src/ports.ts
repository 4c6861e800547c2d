import type { WattError } from '@wattline/protocol'
import type { LineConfig, MeterConfig, SimConfig } from './config.ts'
import { placeOf } from './config-checks.ts'
import { toLineTiming } from './line-timing.ts'
import type { AnswerRequest } from './pdu.ts'
import { openPty, type Pty } from './pty.ts'
import { RtuServer } from './rtu-server.ts'
import type { Simulation } from './simulation.ts'
import { TcpServer } from './tcp-server.ts'
import type { Timers } from './timers.ts'

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

  constructor(options: PortsOptions) {
    this.#ports = [...options.config.lines.map((line) => makeLinePort(line, options)), ...makeTcpPorts(options)]
  }

  async open(): Promise<void> {
    for (const port of this.#ports) await port.open()
  }

  async close(): Promise<void> {
    await Promise.all(this.#ports.map((port) => port.close()))
  }

  /** Pulls out or plugs in the port of a line or a meter. */
  async setPlugged(target: { meter?: string; line?: string }, plugged: boolean): Promise<void> {
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

function makeLinePort(line: LineConfig, { config, simulation, timers, onLost }: PortsOptions): Port {
  const meters = config.meters.filter((meter) => meter.line === line.id)
  const pace = { ...toLineTiming(line), turnaroundMs: line.turnaroundMs }
  let pty: Pty | undefined
  const server = new RtuServer({
    answer: answerFor(meters, simulation),
    timers,
    pace,
    write: (bytes) => pty?.write(bytes),
  })
  return {
    lineId: line.id,
    meterIds: meters.map(({ id }) => id),
    async open() {
      pty = await openPty({ link: line.path, onBytes: (bytes) => server.receive(bytes), onLost })
    },
    async close() {
      server.close()
      await pty?.close()
      pty = undefined
    },
    describe: () => ({ line: line.id, path: line.path, device: pty?.device }),
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
    const units = new Set(meters.map(({ unitId }) => unitId))
    const server = new TcpServer({
      host,
      port,
      transport,
      hasUnit: (unitId) => units.has(unitId),
      answer: answerFor(meters, simulation),
      timers,
    })
    return {
      lineId: undefined,
      meterIds: meters.map(({ id }) => id),
      open: () => server.start(),
      close: () => server.stop(),
      describe: () => ({ transport, host, port: server.port }),
    }
  })
}

function answerFor(meters: readonly MeterConfig[], simulation: Simulation): AnswerRequest {
  const ids = new Map(meters.map(({ unitId, id }) => [unitId, id]))
  return (unitId, pdu) => simulation.answer(ids.get(unitId) ?? '', pdu)
}
