import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { runCommand } from './programs.ts'

/** Who may charge: what the card gives, and whose account pays. */
export interface CardHolder {
  readonly token: string
  readonly driver: string
}

/** What a gateway is configured with, so that it knows these cards. */
export interface SignedDrivers {
  readonly listFile: string
  readonly listKey: string
}

/** Makes a list of drivers as an installer does: a file with the tokens, a key, and the gateway's own commands. */
export async function signDrivers(folder: string, drivers: readonly CardHolder[]): Promise<SignedDrivers> {
  const pathOf = (suffix: string) => join(folder, `drivers.${suffix}`)
  const [file, key, listFile] = [pathOf('yaml'), pathOf('key'), pathOf('list')]
  const entries = drivers.map(({ token, driver }) => ({ token, driver }))
  writeFileSync(file, stringify({ version: 1, drivers: entries }), { mode: 0o600 })
  const listKey = (await run(['drivers', 'key', '--key', key])).trim()
  await run(['drivers', 'sign', '--file', file, '--key', key, '--out', listFile])
  return { listFile, listKey }
}

async function run(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runCommand('gateway', args)
  if (code !== 0) throw new Error(`gateway ${args.join(' ')} ended with ${code}: ${stderr}`)
  return stdout
}
