import { isTransactionAction, type OcppVersion } from '@wattline/protocol'

/** One text frame of a station, read as far as it can be. */
export type StationFrame =
  /** A request. `id` is as the station wrote it: most often a text, sometimes a number. */
  | { readonly kind: 'call'; readonly id: unknown; readonly action: string; readonly payload: unknown }
  /** The answer to one of our requests. */
  | { readonly kind: 'answer'; readonly text: string }
  /** OCPP 2.1 SEND: never answered. */
  | { readonly kind: 'send'; readonly action: string; readonly payload: unknown }
  /** OCPP 2.1 CALLRESULTERROR: the station could not use our answer. Never answered. */
  | { readonly kind: 'answer-refused'; readonly reason: string }
  /** Nothing to do. */
  | { readonly kind: 'ignored'; readonly reason: string }
  /** Nothing that could be answered properly. */
  | { readonly kind: 'refused'; readonly id: unknown; readonly code: string; readonly reason: string }

const messageTypes = { call: 2, result: 3, error: 4, resultError: 5, send: 6 } as const
/** OCPP-J: the id of a CALLERROR for a message whose own id cannot be read. */
const unreadableId = '-1'

/** Reads a frame; whatever is in it, this gives an answer and never throws. */
export function readFrame(text: string, version: OcppVersion): StationFrame {
  if (text.trim() === '') return { kind: 'ignored', reason: 'empty' }
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return readBroken(text, version)
  }
  if (!Array.isArray(message)) return refuse(version, unreadableId, 'a message must be a JSON list')
  const [type, id, third, fourth, fifth]: unknown[] = message
  if (!isUsableId(id)) return refuse(version, unreadableId, 'the message id must be a text of at most 36 characters')
  switch (type) {
    case messageTypes.call:
      return typeof third === 'string'
        ? { kind: 'call', id, action: third, payload: fourth }
        : refuse(version, id, 'the action must be a text')
    case messageTypes.result:
    case messageTypes.error:
      return { kind: 'answer', text: typeof id === 'string' ? text : JSON.stringify(message.with(1, String(id))) }
    case messageTypes.resultError:
      if (version === 'ocpp2.1') return { kind: 'answer-refused', reason: `${String(third)}: ${String(fourth)}` }
      return unknownType(version, id)
    case messageTypes.send:
      if (version !== 'ocpp2.1') return unknownType(version, id)
      return { kind: 'send', action: String(third), payload: fourth ?? fifth }
    default:
      return unknownType(version, id)
  }
}

// Longer ones break no rule of JSON, and come from stations that take a UUID with braces.
function isUsableId(id: unknown): boolean {
  return (typeof id === 'string' && id.length <= 255) || typeof id === 'number'
}

// OCPP-J 1.6 §4.1.3: ignore it. OCPP 2.0.1 part 4 §4.4: MessageTypeNotSupported.
function unknownType(version: OcppVersion, id: unknown): StationFrame {
  if (version === 'ocpp1.6') return { kind: 'ignored', reason: 'unknown message type' }
  return { kind: 'refused', id, code: 'MessageTypeNotSupported', reason: 'unknown message type' }
}

// RpcFrameworkError came with 2.0.1; 1.6 has no better word than GenericError.
function refuse(version: OcppVersion, id: unknown, reason: string): StationFrame {
  return { kind: 'refused', id, code: version === 'ocpp1.6' ? 'GenericError' : 'RpcFrameworkError', reason }
}

const callStart = /^\s*\[\s*2\s*,\s*("(?:[^"\\\p{Cc}]|\\.){0,255}"|-?\d{1,15})\s*,\s*"([A-Za-z0-9]{1,50})"/u

// Of a request that is cut or no JSON the beginning may still be readable. One that tells of energy must be answered,
// or the station repeats it for ever and holds back everything after it.
function readBroken(text: string, version: OcppVersion): StationFrame {
  const [, idText, action] = callStart.exec(text) ?? []
  const id = idText === undefined ? undefined : parseId(idText)
  if (id === undefined || action === undefined) return refuse(version, unreadableId, 'a message must be JSON')
  if (isTransactionAction(action)) return { kind: 'call', id, action, payload: undefined }
  return refuse(version, id, 'a message must be JSON')
}

function parseId(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // an escape that JSON does not have
  }
}
