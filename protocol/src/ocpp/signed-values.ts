import { fromBase64, fromHex, toUpperHex } from '../bytes.ts'
import type { OcppVersion } from './actions.ts'

/** A value that a station's own meter has signed, taken out of the message that brought it. */
export interface SignedValue {
  /** The signed data as they are: an OCMF text where `encoding` is `OCMF`. */
  readonly text: string
  /** How they are written: `OCMF`, `EDL` and the like; `unknown` where nothing tells. */
  readonly encoding: string
  /** The key that came with it, SPKI in hex or base64, out of whatever it was wrapped in. */
  readonly publicKey?: string
  /** OCPP's reading context, such as `Transaction.Begin`. */
  readonly context?: string
  /** When it was sampled, as the station wrote it. */
  readonly timestamp?: string
}

type Fields = Readonly<Record<string, unknown>>

/**
 * Finds signed values in MeterValues, StopTransaction and TransactionEvent. OCPP 2.x has a field for them; OCPP 1.6
 * has a `format`, and the text itself in `value`: plain, in hex or base64, as JSON like the field of 2.x (OCA, "Signed
 * Meter Values in OCPP"), or as the XML of transparency software.
 */
export function findSignedValues(version: OcppVersion, payload: Fields): readonly SignedValue[] {
  return ['meterValue', 'transactionData'].flatMap((list) =>
    listOf(payload[list]).flatMap((entry) =>
      listOf(fieldsOf(entry)?.['sampledValue']).flatMap((sample) => {
        const value = version === 'ocpp1.6' ? readSample16(fieldsOf(sample)) : readSample2(fieldsOf(sample))
        if (value === undefined) return []
        const context = textOf(fieldsOf(sample), 'context')
        const timestamp = textOf(fieldsOf(entry), 'timestamp')
        return [
          {
            ...value,
            ...(context === undefined ? {} : { context }),
            ...(timestamp === undefined ? {} : { timestamp }),
          },
        ]
      }),
    ),
  )
}

type Unwrapped = Pick<SignedValue, 'text' | 'encoding' | 'publicKey'>

function readSample16(sample: Fields | undefined): Unwrapped | undefined {
  const value = textOf(sample, 'value')
  if (value === undefined || sample?.['format'] !== 'SignedData') return undefined
  const wrapped = fieldsOf(parseJson(value))
  return (wrapped && readObject(wrapped)) ?? readXml(value) ?? toValue(value, undefined)
}

function readSample2(sample: Fields | undefined): Unwrapped | undefined {
  const wrapped = fieldsOf(sample?.['signedMeterValue'])
  return wrapped === undefined ? undefined : readObject(wrapped)
}

// Some write `signedMeterValue` where OCPP 2.x says `signedMeterData`.
function readObject(wrapped: Fields): Unwrapped | undefined {
  const data = textOf(wrapped, 'signedMeterData') ?? textOf(wrapped, 'signedMeterValue')
  if (data === undefined) return undefined
  return { ...toValue(data, textOf(wrapped, 'encodingMethod')), ...readKey(textOf(wrapped, 'publicKey')) }
}

const signedDataPattern = /<signedData\b([^>]*)>([^<]*)<\/signedData>/
const publicKeyPattern = /<publicKey\b[^>]*>([^<]*)<\/publicKey>/

function readXml(value: string): Unwrapped | undefined {
  const match = signedDataPattern.exec(value)
  if (match === null) return undefined
  const format = /\bformat="([^"]{1,50})"/.exec(match[1] ?? '')?.[1]
  return { ...toValue(unescapeXml(match[2] ?? ''), format), ...readKey(publicKeyPattern.exec(value)?.[1]) }
}

function unescapeXml(text: string): string {
  return text
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}

// What looks like OCMF is OCMF, whatever the station calls it.
function toValue(data: string, told: string | undefined): Unwrapped {
  const compact = data.replace(/\s/g, '')
  const candidates = [data.trim(), ...[fromHex(compact), fromBase64(compact)].map(toText)]
  const ocmf = candidates.find((text) => text?.startsWith('OCMF|'))
  if (ocmf !== undefined) return { text: ocmf, encoding: 'OCMF' }
  return { text: data.trim(), encoding: told === undefined || told.trim() === '' ? 'unknown' : told.trim() }
}

/**
 * The key out of its wrappings: OCA's note writes base64 over `oca:base16:asn1:` and hex, its example base64 over hex
 * alone; others send the hex or base64 of SPKI as it is.
 */
function readKey(told: string | undefined): Pick<SignedValue, 'publicKey'> {
  const compact = (told ?? '').replace(/\s/g, '')
  if (compact === '') return {}
  const inner = fromHex(compact) === undefined ? toText(fromBase64(compact)) : undefined
  for (const text of [compact, ...(inner === undefined ? [] : [inner.replace(/\s/g, '')])]) {
    const envelope = /^oca:base(?:16|64):asn1:(.+)$/.exec(text)?.[1]
    if (envelope !== undefined) return { publicKey: envelope }
    if (text !== compact && fromHex(text) !== undefined) return { publicKey: text }
  }
  return { publicKey: compact }
}

// UTF-8: a tariff or a name may stand in a record of another maker.
function toText(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined || bytes.length === 0) return undefined
  try {
    return decodeURIComponent(toUpperHex(bytes).replace(/../g, '%$&'))
  } catch {
    return undefined // no text
  }
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function textOf(fields: Fields | undefined, name: string): string | undefined {
  const value = fields?.[name]
  return typeof value === 'string' ? value : undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
