import { type ErrorCode, WattError } from '@wattline/protocol'

/** The first thing that is wrong with a proof ends the check: what comes after it rests on it. */
export class Fault extends Error {
  readonly subject: string
  readonly code: ErrorCode
  constructor(subject: string, code: ErrorCode, message: string) {
    super(message)
    this.subject = subject
    this.code = code
  }
}

/** Does a step of a check; whatever is refused there is this subject's fault. */
export function attempt<T>(subject: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof WattError) throw new Fault(subject, error.code, error.message)
    throw error
  }
}
