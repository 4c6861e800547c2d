import { readFileSync, statSync } from 'node:fs'
import {
  type Clock,
  type DriverList,
  type ListedDriver,
  parseDriverList,
  parsePublicKey,
  WattError,
} from '@wattline/protocol'
import { errorFields, type Log } from '../log.ts'
import type { Authorisation } from '../ocpp/transaction-sink.ts'
import type { Store } from '../store/database.ts'
import { keepDriverList, loadDriverList } from '../store/driver-list.ts'
import { TokenHasher } from './token-hash.ts'

export interface ListKeeperParts {
  readonly listFile: string
  /** SPKI hex. */
  readonly listKey: string
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
}

/** What the list says of a token. Blocked and expired ones are known too, but nobody's account is told. */
export interface ListAnswer extends Authorisation {
  readonly group?: string
}

interface ListInForce {
  readonly list: DriverList
  readonly text: string
  readonly drivers: ReadonlyMap<string, ListedDriver>
  readonly groups: ReadonlyMap<string, DriverList['groups'][number]>
  readonly hasher: TokenHasher
}

// A list of ten thousand drivers has three megabytes.
const longestList = 16_000_000

/** Keeps the list of drivers that is in force: the newest that was ever signed right, whatever the file says now. */
export class ListKeeper {
  readonly #parts: ListKeeperParts
  #inForce: ListInForce | undefined
  /** How the file looked last; undefined before the first look. */
  #seen: string | undefined

  constructor(parts: ListKeeperParts) {
    this.#parts = parts
    const stored = loadDriverList(parts.store)
    // A list that another key has signed counts no more once the configuration names a new one.
    if (stored?.publicKey === parts.listKey) this.#inForce = read(stored.text, parts.listKey)
    this.look()
  }

  get list(): DriverList | undefined {
    return this.#inForce?.list
  }

  /** Reads the file if it has changed; gives whether another list is in force now. */
  look(): boolean {
    const { listFile, log } = this.#parts
    const mark = markOf(listFile)
    if (mark === this.#seen) return false
    this.#seen = mark
    try {
      const next = this.#take(mark)
      if (next === undefined) return false
      this.#inForce = next
      const { serial, drivers, groups } = next.list
      log.info('drivers.list.accepted', { serial, drivers: drivers.length, groups: groups.length })
      return true
    } catch (error) {
      // A full disk is no fault of the list: it is looked at again.
      if (error instanceof WattError && error.code.startsWith('storage/')) this.#seen = undefined
      const inForce = this.#inForce?.list.serial ?? 'none'
      log.warn('drivers.list.refused', { file: listFile, inForce, ...errorFields(error) })
      return false
    }
  }

  /** What the list says of a token; for one that is not on it, `Invalid`. */
  find(idToken: string, type?: string): ListAnswer {
    if (this.#inForce === undefined || idToken.trim() === '') return { status: 'Invalid' }
    const { drivers, hasher } = this.#inForce
    const entry = drivers.get(hasher.hash(idToken))
    return entry === undefined || isOtherType(entry.type, type) ? { status: 'Invalid' } : this.#judge(entry)
  }

  /** What the list says of an account: it may charge if one of its tokens may. */
  findDriver(driver: string): ListAnswer {
    for (const entry of this.#inForce?.drivers.values() ?? []) {
      const answer = this.#judge(entry)
      if (answer.status === 'Accepted' && answer.driver === driver) return answer
    }
    return { status: 'Invalid' }
  }

  #judge(entry: ListedDriver): ListAnswer {
    if (entry.blocked === true) return { status: 'Blocked' }
    const group = entry.group === undefined ? undefined : this.#inForce?.groups.get(entry.group.toLowerCase())
    const until = Math.min(entry.until ?? Number.POSITIVE_INFINITY, group?.until ?? Number.POSITIVE_INFINITY)
    if (until <= this.#parts.clock.now()) return { status: 'Expired' }
    const driver = entry.driver ?? group?.driver
    return {
      status: 'Accepted',
      ...(Number.isFinite(until) ? { expiryDate: new Date(until).toISOString() } : {}),
      ...(group === undefined ? {} : { groupIdToken: group.id, group: group.id }),
      ...(driver === undefined ? {} : { driver }),
    }
  }

  // Gives the list that the file holds, if it is to come into force; it is on the disk before it does.
  #take(mark: string): ListInForce | undefined {
    const { listFile, listKey, store } = this.#parts
    if (mark === '') throw new WattError('drivers/invalid', `${listFile}: no list there`)
    const text = readList(listFile)
    const next = read(text, listKey)
    const before = this.#inForce
    if (before !== undefined && next.text === before.text) return undefined
    if (before !== undefined && next.list.serial <= before.list.serial) {
      const serials = `serial ${next.list.serial}, in force is ${before.list.serial}`
      throw new WattError('drivers/invalid', `${listFile}: not newer than the list in force: ${serials}`)
    }
    keepDriverList(store, { publicKey: listKey, serial: next.list.serial, text })
    return next
  }
}

function readList(path: string): string {
  try {
    if (statSync(path).size > longestList) throw new WattError('drivers/invalid', `${path}: too long for a list`)
    return readFileSync(path, 'utf8').trimEnd()
  } catch (cause) {
    if (cause instanceof WattError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('drivers/invalid', `${path}: cannot be read: ${reason}`, { cause })
  }
}

function read(text: string, listKey: string): ListInForce {
  const list = parseDriverList(text, parsePublicKey(listKey))
  return {
    list,
    text,
    drivers: new Map(list.drivers.map((one) => [one.hash, one])),
    groups: new Map(list.groups.map((one) => [one.id.toLowerCase(), one])),
    hasher: new TokenHasher(list),
  }
}

// OCPP 1.6 has no types, so nothing can be said against its tokens.
function isOtherType(listed: string | undefined, presented: string | undefined): boolean {
  return listed !== undefined && presented !== undefined && listed.toLowerCase() !== presented.toLowerCase()
}

// '' where there is no file. A file that is replaced has another inode or time.
function markOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false, bigint: true })
  return found === undefined ? '' : [found.ino, found.mtimeNs, found.ctimeNs, found.size].join()
}
