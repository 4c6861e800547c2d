import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { WattError } from '@wattline/protocol'
import { readSecretFile } from '../secret-file.ts'

// Secrets come from a file or from a person at a terminal: never from an argument, which every user of the machine can
// see, and never from the environment, which ends up in logs.

/** Asks for a secret that is not shown while it is typed, or reads the first line of a file. */
export async function readSecret(what: string, file: string | undefined, option: string): Promise<string> {
  if (file !== undefined) return readSecretFile(file, 'wallet/password').split(/\r?\n/)[0] ?? ''
  if (!process.stdin.isTTY) throw new WattError('wallet/password', `${what}: no terminal to ask at: ${option} expected`)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const line = createInterface({ input: process.stdin, output: silent, terminal: true })
  // Ctrl-C at the question ends the program as anywhere else.
  line.once('SIGINT', () => process.exit(130))
  process.stderr.write(`${what}: `)
  try {
    return await line.question('')
  } finally {
    line.close()
    process.stderr.write('\n')
  }
}

/** A password that is to be new: asked for twice at a terminal. */
export async function readNewSecret(what: string, file: string | undefined, option: string): Promise<string> {
  const secret = await readSecret(what, file, option)
  if (file !== undefined || (await readSecret(`${what}, once more`, undefined, option)) === secret) return secret
  throw new WattError('wallet/password', `${what}: the two are not the same`)
}
