import { existsSync, readFileSync } from 'node:fs'
import { type Address, isAddress, WattError } from '@wattline/protocol'
import { readSecretFile, writeSecretFile } from '../secret-file.ts'
import { type Account, openAccount, openAccounts, type WalletSecret } from './accounts.ts'
import { readKeystore, writeKeystore } from './keystore.ts'
import { type MnemonicLength, makeMnemonic, readMnemonic } from './mnemonic.ts'
import { readNewSecret, readSecret } from './secret-input.ts'
import { addressInFile, isWalletFile, openWallet, sealWallet } from './wallet-file.ts'

/** Where a wallet is and where its password comes from; a person is asked where no file is named. */
export interface WalletPlace {
  readonly wallet: string
  readonly passwordFile?: string
}

/** Makes a new wallet and gives its words, which are kept nowhere in clear. */
export async function createWallet(
  place: WalletPlace,
  length: MnemonicLength,
  wordsFile?: string,
): Promise<{ address: Address; words?: string }> {
  checkPlaceForWords(wordsFile)
  const mnemonic = makeMnemonic(length)
  const address = await save(place, { kind: 'mnemonic', mnemonic, passphrase: '' }, () => {
    // Before the wallet: a wallet whose words nobody has is worse than words without a wallet.
    if (wordsFile !== undefined) writeNew(wordsFile, `${mnemonic}\n`)
  })
  return wordsFile === undefined ? { address, words: mnemonic } : { address }
}

/** The words of a wallet again: given for the terminal, or written into a new file. */
export async function readWords(place: WalletPlace, wordsFile?: string): Promise<string | undefined> {
  checkPlaceForWords(wordsFile)
  const secret = await open(place)
  if (secret.kind === 'key') throw new WattError('wallet/mnemonic', `${place.wallet}: holds an imported key, no words`)
  if (wordsFile === undefined) return secret.mnemonic
  writeNew(wordsFile, `${secret.mnemonic}\n`)
  return undefined
}

function checkPlaceForWords(wordsFile: string | undefined): void {
  if (wordsFile !== undefined || process.stdout.isTTY) return
  throw new WattError(
    'wallet/mnemonic',
    'no terminal to show the words at: --words-file expected, or they end in a log',
  )
}

/** Makes a wallet from the words of another. */
export async function recoverWallet(
  place: WalletPlace,
  { wordsFile, passphraseFile }: { readonly wordsFile?: string; readonly passphraseFile?: string },
): Promise<Address> {
  const text =
    wordsFile === undefined
      ? await readSecret('words', undefined, '--words-file')
      : readSecretFile(wordsFile, 'wallet/mnemonic')
  const mnemonic = readMnemonic(text)
  const passphrase = passphraseFile === undefined ? '' : await readSecret('passphrase', passphraseFile, '')
  return save(place, { kind: 'mnemonic', mnemonic, passphrase })
}

/** Makes a wallet from a file: a keystore of Ethereum, or another wallet of ours. */
export async function importWallet(place: WalletPlace, from: string, fromPasswordFile?: string): Promise<Address> {
  const text = readText(from)
  const password = await readSecret(`password of ${from}`, fromPasswordFile, '--from-password-file')
  const secret: WalletSecret = isWalletFile(text)
    ? openWallet(text, password, from)
    : { kind: 'key', secretKey: readKeystore(text, password, from) }
  return save(place, secret)
}

/** Writes one account as a keystore of Ethereum, with a password of its own. */
export async function exportAccount(
  place: WalletPlace,
  { number, to, newPasswordFile }: { readonly number: number; readonly to: string; readonly newPasswordFile?: string },
): Promise<Address> {
  if (existsSync(to)) throw exists(to)
  const { address, secretKey } = openAccount(await open(place), number)
  const password = await readNewSecret(`new password of ${to}`, newPasswordFile, '--new-password-file')
  writeNew(to, writeKeystore(secretKey, password))
  return address
}

/** Opens one account for signing. */
export async function unlockAccount(place: WalletPlace, number: number): Promise<Account> {
  return openAccount(await open(place), number)
}

/** The addresses of the first accounts; the very first is told without the password. */
export async function listAddresses(place: WalletPlace, count: number): Promise<readonly Address[]> {
  if (count === 1) return [firstAddress(place.wallet)]
  return openAccounts(await open(place), [...Array(count).keys()]).map(({ address }) => address)
}

/** Account 0 of a wallet, as its file tells it. */
export function firstAddress(path: string): Address {
  const address = addressInFile(readText(path), path)
  if (isAddress(address)) return address
  throw new WattError('wallet/invalid', `${path}: tells no address`)
}

async function open({ wallet, passwordFile }: WalletPlace): Promise<WalletSecret> {
  const text = readText(wallet)
  return openWallet(text, await readSecret(`password of ${wallet}`, passwordFile, '--password-file'), wallet)
}

async function save({ wallet, passwordFile }: WalletPlace, secret: WalletSecret, before = () => {}): Promise<Address> {
  if (existsSync(wallet)) throw exists(wallet)
  const password = await readNewSecret(`new password of ${wallet}`, passwordFile, '--password-file')
  const sealed = sealWallet(secret, password)
  before()
  writeNew(wallet, sealed)
  return openAccount(secret, 0).address
}

function writeNew(path: string, text: string): void {
  if (existsSync(path)) throw exists(path)
  try {
    writeSecretFile(path, text)
  } catch (cause) {
    throw new WattError('wallet/invalid', `${path}: cannot be written`, { cause })
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new WattError('wallet/invalid', `${path}: cannot be read`, { cause })
  }
}

function exists(path: string): WattError {
  return new WattError('wallet/exists', `${path}: is there already, and is not replaced`)
}
