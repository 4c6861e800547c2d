import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'
import { WattError } from './errors.ts'

/** ASCII text to bytes. Everything that is signed here is ASCII, so one character is one byte. */
export function asciiToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) throw new WattError('record/malformed', `character ${i} is not ASCII: U+${code.toString(16)}`)
    bytes[i] = code
  }
  return bytes
}

/** Bytes to ASCII text, or undefined where a byte is not ASCII. */
export function bytesToAscii(bytes: Uint8Array): string | undefined {
  let text = ''
  for (const byte of bytes) {
    if (byte > 0x7f) return undefined
    text += String.fromCharCode(byte)
  }
  return text
}

/** Upper-case hex, as OCMF writes signatures and keys. */
export function toUpperHex(bytes: Uint8Array): string {
  return bytesToHex(bytes).toUpperCase()
}

/** Hex in either case to bytes, or undefined where it is not hex. */
export function fromHex(text: string): Uint8Array | undefined {
  return text.length % 2 === 0 && /^[0-9A-Fa-f]*$/.test(text) ? hexToBytes(text) : undefined
}

/** SHA-256 of ASCII text in lower-case hex: how payloads and certificates are named. */
export function hashText(text: string): string {
  return bytesToHex(sha256(asciiToBytes(text)))
}

/** Whether two byte strings are the same. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}

const base64Letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/** Base64 (RFC 4648 §4), with or without its padding, to bytes, or undefined where it is not base64. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  const letters = text.replace(/=+$/, '')
  if (letters.length % 4 === 1) return undefined
  const bytes = new Uint8Array(Math.floor((letters.length * 3) / 4))
  let [bits, held, at] = [0, 0, 0]
  for (const letter of letters) {
    held = ((held << 6) | base64Letters.indexOf(letter)) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    bytes[at++] = (held >> bits) & 0xff
  }
  return bytes
}
