import { HDKey } from '@scure/bip32'
import { entropyToMnemonic } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import test from 'ava'
import fc from 'fast-check'
import { addr } from 'micro-eth-signer'
import { bip32Vector, hardhatAccounts, hardhatKey, hardhatMnemonic, trezorVectors } from '../../test/bip39-vectors.ts'
import { openAccounts } from './accounts.ts'
import { makeMnemonic, mnemonicLengths, nearestWords, readMnemonic, seedOf } from './mnemonic.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

test("SPEC-150: Trezor's vectors of BIP-39 and the one of BIP-32 come out as they are published", (t) => {
  for (const [entropy, mnemonic, seed, master] of trezorVectors) {
    t.is(entropyToMnemonic(Buffer.from(entropy, 'hex'), wordlist), mnemonic)
    t.is(readMnemonic(mnemonic), mnemonic)
    const got = seedOf(mnemonic, 'TREZOR')
    t.is(hex(got), seed)
    t.is(HDKey.fromMasterSeed(got).privateExtendedKey, master)
  }
  const root = HDKey.fromMasterSeed(Buffer.from(bip32Vector.seed, 'hex'))
  t.is(root.derive(bip32Vector.path).privateExtendedKey, bip32Vector.key)
})

test('SPEC-150: recovered from the test mnemonic of Hardhat and anvil, the accounts are those they document', (t) => {
  const secret = { kind: 'mnemonic', mnemonic: readMnemonic(hardhatMnemonic), passphrase: '' } as const
  const accounts = openAccounts(
    secret,
    hardhatAccounts.map((_, i) => i),
  )
  t.deepEqual<string[], string[]>(
    accounts.map(({ address }) => address),
    [...hardhatAccounts],
  )
  t.is(hex(accounts[0]!.secretKey), hardhatKey)
  for (const { address, secretKey } of accounts) t.is(addr.fromPrivateKey(secretKey), String(address))
})

test('as people type: capitals, line breaks and blanks do not matter', (t) => {
  t.is(readMnemonic(`  ${hardhatMnemonic.toUpperCase().replaceAll(' ', '\n  ')}\n`), hardhatMnemonic)
})

test('a wrong word is named with its position and the nearest right words, and no other word is told', (t) => {
  const words = trezorVectors[3][1].split(' ')
  const typed = words.with(2, 'nroth').with(16, 'narro').with(9, 'xqzzk')
  const error = t.throws(() => readMnemonic(typed.join(' ')), { code: 'wallet/mnemonic' })
  const lines = error.message.split('\n')
  t.is(lines.length, 3)
  t.regex(lines[0]!, /^word 3, 'nroth', .*: north/)
  t.regex(lines[1]!, /^word 10, 'xqzzk', .*: nothing/)
  t.regex(lines[2]!, /^word 17, 'narro', .*: narrow/)
  for (const word of ['gravity', 'machine', 'system', 'ecology']) t.false(error.message.includes(word))
})

test('any one letter wrong: the right word is among the nearest, unless the slip made another word', (t) => {
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  fc.assert(
    fc.property(fc.constantFrom(...wordlist), fc.nat(), fc.nat(25), (word, place, letter) => {
      const at = place % word.length
      const slip = word.slice(0, at) + letters[letter] + word.slice(at + 1)
      fc.pre(!wordlist.includes(slip))
      t.true(nearestWords(slip, 12).includes(word), `${slip} for ${word}`)
    }),
    { numRuns: 30 },
  )
})

test('words that do not belong together are told as such, and so is a wrong number of them', (t) => {
  const swapped = trezorVectors[1][1].replace('letter advice', 'advice letter')
  t.throws(() => readMnemonic(swapped), { code: 'wallet/mnemonic', message: /checksum/ })
  t.throws(() => readMnemonic(hardhatMnemonic.replace(/ junk$/, '')), { code: 'wallet/mnemonic', message: /got 11/ })
  t.throws(() => readMnemonic(''), { code: 'wallet/mnemonic', message: /got 0/ })
})

test('a new mnemonic has the words that were asked for, reads back, and never comes twice', (t) => {
  for (const length of mnemonicLengths) {
    const mnemonic = makeMnemonic(length)
    t.is(mnemonic.split(' ').length, length)
    t.is(readMnemonic(mnemonic), mnemonic)
    t.not(makeMnemonic(length), mnemonic)
  }
})
