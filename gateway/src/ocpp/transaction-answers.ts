import type { OcppVersion, TransactionAction } from '@wattline/protocol'
import type { IdTokenVerdict, OcppPayload, TransactionMessage, TransactionSink } from './transaction-sink.ts'

/** Hands a message to the sink, and puts what it says into OCPP's words. */
export function answerTransaction(
  sink: TransactionSink,
  action: TransactionAction,
  message: TransactionMessage,
): OcppPayload {
  switch (action) {
    case 'StartTransaction': {
      const { transactionId, verdict } = sink.start(message)
      return { transactionId, idTagInfo: toIdTagInfo(verdict) }
    }
    case 'StopTransaction': {
      const { verdict } = sink.stop(message)
      return verdict === undefined ? {} : { idTagInfo: toIdTagInfo(verdict) }
    }
    case 'TransactionEvent': {
      const { verdict } = sink.event(message)
      return verdict === undefined ? {} : { idTokenInfo: toIdTokenInfo(verdict) }
    }
    case 'MeterValues':
      sink.meterValues(message)
      return {}
  }
}

/**
 * The answer to what is put aside: it tells the station that the message has arrived, and nothing else. A start that
 * cannot be read must not charge.
 */
export function answerUnread(version: OcppVersion, action: TransactionAction, frame: number): OcppPayload {
  if (action !== 'StartTransaction' || version !== 'ocpp1.6') return {}
  return { transactionId: frame, idTagInfo: { status: 'Invalid' } }
}

/** OCPP 1.6 IdTagInfo. */
export function toIdTagInfo({ status, expiryDate, groupIdToken }: IdTokenVerdict): OcppPayload {
  return {
    status,
    ...(expiryDate === undefined ? {} : { expiryDate }),
    ...(groupIdToken === undefined ? {} : { parentIdTag: groupIdToken }),
  }
}

/** OCPP 2.x IdTokenInfoType. Groups are named here, hence `Central`: stations compare type and text. */
export function toIdTokenInfo({ status, expiryDate, groupIdToken }: IdTokenVerdict): OcppPayload {
  return {
    status,
    ...(expiryDate === undefined ? {} : { cacheExpiryDateTime: expiryDate }),
    ...(groupIdToken === undefined ? {} : { groupIdToken: { idToken: groupIdToken, type: 'Central' } }),
  }
}
