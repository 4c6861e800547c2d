import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto'
import { decodeWith, fromHex, integerBetween, isAddress, WattError } from '@wattline/protocol'
import * as v from 'valibot'
import { openAccount, type WalletSecret } from './accounts.ts'

// A wallet's file. Ethereum's keystore (version 3, see keystore.ts) holds one key, and its checksum leaves out the
// initialisation vector and the parameters; words are kept here under AES-256-GCM, which covers every byte of the file.

/** scrypt with 2^17 rounds of 1 KiB: 128 MiB and about half a second for each guess of a password. */
const defaultCost = 17
/** Shorter ones are refused when a file is made. */
export const shortestPassword = 8

const hexBytes = (length: number) =>
  v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${2 * length}}$`), `expected ${length} bytes in lower-case hex`))

const headShape = {
  format: v.literal('wattline-wallet'),
  version: v.literal(1),
  /** Account 0, to be told without the password. */
  address: v.pipe(v.string(), v.check(isAddress, 'expected an address')),
  kdf: v.strictObject({
    name: v.literal('scrypt'),
    /** log2 of the rounds; r is 8, p is 1. Opening a file takes half a gigabyte at most. */
    cost: integerBetween(10, 19),
    salt: hexBytes(16),
  }),
  cipher: v.strictObject({ name: v.literal('aes-256-gcm'), iv: hexBytes(12) }),
}
const fileShape = v.strictObject({
  ...headShape,
  /** The cipher text and its tag of 16 bytes. */
  sealed: v.pipe(v.string(), v.regex(/^([0-9a-f]{2}){17,1024}$/, 'expected bytes in lower-case hex')),
})
type Head = Omit<v.InferOutput<typeof fileShape>, 'sealed'>

const secretShape = v.variant('kind', [
  v.strictObject({ kind: v.literal('mnemonic'), mnemonic: v.string(), passphrase: v.string() }),
  v.strictObject({ kind: v.literal('key'), secretKey: hexBytes(32) }),
])

/** Seals a wallet with a password. `cost` is for tests. */
export function sealWallet(secret: WalletSecret, password: string, cost = defaultCost): string {
  if (password.length < shortestPassword) {
    throw new WattError('wallet/password', `at least ${shortestPassword} characters expected, got ${password.length}`)
  }
  const head: Head = {
    format: 'wattline-wallet',
    version: 1,
    address: openAccount(secret, 0).address,
    kdf: { name: 'scrypt', cost, salt: randomBytes(16).toString('hex') },
    cipher: { name: 'aes-256-gcm', iv: randomBytes(12).toString('hex') },
  }
  const content =
    secret.kind === 'mnemonic'
      ? secret
      : { kind: secret.kind, secretKey: Buffer.from(secret.secretKey).toString('hex') }
  const cipher = createCipheriv('aes-256-gcm', keyFor(head, password), Buffer.from(head.cipher.iv, 'hex'))
  cipher.setAAD(toAad(head))
  const sealed = Buffer.concat([cipher.update(JSON.stringify(content)), cipher.final(), cipher.getAuthTag()])
  return `${JSON.stringify({ ...head, sealed: sealed.toString('hex') }, null, 2)}\n`
}

/** Whether a text is a wallet of ours, whatever is wrong with it. */
export function isWalletFile(text: string): boolean {
  return text.includes('"wattline-wallet"')
}

/** Account 0 of a wallet, without its password. */
export function addressInFile(text: string, source: string): string {
  return decodeFile(text, source).address
}

/** Opens a wallet with its password. */
export function openWallet(text: string, password: string, source: string): WalletSecret {
  const { sealed: hex, ...head } = decodeFile(text, source)
  const sealed = Buffer.from(hex, 'hex')
  const decipher = createDecipheriv('aes-256-gcm', keyFor(head, password), Buffer.from(head.cipher.iv, 'hex'), {
    authTagLength: 16,
  })
  decipher.setAAD(toAad(head))
  decipher.setAuthTag(sealed.subarray(-16))
  let content: string
  try {
    content = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]).toString('utf8')
  } catch (cause) {
    // One answer for both: nothing in the file tells them apart.
    throw new WattError('wallet/password', `${source}: does not open: wrong password, or the file was altered`, {
      cause,
    })
  }
  const secret = decodeWith(secretShape, JSON.parse(content), source, 'wallet/invalid')
  return secret.kind === 'mnemonic' ? secret : { kind: 'key', secretKey: fromHex(secret.secretKey) ?? new Uint8Array() }
}

function decodeFile(text: string, source: string): v.InferOutput<typeof fileShape> {
  let content: unknown
  try {
    content = JSON.parse(text)
  } catch (cause) {
    throw new WattError('wallet/invalid', `${source}: no JSON`, { cause })
  }
  return decodeWith(fileShape, content, source, 'wallet/invalid')
}

// The same password in another spelling of Unicode is the same password.
function keyFor({ kdf }: Head, password: string): Buffer {
  const rounds = 2 ** kdf.cost
  const memory = 128 * 8 * rounds
  const salt = Buffer.from(kdf.salt, 'hex')
  return scryptSync(password.normalize('NFKC'), salt, 32, { N: rounds, r: 8, p: 1, maxmem: 2 * memory })
}

function toAad({ format, version, address, kdf, cipher }: Head): Buffer {
  const { name, cost, salt } = kdf
  return Buffer.from(JSON.stringify([format, version, address, name, cost, salt, cipher.name, cipher.iv]))
}
