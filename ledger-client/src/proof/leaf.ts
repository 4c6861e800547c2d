import { asciiToBytes, fromHex, hashLeaf, type MerkleHash, WattError } from '@wattline/protocol'

// SPEC-97: what a leaf is made of. Runs in a browser too.

/** What a record's leaf is the hash of: the point it is kept under, and the signed text as a whole. */
export function recordLeafContent(point: string, text: string): string {
  return `${point}\n${text}`
}

/** The leaf of a record. */
export function recordLeaf(point: string, text: string): MerkleHash {
  return hashLeaf(asciiToBytes(recordLeafContent(point, text)))
}

/** The leaf of a journal entry: of the entry's hash, which names all entries before it. */
export function entryLeaf(hash: string): MerkleHash {
  const bytes = fromHex(hash)
  if (bytes === undefined) throw new WattError('proof/malformed', `hex expected, got '${hash.slice(0, 80)}'`)
  return hashLeaf(bytes)
}
