import { randomBytes, scryptSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, makeSigner, signDriverList } from '@wattline/protocol'

/** For tests: a signed list as SPEC-141 has it, made without the gateway. Gives `drivers:` of its configuration. */
export function writeDriverList(
  folder: string,
  drivers: readonly { readonly token: string; readonly driver: string }[],
) {
  const signer = makeSigner(randomBytes(32))
  const salt = randomBytes(16)
  const cost = 10
  const hash = (token: string) =>
    scryptSync(token.toUpperCase(), salt, 32, { N: 2 ** cost, r: 8, p: 1 }).toString('hex')
  const list = {
    v: 1 as const,
    serial: 1,
    issuedAt: Date.now(),
    salt: salt.toString('hex'),
    cost,
    groups: [],
    drivers: drivers.map(({ token, driver }) => ({ hash: hash(token), driver })),
  }
  const listFile = join(folder, 'drivers.list')
  writeFileSync(listFile, signDriverList(list, signer))
  return { listFile, listKey: formatPublicKey(signer.publicKey) }
}
