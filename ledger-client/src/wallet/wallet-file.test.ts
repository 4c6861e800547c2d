import { scrypt } from '@noble/hashes/scrypt.js'
import { keccak_256 } from '@noble/hashes/sha3.js'
import test from 'ava'
import fc from 'fast-check'
import {
  hardhatAccounts,
  hardhatKey,
  hardhatMnemonic,
  keystoreKey,
  keystores,
  shortKeystore,
  shortKeystoreKey,
} from '../../test/bip39-vectors.ts'
import { openAccount, type WalletSecret } from './accounts.ts'
import { readKeystore, writeKeystore } from './keystore.ts'
import { addressInFile, openWallet, sealWallet } from './wallet-file.ts'

const words: WalletSecret = { kind: 'mnemonic', mnemonic: hardhatMnemonic, passphrase: 'second' }
const imported: WalletSecret = { kind: 'key', secretKey: Uint8Array.from(Buffer.from(hardhatKey, 'hex')) }
const cheap = 10
const password = 'correct horse'
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test('a wallet file opens with its password and with no other, and tells its address without', (t) => {
  for (const secret of [words, imported]) {
    const text = sealWallet(secret, password, cheap)
    t.deepEqual(openWallet(text, password, 'file'), secret)
    t.is(addressInFile(text, 'file'), openAccount(secret, 0).address)
    for (const wrong of ['', 'correct hors', 'Correct horse', `${password} `]) {
      t.throws(() => openWallet(text, wrong, 'file'), { code: 'wallet/password' })
    }
    t.false(text.includes('junk') || text.includes(hardhatKey))
  }
  t.is(addressInFile(sealWallet(imported, password, cheap), 'file'), hardhatAccounts[0] as never)
})

test('the same wallet sealed twice shares no byte that an attacker could use', (t) => {
  const [a, b] = [sealWallet(imported, password, cheap), sealWallet(imported, password, cheap)].map((text) =>
    JSON.parse(text),
  )
  t.not(a.kdf.salt, b.kdf.salt)
  t.not(a.cipher.iv, b.cipher.iv)
  t.not(a.sealed.slice(0, 32), b.sealed.slice(0, 32))
})

test('a password in another spelling of Unicode is the same; a short one is refused', (t) => {
  const text = sealWallet(imported, 'Schlüssel zum Glück'.normalize('NFD'), cheap)
  t.deepEqual(openWallet(text, 'Schlüssel zum Glück'.normalize('NFC'), 'file'), imported)
  t.throws(() => sealWallet(words, 'short', cheap), { code: 'wallet/password', message: /at least 8/ })
})

test('a file that would take more than half a gigabyte to open is refused before anything is taken', (t) => {
  const text = sealWallet(words, password, cheap)
  for (const cost of ['20', '1e9', '19.5', '-1']) {
    const heavy = text.replace('"cost": 10', `"cost": ${cost}`)
    t.throws(() => openWallet(heavy, password, 'file'), { code: 'wallet/invalid', message: /kdf\.cost/ }, cost)
  }
  const keystore = JSON.parse(writeKeystore(Buffer.from(hardhatKey, 'hex'), password, 2)) as {
    crypto: { kdfparams: object }
  }
  for (const heavy of [{ n: 2 ** 20, r: 8 }, { n: 2 ** 30 }, { r: 1000 }, { p: 2 ** 20 }]) {
    const crypto = { ...keystore.crypto, kdfparams: { ...keystore.crypto.kdfparams, ...heavy } }
    t.throws(() => readKeystore(JSON.stringify({ ...keystore, crypto }), password, 'file'), { code: 'wallet/invalid' })
  }
})

test('a wallet file altered in any character does not open', (t) => {
  const text = sealWallet(words, password, cheap)
  const compact = JSON.stringify(JSON.parse(text))
  const letter = fc.constantFrom(...'0123456789abcdefXz"}'.split(''))
  fc.assert(
    fc.property(fc.nat(compact.length - 1), letter, (at, other) => {
      // A cost that an attacker raises would only take longer.
      fc.pre(
        compact[at] !== other &&
          !compact.slice(0, at).endsWith('"cost":') &&
          !compact.slice(0, at).endsWith('"cost":1'),
      )
      const error = t.throws(() => openWallet(compact.slice(0, at) + other + compact.slice(at + 1), password, 'file'))
      t.regex(String(Reflect.get(error, 'code')), /^wallet\/(password|invalid)$/)
    }),
    { numRuns: 60 },
  )
})

test('the published keystores open with their password, and with no other', (t) => {
  t.is(hex(readKeystore(JSON.stringify(keystores.pbkdf2), 'testpassword', 'file')), keystoreKey)
  t.is(hex(readKeystore(JSON.stringify(shortKeystore), 'foo', 'file')), shortKeystoreKey)
  t.throws(() => readKeystore(JSON.stringify(shortKeystore), 'Foo', 'file'), { code: 'wallet/password' })
  t.throws(() => readKeystore(JSON.stringify(keystores.pbkdf2), 'testpassworD', 'file'), { code: 'wallet/password' })
})

test('a keystore whose rounds OpenSSL does not take opens all the same', (t) => {
  // As the published vector with scrypt has them (2^18 rounds of 128 bytes, 8 times: long), with fewer.
  const kdfparams = { dklen: 32, n: 2 ** 16, r: 1, p: 1, salt: keystores.scrypt.crypto.kdfparams.salt }
  const derived = Buffer.from(scrypt('foo', Buffer.from(kdfparams.salt, 'hex'), { N: 2 ** 16, r: 1, p: 1, dkLen: 32 }))
  const ciphertext = Buffer.from(keystores.scrypt.crypto.ciphertext, 'hex')
  const mac = Buffer.from(keccak_256(Buffer.concat([derived.subarray(16), ciphertext]))).toString('hex')
  const text = JSON.stringify({ ...keystores.scrypt, crypto: { ...keystores.scrypt.crypto, kdfparams, mac } })
  // The password is right, and what comes out is another key than the address says.
  t.throws(() => readKeystore(text, 'foo', 'file'), { code: 'wallet/invalid', message: /altered/ })
  t.throws(() => readKeystore(text, 'bar', 'file'), { code: 'wallet/password' })
})

test('an exported keystore opens with its password only; an altered vector gives no other key in silence', (t) => {
  const secretKey = Uint8Array.from(Buffer.from(hardhatKey, 'hex'))
  const text = writeKeystore(secretKey, password, 1024)
  t.is(hex(readKeystore(text, password, 'file')), hardhatKey)
  t.throws(() => readKeystore(text, 'wrong horse', 'file'), { code: 'wallet/password' })
  const content = JSON.parse(text)
  const { iv } = content.crypto.cipherparams
  content.crypto.cipherparams.iv = (iv[0] === '0' ? '1' : '0') + iv.slice(1)
  t.throws(() => readKeystore(JSON.stringify(content), password, 'file'), {
    code: 'wallet/invalid',
    message: /altered/,
  })
})

test('a keystore that would take all memory, or says not whose it is, is refused before anything is derived', (t) => {
  const { scrypt } = keystores
  const with_ = (crypto: object) => JSON.stringify({ ...scrypt, crypto: { ...scrypt.crypto, ...crypto } })
  const kdfparams = { ...scrypt.crypto.kdfparams, n: 2 ** 20, r: 32 }
  for (const text of [
    with_({ kdfparams }),
    with_({ kdfparams: { ...scrypt.crypto.kdfparams, n: 1000 } }),
    with_({ cipher: 'aes-128-cbc' }),
    JSON.stringify({ ...scrypt, address: undefined }),
    JSON.stringify({ ...scrypt, version: 1 }),
    'no json',
  ]) {
    t.throws(() => readKeystore(text, 'testpassword', 'file'), { code: 'wallet/invalid' })
  }
})
