import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { asciiToBytes } from '../bytes.ts'
import type { Timestamp } from '../clock.ts'
import { WattError } from '../errors.ts'

// OCPP 2.1 part 2, C25, and the component WebPaymentsCtrlr: digits, lower case, upper case, in this order.
const alphabet = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** Fewer characters could be guessed, and fewer than 16 of a secret are not allowed (OCPP 2.1, SharedSecret). */
export const oneTimeCodeLimits = { shortestSecret: 16, shortestCode: 8, longestCode: 32 } as const

/** What both sides know: printable ASCII without blanks, how long a code is valid, and how many characters it has. */
export interface OneTimeCodeKey {
  readonly secret: string
  readonly validitySeconds: number
  readonly length: number
}

/** The number of the interval that a moment lies in; one code belongs to it. */
export function oneTimeCodeSlot(at: Timestamp, { validitySeconds }: Pick<OneTimeCodeKey, 'validitySeconds'>): number {
  return Math.floor(at / (validitySeconds * 1000))
}

/** The code of one interval: HMAC-SHA256 of its number, read from an offset of its own as base62 (OCPP 2.1). */
export function makeOneTimeCode(key: OneTimeCodeKey, slot: number): string {
  checkKey(key)
  const counter = new Uint8Array(8)
  new DataView(counter.buffer).setBigUint64(0, BigInt(slot))
  const mac = hmac(sha256, asciiToBytes(key.secret), counter)
  // RFC 4226 §5.3 begins likewise at the last four bits. The remainder favours eight characters a little; this is
  // how the code is defined.
  const offset = (mac.at(-1) ?? 0) & 0x0f
  return Array.from({ length: key.length }, (_, i) => alphabet[(mac[(offset + i) % mac.length] ?? 0) % 62]).join('')
}

/**
 * The interval that a code belongs to, if that is the present one or one of `lateSlots` before: a driver types slowly.
 * Undefined for any other code. Takes the same time wherever they differ.
 */
export function findOneTimeCode(key: OneTimeCodeKey, code: string, at: Timestamp, lateSlots = 1): number | undefined {
  const now = oneTimeCodeSlot(at, key)
  let found: number | undefined
  for (let slot = now; slot >= Math.max(0, now - lateSlots); slot--) {
    if (sameText(makeOneTimeCode(key, slot), code)) found ??= slot
  }
  return found
}

/** Whether two texts are the same, in a time that does not tell where they differ. */
export function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

function checkKey({ secret, validitySeconds, length }: OneTimeCodeKey): void {
  const { shortestSecret, shortestCode, longestCode } = oneTimeCodeLimits
  const problems = [
    ...(secret.length < shortestSecret || !/^[\x21-\x7e]*$/.test(secret)
      ? [`secret: ${shortestSecret} or more printable ASCII characters expected`]
      : []),
    ...(Number.isInteger(validitySeconds) && validitySeconds > 0 ? [] : ['validity: whole seconds above 0 expected']),
    ...(Number.isInteger(length) && length >= shortestCode && length <= longestCode
      ? []
      : [`length: ${shortestCode} to ${longestCode} expected`]),
  ]
  if (problems.length > 0) throw new WattError('config/invalid', `one-time code: ${problems.join('; ')}`)
}
