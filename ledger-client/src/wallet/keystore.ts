import {
  createCipheriv,
  createDecipheriv,
  pbkdf2Sync,
  randomBytes,
  randomUUID,
  scryptSync,
  timingSafeEqual,
} from 'node:crypto'
import { scrypt } from '@noble/hashes/scrypt.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import { addressOf, decodeWith, integerBetween, makeSigner, WattError } from '@wattline/protocol'
import * as v from 'valibot'

// Ethereum's keystore, version 3 ("Web3 Secret Storage Definition"): one key in a file that geth, MetaMask and the like
// open. Other makers add keys of their own, so unknown ones are passed over.

const hex = (length: number) =>
  v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-fA-F]{${2 * length}}$`), `expected ${length} bytes in hex`))
const salt = v.pipe(v.string(), v.regex(/^([0-9a-fA-F]{2}){8,64}$/, 'expected 8 to 64 bytes in hex'))
const powerOfTwo = v.check((n: number) => Number.isInteger(Math.log2(n)), 'expected a power of two')

const common = {
  cipher: v.literal('aes-128-ctr'),
  cipherparams: v.looseObject({ iv: hex(16) }),
  // Some programs leave out the zeros that a key begins with.
  ciphertext: v.pipe(v.string(), v.regex(/^([0-9a-fA-F]{2}){1,32}$/, 'expected 1 to 32 bytes in hex')),
  mac: hex(32),
}
// The bounds keep a file from taking more than half a gigabyte or minutes.
const cryptoShape = v.variant('kdf', [
  v.looseObject({
    ...common,
    kdf: v.literal('scrypt'),
    kdfparams: v.pipe(
      v.looseObject({
        n: v.pipe(integerBetween(2, 2 ** 20), powerOfTwo),
        r: integerBetween(1, 32),
        p: integerBetween(1, 16),
        dklen: v.literal(32),
        salt,
      }),
      v.check(({ n, r }) => 128 * n * r <= 2 ** 29, 'takes more than 512 MiB'),
    ),
  }),
  v.looseObject({
    ...common,
    kdf: v.literal('pbkdf2'),
    kdfparams: v.looseObject({
      c: integerBetween(1, 10_000_000),
      prf: v.literal('hmac-sha256'),
      dklen: v.literal(32),
      salt,
    }),
  }),
])
const shape = v.looseObject({
  version: v.literal(3),
  // The checksum does not cover the initialisation vector: without the address, another key would come out in silence.
  address: v.pipe(v.string(), v.regex(/^(0x)?[0-9a-fA-F]{40}$/, 'expected an address of 40 hex digits')),
  crypto: cryptoShape,
})
type Crypto = v.InferOutput<typeof cryptoShape>

/** Writes a key as a keystore; 2^17 rounds of scrypt by default, as most programs take. */
export function writeKeystore(secretKey: Uint8Array, password: string, n = 2 ** 17): string {
  const kdfparams = { n, r: 8, p: 1, dklen: 32 as const, salt: randomBytes(32).toString('hex') }
  const iv = randomBytes(16)
  const derived = deriveScrypt(kdfparams, password)
  const cipher = createCipheriv('aes-128-ctr', derived.subarray(0, 16), iv)
  const ciphertext = Buffer.concat([cipher.update(secretKey), cipher.final()])
  const crypto = {
    cipher: 'aes-128-ctr',
    cipherparams: { iv: iv.toString('hex') },
    ciphertext: ciphertext.toString('hex'),
    kdf: 'scrypt',
    kdfparams,
    mac: Buffer.from(macOf(derived, ciphertext)).toString('hex'),
  }
  const address = addressOf(makeSigner(secretKey).publicKey).slice(2).toLowerCase()
  return `${JSON.stringify({ version: 3, id: randomUUID(), address, crypto }, null, 2)}\n`
}

/** Opens a keystore with its password and gives the key. */
export function readKeystore(text: string, password: string, source: string): Uint8Array {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new WattError('wallet/invalid', `${source}: no JSON`, { cause })
  }
  const { address, crypto } = decodeWith(shape, content, source, 'wallet/invalid')
  const derived = derive(crypto, password)
  const ciphertext = Buffer.from(crypto.ciphertext, 'hex')
  if (!timingSafeEqual(macOf(derived, ciphertext), Buffer.from(crypto.mac, 'hex'))) {
    throw new WattError('wallet/password', `${source}: does not open: wrong password, or the file was altered`)
  }
  const decipher = createDecipheriv('aes-128-ctr', derived.subarray(0, 16), Buffer.from(crypto.cipherparams.iv, 'hex'))
  const digits = Buffer.concat([decipher.update(ciphertext), decipher.final()])
  const secretKey = new Uint8Array(32)
  secretKey.set(digits, 32 - digits.length)
  const got = addressOf(makeSigner(secretKey).publicKey)
  if (got.slice(2).toLowerCase() !== address.replace(/^0x/, '').toLowerCase()) {
    throw new WattError('wallet/invalid', `${source}: holds the key of ${got}, it says ${address}: altered`)
  }
  return secretKey
}

function derive({ kdf, kdfparams }: Crypto, password: string): Buffer {
  if (kdf === 'scrypt') return deriveScrypt(kdfparams, password)
  return pbkdf2Sync(password, Buffer.from(kdfparams.salt, 'hex'), kdfparams.c, 32, 'sha256')
}

function deriveScrypt({ n, r, p, salt }: { n: number; r: number; p: number; salt: string }, password: string): Buffer {
  const salted = Buffer.from(salt, 'hex')
  // RFC 7914 §2 wants n below 2^(16 r), and OpenSSL refuses others; some wallets, and the published vector, have them.
  if (n >= 2 ** (16 * r)) return Buffer.from(scrypt(password, salted, { N: n, r, p, dkLen: 32 }))
  return scryptSync(password, salted, 32, { N: n, r, p, maxmem: 256 * r * (n + p) })
}

function macOf(derived: Buffer, ciphertext: Buffer): Uint8Array {
  return keccak_256(Buffer.concat([derived.subarray(16, 32), ciphertext]))
}
