import { WattError } from '@wattline/protocol'

// Modbus V1.1b3 §7.
const exceptionNames: Readonly<Record<number, string>> = {
  1: 'illegal function',
  2: 'illegal data address',
  3: 'illegal data value',
  4: 'server device failure',
  5: 'acknowledge',
  6: 'server device busy',
  8: 'memory parity error',
  10: 'gateway path unavailable',
  11: 'gateway target device failed to respond',
}

/** Asking again cannot help: the server does not know the function, the address or the length. */
const refusals: readonly number[] = [1, 2, 3]
/** The server does not have as many registers there, or does not send as many at once. */
const lengthRefusals: readonly number[] = [2, 3]
const targetSilent = 11

/** Translates what modbus-serial rejects a read with. */
export function toBusError(error: unknown, where: string): WattError {
  const code = readExceptionCode(error)
  if (code === undefined) {
    const reason = error instanceof Error ? error.message : String(error)
    return new WattError('bus/frame', `${where}: ${reason}`, { retryable: true, cause: error })
  }
  const name = exceptionNames[code] ?? 'not in the standard'
  return new WattError('bus/exception', `${where}: exception ${code} (${name})`, {
    retryable: !refusals.includes(code),
    cause: error,
  })
}

/** Whether the server refused a read that fewer registers might satisfy. */
export function isLengthRefusal(error: WattError): boolean {
  return lengthRefusals.includes(readExceptionCode(error.cause) ?? 0)
}

/** Whether the device itself did not answer, told by time or by a gateway in between. */
export function isSilence(error: WattError): boolean {
  return isGivenUp(error) || readExceptionCode(error.cause) === targetSilent
}

/** Whether a request ended without its answer, which may therefore still come. */
export function isGivenUp(error: WattError): boolean {
  return error.code === 'bus/timeout' || error.code === 'bus/frame'
}

function readExceptionCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('modbusCode' in error)) return undefined
  return typeof error.modbusCode === 'number' ? error.modbusCode : undefined
}
