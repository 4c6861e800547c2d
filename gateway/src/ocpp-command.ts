import { connect } from 'node:net'
import { decodeWith, integerBetween, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { type ControlRequest, controlPath, controlReplyShape } from './ocpp/control-socket.ts'

const answerShape = v.object({ payload: v.unknown(), faults: v.array(v.string()) })

/** `ocpp call`: sends a request to a station through the running gateway, and prints the answer as JSON. */
export async function callStation(
  config: GatewayConfig,
  { output, warnings }: { readonly output: Output; readonly warnings: Output },
  request: { readonly station: string; readonly action: string; readonly json: string },
): Promise<void> {
  const { station, action, json } = request
  const result = await askGateway(config, { command: 'call', station, action, payload: parsePayload(json) })
  const { payload, faults } = decodeWith(answerShape, result, 'answer of the gateway', 'control/unreachable')
  for (const fault of faults) warnings.write(`the answer differs from the schema: ${fault}\n`)
  output.write(`${JSON.stringify(payload, null, 2)}\n`)
}

function parsePayload(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('message/invalid', `JSON expected, such as '{"key":["HeartbeatInterval"]}': ${reason}`, {
      cause,
    })
  }
}

const stationsShape = v.array(
  v.object({
    id: v.string(),
    connected: v.boolean(),
    version: v.optional(v.string(), ''),
    address: v.optional(v.string(), ''),
    vendor: v.optional(v.string(), ''),
    model: v.optional(v.string(), ''),
    connectors: v.record(v.string(), v.string()),
    refused: v.optional(v.object({ reason: v.string(), times: integerBetween(1, Number.MAX_SAFE_INTEGER) })),
    upstream: v.optional(
      v.object({
        identity: v.string(),
        state: v.string(),
        reason: v.optional(v.string()),
        waiting: integerBetween(0, Number.MAX_SAFE_INTEGER),
        aside: integerBetween(0, Number.MAX_SAFE_INTEGER),
      }),
    ),
  }),
)

/** `ocpp stations`: every station since the gateway's start, also those that were turned away, and why. */
export async function listStations(config: GatewayConfig, output: Output, asJson: boolean): Promise<void> {
  const result = await askGateway(config, { command: 'stations' })
  if (asJson) {
    output.write(`${JSON.stringify(result, null, 2)}\n`)
    return
  }
  const stations = decodeWith(stationsShape, result, 'answer of the gateway', 'control/unreachable')
  if (stations.length === 0) output.write('no station has connected since the gateway was started\n')
  for (const { id, connected, version, address, vendor, model, connectors, refused, upstream } of stations) {
    const status = Object.entries(connectors).map(([where, word]) => `connector ${where} ${word}`)
    const state = connected ? `connected with ${version} from ${address}` : 'not connected'
    const turnedAway = refused && `turned away ${refused.times} times: ${refused.reason}`
    const above = upstream && describeUpstream(upstream)
    const words = [state, `${vendor} ${model}`.trim(), ...status, turnedAway, above].filter(
      (word) => word !== undefined && word !== '',
    )
    output.write(`${printable(id)}: ${words.map((word) => printable(String(word))).join('; ')}\n`)
  }
}

type ShownUpstream = NonNullable<v.InferOutput<typeof stationsShape>[number]['upstream']>

function describeUpstream({ identity, state, reason, waiting, aside }: ShownUpstream): string {
  const words = state === 'idle' ? 'not connected, as the station is away' : state
  const queued = waiting === 0 ? '' : `, ${waiting} messages wait`
  const lost = aside === 0 ? '' : `, ${aside} messages put aside: see ocpp.upstream.aside in the log`
  return `upstream as ${identity}: ${words}${reason === undefined ? '' : ` (${reason})`}${queued}${lost}`
}

// What strangers sent must not steer a terminal.
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}

/** Sends one command to the running gateway, and gives what it answers. */
export function askGateway({ gateway, ocpp }: GatewayConfig, request: ControlRequest): Promise<unknown> {
  if (ocpp === undefined) throw new WattError('config/invalid', 'the configuration has no ocpp: no stations are served')
  const path = controlPath(gateway.dataDir)
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`))
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += String(chunk)
    })
    socket.on('error', (cause) => reject(toControlError(cause, path)))
    socket.on('close', () => {
      try {
        resolve(readReply(text, path))
      } catch (error) {
        reject(error)
      }
    })
  })
}

function readReply(text: string, path: string): unknown {
  if (text === '') throw new WattError('control/unreachable', `${path}: the gateway went away before it answered`)
  const reply = decodeWith(controlReplyShape, JSON.parse(text), 'answer of the gateway', 'control/unreachable')
  if (reply.ok) return reply.result
  throw new WattError(reply.code, reply.message)
}

function toControlError(cause: Error, path: string): WattError {
  const code = 'code' in cause ? cause.code : undefined
  const isGone = code === 'ENOENT' || code === 'ECONNREFUSED'
  const reason = isGone ? 'no gateway runs with this data folder, or it serves no stations' : cause.message
  return new WattError('control/unreachable', `${path}: ${reason}`, { cause })
}
