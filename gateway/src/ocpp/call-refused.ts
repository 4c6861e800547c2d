/** The words of OCPP-J for a CALLERROR that we send. */
export type RefusalCode =
  | 'NotImplemented'
  | 'NotSupported'
  | 'InternalError'
  | 'GenericError'
  | 'SecurityError'
  | 'FormationViolation'
  | 'FormatViolation'

/** A request that is answered with a CALLERROR. */
export class CallRefused extends Error {
  override readonly name = 'CallRefused'
  readonly code: RefusalCode

  constructor(code: RefusalCode, reason: string) {
    // OCPP-J: the description has at most 255 characters.
    super(reason.slice(0, 255))
    this.code = code
  }
}
