import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Verifier } from '@road-labs/ocmf'
import { Crypto } from '@road-labs/ocmf-crypto-noble'
import { parsePublicKey, verifyRecord } from '@wattline/protocol'

/** A complete OCMF text and the published key (SPKI hex) that it should be signed with. */
export interface Exhibit {
  readonly text: string
  readonly key: string
}

/** Somebody who says of each exhibit whether its signature is good. */
export interface Judge {
  readonly name: string
  judge(exhibits: readonly Exhibit[]): Promise<boolean[]>
}

const roadLabs: Judge = {
  name: '@road-labs/ocmf',
  async judge(exhibits) {
    const adapter = new Crypto()
    const verifier = new Verifier(adapter)
    const verdicts: boolean[] = []
    for (const { text, key } of exhibits) {
      const publicKey = await adapter.decodeEcPublicKey(Buffer.from(key, 'hex'), 'spki-der')
      // It throws where a text is no OCMF any more: that is a refusal too.
      const result = await verifier.parseAndVerify(text, publicKey).catch(() => ({ verified: false }))
      verdicts.push(result.verified)
    }
    return verdicts
  },
}

const openssl: Judge = {
  name: 'openssl',
  async judge(exhibits) {
    const folder = mkdtempSync(join(tmpdir(), 'wattline-openssl-'))
    const file = (name: string) => join(folder, name)
    try {
      return exhibits.map(({ text, key }) => {
        const payload = text.slice(text.indexOf('|') + 1, text.lastIndexOf('|'))
        const signature = text.slice(text.lastIndexOf('|') + 1)
        writeFileSync(file('key.der'), Buffer.from(key, 'hex'))
        writeFileSync(file('payload'), payload, 'latin1')
        writeFileSync(file('signature'), Buffer.from(JSON.parse(signature).SD, 'hex'))
        const args = [
          'dgst',
          '-sha256',
          '-keyform',
          'DER',
          '-verify',
          file('key.der'),
          '-signature',
          file('signature'),
          file('payload'),
        ]
        return spawnSync('openssl', args).status === 0
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
}

const python: Judge = {
  name: 'python3-cryptography',
  async judge(exhibits) {
    const script = fileURLToPath(new URL('judge.py', import.meta.url))
    // Debian's own interpreter: the package belongs to it.
    const output = execFileSync('/usr/bin/python3', [script], { input: JSON.stringify(exhibits), maxBuffer: 1 << 28 })
    return JSON.parse(output.toString())
  },
}

const ours: Judge = {
  name: 'Wattline',
  judge: async (exhibits) => exhibits.map(({ text, key }) => verifyRecord(text, parsePublicKey(key)).ok),
}

/** Ours, and three that are not. */
export const judges: readonly Judge[] = [ours, roadLabs, openssl, python]

/** The same text with one byte of its payload, or one byte of its signature, flipped: every place once. */
export function flipEveryByte({ text, key }: Exhibit): Exhibit[] {
  const [header = '', payload = '', signature = ''] = text.split('|')
  const inPayload = [...payload].map((char, i) => {
    const flipped = payload.slice(0, i) + String.fromCharCode(char.charCodeAt(0) ^ 1) + payload.slice(i + 1)
    return { text: `${header}|${flipped}|${signature}`, key }
  })
  const { SA, SD } = JSON.parse(signature)
  const inSignature = Array.from({ length: SD.length / 2 }, (_, i) => {
    const bytes = Buffer.from(SD, 'hex')
    bytes[i] = (bytes[i] ?? 0) ^ 1
    return { text: `${header}|${payload}|${JSON.stringify({ SA, SD: bytes.toString('hex').toUpperCase() })}`, key }
  })
  return [...inPayload, ...inSignature]
}
