/**
 * Every code a part of Wattline can answer with. Codes are public API: they appear in logs, quarantines,
 * receipts and exit messages, and never change their meaning.
 */
export const errorCodes = [
  'broker/unreachable',
  'bus/closed',
  'bus/exception',
  'bus/frame',
  'bus/timeout',
  'certificate/invalid',
  'certificate/outdated',
  'chain/broken',
  'chain/duplicate',
  'chain/foreign',
  'chain/inserted',
  'chain/missing',
  'chain/reordered',
  'claim/over-limit',
  'config/invalid',
  'config/unreadable',
  'control/unreachable',
  'driver/refused',
  'drivers/invalid',
  'evm/refused',
  'evm/unreachable',
  'frame/unknown-template',
  'frame/unreadable',
  'journal/broken',
  'journal/unbalanced',
  'key/exists',
  'key/mismatch',
  'key/unreadable',
  'message/invalid',
  'message/oversized',
  'message/unreadable',
  'order/invalid',
  'order/passed',
  'order/pending',
  'order/unsigned',
  'order/wrong-key',
  'place/reserved',
  'point/closed-enrolment',
  'point/frozen',
  'point/revoked',
  'point/unknown',
  'port/missing',
  'port/occupied',
  'profile/invalid',
  'profile/unknown',
  'reading/not-implemented',
  'reading/out-of-range',
  'reading/short',
  'receipt/invalid',
  'record/bad-signature',
  'record/epoch-closed',
  'record/equivocation',
  'record/malformed',
  'record/wrong-key',
  'register/decreased',
  'session/feeder-differs',
  'session/unknown',
  'site/disobeyed',
  'site/unmeasured',
  'station/offline',
  'station/refused',
  'station/silent',
  'station/unknown',
  'storage/corrupt',
  'storage/full',
  'storage/locked',
  'storage/newer',
  'upstream/silent',
  'upstream/unreachable',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** The one error class: a stable code, whether trying again can help, and the cause. */
export class WattError extends Error {
  override readonly name = 'WattError'
  readonly code: ErrorCode
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
  }
}
