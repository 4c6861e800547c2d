import { randomInt } from 'node:crypto'

const letters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const length = 32

/** A secret for one-time codes: 190 bits, and letters that every terminal and page can carry. */
export function makeSecret(): string {
  return Array.from({ length }, () => letters[randomInt(letters.length)]).join('')
}
