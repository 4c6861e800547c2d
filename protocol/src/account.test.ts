import test from 'ava'
import fc from 'fast-check'
import { addr } from 'micro-eth-signer'
import { addressOf, addressOfSpki, isAccount, isAddress, parseAddress } from './account.ts'
import { formatPublicKey, makeSigner } from './attestation.ts'

// EIP-55, "Test Cases".
const published = [
  '0x52908400098527886E0F7030069857D2E4169EE7',
  '0x8617E340B3D01FA5F11F306F4090FD50E238070D',
  '0xde709f2102306220921060314715629080e2fb77',
  '0x27b1fdb04752bbc536007a920d24acb045561c26',
  '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed',
  '0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359',
  '0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB',
  '0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb',
]

test('SPEC-150: the published addresses of EIP-55 are spelled so, and in no other way', (t) => {
  for (const address of published) {
    t.is(String(parseAddress(address)), address)
    for (const other of [address.toLowerCase(), `0x${address.slice(2).toUpperCase()}`]) {
      if (other === address) continue
      t.false(isAddress(other))
      t.false(isAccount(other), 'a second spelling would be a second account')
      t.throws(() => parseAddress(other), { code: 'account/invalid', message: /EIP-55/ })
    }
  }
})

test('SPEC-150: an address is what another library makes of the same key', (t) => {
  const secret = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .filter((bytes) => bytes[0] !== 0xff && bytes.some((b) => b > 0))
  fc.assert(
    fc.property(secret, (bytes) => {
      const { publicKey } = makeSigner(bytes)
      t.is(String(addressOf(publicKey)), addr.fromPrivateKey(bytes))
      t.is(addressOfSpki(formatPublicKey(publicKey)), addressOf(publicKey))
    }),
    { numRuns: 10 },
  )
})

test('SPEC-150: a name is no account where it could be taken for an address or does not fit a record', (t) => {
  for (const name of ['ada', 'Café 7', 'driver-12', '52908400098527886E0F7030069857D2E4169EE7'])
    t.is(isAccount(name), name !== 'Café 7')
  for (const name of ['', '0x', '0xada', ' 0X12', 'a|b', 'a"b', 'x'.repeat(65)]) t.false(isAccount(name), name)
  for (const bad of ['', 'ada', '0x12', `${published[0]}0`])
    t.throws(() => parseAddress(bad), { code: 'account/invalid' })
})
