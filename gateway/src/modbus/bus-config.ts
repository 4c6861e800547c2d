import { WattError } from '@wattline/protocol'
import { Connection } from './connection.ts'
import type { TimingOptions } from './device-timing.ts'
import type { FramedPort } from './framed-port.ts'
import { type LineTap, tapped } from './line-tap.ts'
import type { Connect, Link } from './link.ts'
import { MbapPort } from './mbap-port.ts'
import type { WireCost } from './planner.ts'
import { exchangeMs, requestCost, type SerialFormat } from './rtu-framing.ts'
import { RtuPort } from './rtu-port.ts'
import type { Scheduler } from './scheduler.ts'
import { type SerialAddress, serialConnector } from './serial-link.ts'
import { type SocketAddress, socketConnector } from './socket-link.ts'

/** One bus as the gateway's config names it: exactly one of the three. */
export interface BusConfig {
  readonly id: string
  readonly serial?: SerialAddress
  readonly tcp?: SocketAddress
  readonly rtuOverTcp?: SocketAddress
}

export interface BusTuning extends TimingOptions {
  /** How long to watch for a late answer: half the timeout, and no longer than this. */
  readonly longestDrainMs: number
  /** How long after a request was given up its answer may still come: until then its length is not asked for. */
  readonly lateHorizonMs: number
  /** How long after an answer it may come once more: until then a varied length is not asked for again. */
  readonly repeatHorizonMs: number
  /** Requests that may wait. */
  readonly queueLimit: number
  /** The first pause before connecting again; it doubles up to the longest. */
  readonly reconnectMs: number
  readonly longestReconnectMs: number
}

export const defaultTuning: BusTuning = {
  initialTimeoutMs: 500,
  // USB adapters add 16 ms, meters up to 100 ms, and this process may be held up by its own disk.
  shortestTimeoutMs: 200,
  longestTimeoutMs: 2000,
  multiple: 4,
  silentShare: 0.03,
  creditMs: 500,
  longestDrainMs: 250,
  lateHorizonMs: 5000,
  repeatHorizonMs: 500,
  queueLimit: 256,
  reconnectMs: 250,
  longestReconnectMs: 5000,
}

/** What differs between the three kinds of bus. */
export interface Transport {
  readonly connect: (onEnd: (error: WattError) => void, abort: AbortSignal) => Promise<Connection>
  /** How long a read and its answer occupy the line. */
  readonly wireMs: (count: number) => number
  /** What a read costs in all, of a device that thinks for so long. */
  readonly cost: (latencyMs: number) => WireCost
  /** Whether a late answer can reach a later request. */
  readonly keepsLateAnswers: boolean
}

type MakePort = (link: Link, end: (error: WattError) => void) => FramedPort

// The speed behind a converter is not in the config; most meters leave the factory with this.
const assumedFormat: SerialFormat = { baudRate: 9600, parity: 'none', stopBits: 1 }
// On a network the request counts and the registers hardly do: two bytes at 10 Mbit/s.
const shortestLatencyMs = 0.5
const tcpRegisterMs = 0.002

export interface TransportOptions {
  /** Sees every byte that goes by. */
  readonly tap?: LineTap
  /** Another way to the other side than the config's port or socket. */
  readonly connect?: Connect
}

export function makeTransport(config: BusConfig, scheduler: Scheduler, options: TransportOptions = {}): Transport {
  const { id, serial, tcp, rtuOverTcp } = config
  const given = [serial, tcp, rtuOverTcp].filter((one) => one !== undefined)
  if (given.length !== 1) {
    throw new WattError('config/invalid', `bus ${id}: one of serial, tcp, rtuOverTcp expected, got ${given.length}`)
  }
  const { tap } = options
  const joined = (usual: Connect, makePort: MakePort) => {
    const connect = options.connect ?? usual
    return join({ busId: id, scheduler, connect: tap === undefined ? connect : tapped(connect, tap), makePort })
  }
  const rtu =
    (format: SerialFormat, reconnectAfterSilence: boolean): MakePort =>
    (link) =>
      new RtuPort({ link, format, scheduler, reconnectAfterSilence })
  const onLine = (connect: Transport['connect'], format: SerialFormat): Transport => ({
    connect,
    wireMs: (count) => exchangeMs(format, count),
    cost: (latencyMs) => requestCost(format, latencyMs),
    keepsLateAnswers: true,
  })
  if (serial !== undefined) return onLine(joined(serialConnector(serial), rtu(serial, false)), serial)
  if (rtuOverTcp !== undefined) {
    return onLine(joined(socketConnector(rtuOverTcp), rtu(assumedFormat, true)), assumedFormat)
  }
  const connect = joined(socketConnector(tcp as SocketAddress), mbap())
  const cost = (latencyMs: number) => ({ requestMs: Math.max(latencyMs, shortestLatencyMs), registerMs: tcpRegisterMs })
  return { connect, wireMs: () => 0, cost, keepsLateAnswers: false }
}

function mbap(): MakePort {
  let lastTransactionId = 0
  const nextTransactionId = () => {
    lastTransactionId = (lastTransactionId + 1) & 0xffff
    return lastTransactionId
  }
  return (link, onFault) => new MbapPort({ link, nextTransactionId, onFault })
}

function join(parts: {
  busId: string
  scheduler: Scheduler
  connect: Connect
  makePort: MakePort
}): Transport['connect'] {
  const { busId, scheduler } = parts
  return async (onEnd, abort) => {
    let port: FramedPort | undefined
    const link = await parts.connect({ bytes: (bytes) => port?.receive(bytes), ended: onEnd }, abort)
    port = parts.makePort(link, onEnd)
    return new Connection({ busId, link, port, scheduler })
  }
}
