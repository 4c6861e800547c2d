import { generateMnemonic, mnemonicToEntropy, mnemonicToSeedSync } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { WattError } from '@wattline/protocol'

// BIP-39. Its words are what a person writes on paper, so what is wrong with them is told word by word.

/** The lengths that there are, in words. */
export const mnemonicLengths = [12, 15, 18, 21, 24] as const
export type MnemonicLength = (typeof mnemonicLengths)[number]

/** A mnemonic of fresh randomness. */
export function makeMnemonic(length: MnemonicLength): string {
  return generateMnemonic(wordlist, (length / 3) * 32)
}

/**
 * Reads a mnemonic as a person has typed it, and gives its one spelling. Throws `wallet/mnemonic` with every wrong word,
 * its position and the words that it may have been; no other word is told, as the message may be seen by others.
 */
export function readMnemonic(text: string): string {
  const words = text
    .normalize('NFKD')
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  const wrong = words.flatMap((word, i) => (wordlist.includes(word) ? [] : [describe(word, i + 1)]))
  if (wrong.length > 0) throw new WattError('wallet/mnemonic', wrong.join('\n'))
  if (!mnemonicLengths.some((length) => length === words.length)) {
    throw new WattError('wallet/mnemonic', `${mnemonicLengths.join(', ')} words expected, got ${words.length}`)
  }
  const mnemonic = words.join(' ')
  try {
    mnemonicToEntropy(mnemonic, wordlist)
  } catch (cause) {
    const message =
      'every word is in the list, but together they are no mnemonic (the checksum differs): ' +
      'one is another word of the list, or two have changed places'
    throw new WattError('wallet/mnemonic', message, { cause })
  }
  return mnemonic
}

/** The seed of a mnemonic that was read; the passphrase is BIP-39's, not that of a file. */
export function seedOf(mnemonic: string, passphrase: string): Uint8Array {
  return mnemonicToSeedSync(mnemonic, passphrase)
}

function describe(word: string, position: number): string {
  const nearest = nearestWords(word)
  const hint = nearest.length === 0 ? 'nothing in the list is near it' : `${nearest.join(', ')}?`
  return `word ${position}, '${word.slice(0, 20)}', is not in the list: ${hint}`
}

/** The words of the list that are nearest to a wrong one, best first: at most two letters apart, or begun alike. */
export function nearestWords(word: string, count = 3): readonly string[] {
  if (word.length > 20) return []
  return wordlist
    .map((known) => ({ known, apart: distance(word, known), alike: sameStart(word, known) }))
    .filter(({ apart, alike }) => apart <= 2 || alike >= 4)
    .toSorted((a, b) => a.apart - b.apart || b.alike - a.alike || (a.known < b.known ? -1 : 1))
    .slice(0, count)
    .map(({ known }) => known)
}

// BIP-39: the first four letters identify a word.
function sameStart(a: string, b: string): number {
  const at = [...a].findIndex((letter, i) => letter !== b[i])
  return at === -1 ? a.length : at
}

// Letters to add, leave out, change or swap with their neighbour (optimal string alignment).
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swap = swapped ? (before[j - 2] ?? 0) + 1 : change
      row.push(Math.min(change, swap, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}
