import { randomBytes } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import {
  type DriverList,
  formatPublicKey,
  fromHex,
  makeSigner,
  parseDriverList,
  type Signer,
  signDriverList,
  toUpperHex,
  WattError,
} from '@wattline/protocol'
import { writeDurably } from '../store/atomic-file.ts'
import { checkPrivate, type DriverFile, readText, toDriverList } from './driver-file.ts'

/** 8 ms a token on a desktop's core, some 40 on a small board: once a card, then it is remembered. */
const defaultCost = 12

/** Makes a key for lists where there is none; gives its SPKI hex, which the gateways are configured with. */
export function ensureListKey(path: string): string {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    writeDurably(path, `${toUpperHex(randomBytes(32))}\n`, 'keep-existing')
  }
  return formatPublicKey(loadListKey(path).publicKey)
}

export function loadListKey(path: string): Signer {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode
  if (mode === undefined) throw new WattError('key/unreadable', `${path}: no key there; make one with: drivers key`)
  checkPrivate(path)
  try {
    return makeSigner(fromHex(readFileSync(path, 'latin1').trim()) ?? new Uint8Array())
  } catch (cause) {
    throw new WattError('key/unreadable', `${path}: 64 hex digits of a key expected`, { cause })
  }
}

export interface SignTerms {
  /** Where the list goes. */
  readonly path: string
  readonly nowMs: number
  /** Of each hash, as a power of two. */
  readonly cost?: number
}

/** Signs what a file says, as a list that is newer than the one that lies where it goes. */
export function signList(file: DriverFile, signer: Signer, { path, nowMs, cost = defaultCost }: SignTerms): DriverList {
  const before = readSerial(path, signer)
  const list = toDriverList(file, {
    // Time, so that two makers of lists do not count past each other; but always newer.
    serial: Math.max(nowMs, before + 1),
    issuedAt: nowMs,
    salt: randomBytes(16).toString('hex'),
    cost,
  })
  writeDurably(path, `${signDriverList(list, signer)}\n`, 'replace')
  return list
}

function readSerial(path: string, signer: Signer): number {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return 0
  try {
    return parseDriverList(readText(path).trimEnd(), signer.publicKey).serial
  } catch (cause) {
    const problem = 'there is something else than a list of this key; it is not overwritten'
    throw new WattError('drivers/invalid', `${path}: ${problem}`, { cause })
  }
}
