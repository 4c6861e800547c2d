import { createHash } from 'node:crypto'
import {
  type ForeignVerifier,
  findForeignFlaw,
  findSignedValues as findInMessage,
  foreignMeterOf,
  readPublicKey,
  type SignedValue,
  toUpperHex,
  verifyForeignOcmf,
} from '@wattline/protocol'
import type { GatewayConfig } from '../config.ts'
import type { Log } from '../log.ts'
import type { TransactionMessage, TransactionSink } from '../ocpp/transaction-sink.ts'
import type { Store } from '../store/database.ts'
import {
  findMeterKey,
  findSignedValues,
  insertSignedValue,
  keepMeterKey,
  listMeterKeys,
  pruneSignedValues,
  type SignedValueVerdict,
  type StoredSignedValue,
} from '../store/signed-values.ts'
import { termsOf } from './charging-points.ts'

/** What signed values are checked with. */
export interface SignedValuesParts {
  readonly config: Pick<GatewayConfig, 'ocpp'>
  readonly store: Store
  readonly log: Log
  readonly verifier: ForeignVerifier
}

/** About 100 MB. */
const mostValues = 100_000
const chunk = 1_000

/** Takes what stations' own meters have signed out of their messages, checks it, and keeps it beside what we sign. */
export class SignedValues {
  readonly #parts: SignedValuesParts

  constructor(parts: SignedValuesParts) {
    this.#parts = parts
  }

  /**
   * Takes the signed values of one message; gives those that are new. Part of the transaction that stores the message.
   * Nothing is concluded from them about energy: they are evidence beside ours. Whatever a station sends, it does not
   * throw. `place` is what the caller knows better than the message.
   */
  take(
    message: TransactionMessage,
    place: { readonly connectorId?: number; readonly transactionId?: string } = {},
  ): readonly StoredSignedValue[] {
    const told = { ...placeIn(message.payload), ...place }
    return findInMessage(message.version, message.payload).flatMap((value) => {
      const stored = this.#takeOne(message, value, told)
      return stored === undefined ? [] : [stored]
    })
  }

  /** Forgets what is old, as sessions are forgotten. Bounded: call it again and again. */
  tidy({ beforeMs }: { readonly beforeMs: number }): void {
    const { store } = this.#parts
    store.write(() => pruneSignedValues(store, { beforeMs, most: mostValues, chunk }))
  }

  #takeOne(
    { stationId, frame }: TransactionMessage,
    value: SignedValue,
    { connectorId, transactionId = '' }: { readonly connectorId?: number; readonly transactionId?: string },
  ): StoredSignedValue | undefined {
    const { store, log } = this.#parts
    const { text, encoding, context = '', timestamp = '' } = value
    const digest = createHash('sha256').update(text).digest('hex')
    const before = findSignedValues(store, stationId, digest)
    if (before.some((known) => known.transactionId === transactionId)) return undefined
    const meter = foreignMeterOf(text)
    const place = connectorId === undefined ? {} : { connectorId }
    const judged = this.#judge({ stationId, meter, frame, ...place }, value)
    const other = before.find((known) => known.transactionId !== '' && transactionId !== '')
    const verdict =
      judged.verdict === 'valid' && other !== undefined
        ? { ...judged, verdict: 'repeated' as const, reason: `told for transaction ${other.transactionId} before` }
        : judged
    const stored = {
      frame,
      stationId,
      ...place,
      transactionId,
      context,
      sampledAt: timestamp,
      encoding,
      text,
      digest,
      meter,
      ...verdict,
    }
    insertSignedValue(store, stored)
    const { reason } = verdict
    const fields = { station: stationId, connector: connectorId, transaction: transactionId, frame, meter, reason }
    if (verdict.verdict === 'false' || verdict.verdict === 'repeated') {
      store.onCommit(() => log.warn(`session.signed-value.${verdict.verdict}`, fields))
    }
    return stored
  }

  // The key of the configuration is the trusted one. Without it, the first key under which a meter's value is true is
  // trusted from then on, and told so: whoever wants more writes it into the configuration.
  #judge(
    { stationId, connectorId, meter, frame }: Pick<StoredSignedValue, 'stationId' | 'connectorId' | 'meter' | 'frame'>,
    { text, encoding, publicKey: told }: SignedValue,
  ): Judged {
    const { verifier } = this.#parts
    if (encoding !== 'OCMF')
      return { publicKey: '', verdict: 'unproven', reason: `encoding '${encoding.slice(0, 50)}'` }
    const flaw = findForeignFlaw(text)
    if (flaw !== undefined) return { publicKey: '', verdict: 'false', reason: flaw }
    const isTrue = (key: string) => verifyForeignOcmf(text, key, verifier).verdict === 'valid'
    const trusted = this.#trustedKeys({ stationId, meter, ...(connectorId === undefined ? {} : { connectorId }) })
    const fitting = trusted.find(isTrue)
    if (fitting !== undefined) {
      const other = told !== undefined && toHex(told) !== fitting
      const reason = other ? 'it came with another key than the trusted one, which fits' : ''
      return { publicKey: fitting, verdict: 'valid', reason }
    }
    const [expected] = trusted
    if (expected !== undefined) return { publicKey: expected, verdict: 'false', reason: 'the trusted key does not fit' }
    return this.#judgeFirst({ stationId, meter, frame }, text, told)
  }

  // Whatever key a meter comes with first is trusted from then on, if it fits.
  #judgeFirst(
    { stationId, meter, frame }: Pick<StoredSignedValue, 'stationId' | 'meter' | 'frame'>,
    text: string,
    told: string | undefined,
  ): Judged {
    const { store, log, verifier } = this.#parts
    const known = listMeterKeys(store, stationId)
    if (told === undefined) {
      // A meter that nobody has heard of, without a key: it may be one of the known ones under a changed name.
      if (known.length > 0)
        return { publicKey: '', verdict: 'false', reason: 'no key that is known of this station fits' }
      return { publicKey: '', verdict: 'unproven', reason: 'no key is known for this meter' }
    }
    const result = verifyForeignOcmf(text, told, verifier)
    const publicKey = toHex(told) ?? ''
    if (result.verdict === 'invalid') return { publicKey, verdict: 'false', reason: result.reason }
    keepMeterKey(store, { stationId, meter, publicKey, frame })
    const fields = { station: stationId, meter, publicKey }
    store.onCommit(() => log.info('session.meter-key.met', fields))
    return { publicKey, verdict: 'valid', reason: 'its key is trusted on first use' }
  }

  #trustedKeys({ stationId, connectorId, meter }: Pick<StoredSignedValue, 'stationId' | 'connectorId' | 'meter'>) {
    const { config, store } = this.#parts
    const configured = configuredKeys(config, stationId, connectorId)
    const met = findMeterKey(store, stationId, meter)
    return configured.length > 0 || met === undefined ? configured : [met]
  }
}

type Judged = { readonly publicKey: string; readonly verdict: SignedValueVerdict; readonly reason: string }

function toHex(key: string | undefined): string | undefined {
  const bytes = key === undefined ? undefined : readPublicKey(key)
  return bytes === undefined ? undefined : toUpperHex(bytes)
}

// A message that does not say where it happened may be of any of the station's meters.
function configuredKeys(
  config: Pick<GatewayConfig, 'ocpp'>,
  stationId: string,
  connectorId: number | undefined,
): readonly string[] {
  const connectors = config.ocpp?.stations.find(({ id }) => id === stationId)?.connectors ?? []
  const places = connectorId === undefined ? [-1, ...connectors.map(({ id }) => id)] : [connectorId]
  const keys = places.map((id) => toHex(termsOf(config, { stationId, connectorId: id }).meterKey))
  return [...new Set(keys)].filter((key) => key !== undefined)
}

// OCPP 1.6 and MeterValues of 2.x say it at the top, TransactionEvent of 2.x one level down.
function placeIn(payload: Readonly<Record<string, unknown>>): { connectorId?: number; transactionId?: string } {
  const connectorId = payload['connectorId'] ?? payload['evseId'] ?? fieldOf(payload['evse'], 'id')
  const transactionId = payload['transactionId'] ?? fieldOf(payload['transactionInfo'], 'transactionId')
  const isId = typeof transactionId === 'string' || typeof transactionId === 'number'
  return {
    ...(typeof connectorId === 'number' && connectorId >= 0 ? { connectorId } : {}),
    ...(isId ? { transactionId: String(transactionId) } : {}),
  }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

/** A sink before which the signed values of each message are taken. */
export function takingSignedValues(sink: TransactionSink, values: Pick<SignedValues, 'take'>): TransactionSink {
  return {
    start: (message) => sink.start(message),
    stop: (message) => {
      values.take(message)
      return sink.stop(message)
    },
    meterValues: (message) => {
      values.take(message)
      sink.meterValues(message)
    },
    event: (message) => {
      values.take(message)
      return sink.event(message)
    },
    status: (message) => sink.status?.(message),
  }
}
