import { HDKey } from '@scure/bip32'
import { type Address, addressOf, makeSigner, type Signer, WattError } from '@wattline/protocol'
import { seedOf } from './mnemonic.ts'

/** What a wallet file keeps: words that all accounts come from, or one key that was imported. */
export type WalletSecret =
  | { readonly kind: 'mnemonic'; readonly mnemonic: string; readonly passphrase: string }
  | { readonly kind: 'key'; readonly secretKey: Uint8Array }

/** One account of a wallet. */
export interface Account {
  readonly address: Address
  readonly secretKey: Uint8Array
  readonly signer: Signer
}

/** The highest account that is asked for: BIP-32 has more, people have not. */
export const lastAccount = 9999

/** Accounts by their numbers, as every Ethereum wallet counts them: BIP-44, `m/44'/60'/0'/0/<number>`. */
export function openAccounts(secret: WalletSecret, numbers: readonly number[]): readonly Account[] {
  return keysOf(secret, numbers).map((secretKey) => {
    const signer = makeSigner(secretKey)
    return { address: addressOf(signer.publicKey), secretKey, signer }
  })
}

/** One account by its number. */
export function openAccount(secret: WalletSecret, number: number): Account {
  const [account] = openAccounts(secret, [number])
  if (account === undefined) throw new WattError('wallet/invalid', `account ${number}: there is none`)
  return account
}

function keysOf(secret: WalletSecret, numbers: readonly number[]): readonly Uint8Array[] {
  if (secret.kind === 'key') {
    const other = numbers.find((number) => number !== 0)
    if (other === undefined) return numbers.map(() => secret.secretKey)
    throw new WattError('wallet/invalid', `account ${other}: an imported key is account 0 and no other`)
  }
  const parent = HDKey.fromMasterSeed(seedOf(secret.mnemonic, secret.passphrase)).derive("m/44'/60'/0'/0")
  return numbers.map((number) => {
    const { privateKey } = parent.deriveChild(number)
    if (privateKey === null) throw new WattError('wallet/invalid', `account ${number}: has no key`)
    return privateKey
  })
}
