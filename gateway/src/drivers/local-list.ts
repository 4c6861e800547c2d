import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type OcppVersion, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../log.ts'
import type { Scheduler } from '../modbus/scheduler.ts'
import { fieldsOf } from '../ocpp/json-place.ts'
import type { Store } from '../store/database.ts'
import { forgetStationList, keepStationList, loadStationList } from '../store/station-lists.ts'
import { readDriverFile } from './driver-file.ts'
import type { ListAnswer } from './list-keeper.ts'
import { connectedVersion, type StationLink, statusOf } from './station-link.ts'

export interface LocalListParts {
  readonly tokensFile: string
  readonly store: Store
  readonly log: Log
  readonly scheduler: Scheduler
  readonly link: StationLink
  readonly find: (idToken: string, type?: string) => ListAnswer
}

/** One driver, as a station is told. */
export interface StationEntry {
  readonly idToken: string
  readonly type: string
  readonly answer: ListAnswer
}

/** What a station holds: its version, and by token what was said of it. */
export interface HeldList {
  readonly version: number
  readonly entries: ReadonlyMap<string, string>
}

/** What a station can take. */
interface ListLimits {
  readonly perMessage: number
  readonly entries: number
}

// After reservations, which matter at once.
const settleMs = 5_000
/** For a station that does not say how many entries a message may have. */
const modest = 20
/** An entry of OCPP 2.x with a group and a time is about this long. */
const entryBytes = 250

/**
 * Gives stations the list for the time when they do not reach us. They compare tokens, and know no hashes: so only
 * where the configuration names a file with tokens, and of it only what the signed list in force says, too.
 */
export class LocalLists {
  readonly #parts: LocalListParts
  readonly #waiting = new Map<string, () => void>()
  /** What each station holds, as far as this run of the gateway has sent it. */
  readonly #held = new Map<string, HeldList>()
  #stopped = false

  constructor(parts: LocalListParts) {
    this.#parts = parts
  }

  /** A station has come, or the list has changed. */
  due(stationId: string): void {
    this.#waiting.get(stationId)?.()
    this.#waiting.set(
      stationId,
      this.#parts.scheduler.after(settleMs, () => {
        this.#waiting.delete(stationId)
        void this.#bring(stationId)
      }),
    )
  }

  stop(): void {
    this.#stopped = true
    for (const forget of this.#waiting.values()) forget()
    this.#waiting.clear()
  }

  async #bring(stationId: string): Promise<void> {
    const { log, link } = this.#parts
    const version = connectedVersion(link, stationId)
    if (version === undefined || this.#stopped) return
    try {
      const outcome = await this.#update(stationId, version)
      if (outcome !== undefined) log.info('drivers.local-list', { station: stationId, outcome })
    } catch (error) {
      // The next connection, or the next list, is the next try.
      if (!this.#stopped) log.info('drivers.local-list.failed', { station: stationId, ...errorFields(error) })
    }
  }

  /** Gives what was done, in words; undefined where there was nothing to do. */
  async #update(stationId: string, version: OcppVersion): Promise<string | undefined> {
    const { store, link } = this.#parts
    const limits = await this.#askLimits(stationId, version)
    if (limits === undefined) return 'the station has no local list, or it is switched off'
    const asked = await link.call(stationId, 'GetLocalListVersion', {})
    const there = Number(readField(asked.payload, version === 'ocpp1.6' ? 'listVersion' : 'versionNumber'))
    if (!(there >= 0)) return 'the station has no local list'
    const wanted = (await this.#listEntries()).slice(0, limits.entries)
    const stored = loadStationList(store, stationId)
    const digest = createHash('sha256').update(JSON.stringify(wanted)).digest('hex')
    if (stored?.version === there && stored.digest === digest) return undefined
    const held = this.#held.get(stationId)
    const { full, messages, entries } = planUpdate(
      wanted,
      held?.version === there ? held : undefined,
      limits.perMessage,
    )
    // What is there in between is not known after a crash; then the whole list is sent anew.
    forgetStationList(store, stationId)
    this.#held.delete(stationId)
    let number = Math.max(there, stored?.version ?? 0)
    for (const [i, part] of messages.entries()) {
      // Each part is an update of its own to the station, and must be newer than the last.
      number += 1
      const update = { number, full: full && i === 0, entries: part }
      const status = statusOf(await link.call(stationId, 'SendLocalList', toSendLocalList(version, update)))
      if (status !== 'Accepted') return `refused with ${status}; it is sent in full next time`
    }
    keepStationList(store, stationId, { version: number, digest })
    this.#held.set(stationId, { version: number, entries })
    return `${full ? 'whole list' : 'changes'}, ${wanted.length} drivers, version ${number}`
  }

  // Only what the signed list knows, and with what it says. A turn for each: their hashes are slow.
  async #listEntries(): Promise<readonly StationEntry[]> {
    const { tokensFile, find } = this.#parts
    const entries: StationEntry[] = []
    for (const { token, type } of readDriverFile(tokensFile).drivers) {
      await nextTurn()
      const answer = find(token, type)
      if (answer.status !== 'Invalid') entries.push({ idToken: token, type: type ?? 'ISO14443', answer })
    }
    return entries
  }

  async #askLimits(stationId: string, version: OcppVersion): Promise<ListLimits | undefined> {
    const { link } = this.#parts
    const values =
      version === 'ocpp1.6'
        ? readKeys(await link.call(stationId, 'GetConfiguration', { key: [...keys16] }))
        : readVariables(await link.call(stationId, 'GetVariables', { getVariableData: variables2 }))
    if (values.get('enabled')?.toLowerCase() !== 'true') return undefined
    const number = (name: string) => {
      const found = Number(values.get(name))
      return Number.isInteger(found) && found > 0 ? found : undefined
    }
    const bytes = number('bytes')
    const perMessage = Math.min(
      number('items') ?? modest,
      bytes === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(bytes / entryBytes)),
    )
    return { perMessage, entries: number('entries') ?? Number.POSITIVE_INFINITY }
  }
}

/** Which messages bring a station from what it has to what it should have. */
export function planUpdate(
  wanted: readonly StationEntry[],
  held: HeldList | undefined,
  perMessage: number,
): Pick<HeldList, 'entries'> & { readonly full: boolean; readonly messages: readonly (readonly StationEntry[])[] } {
  const entries = new Map(wanted.map((one) => [one.idToken, JSON.stringify(one)]))
  // What has gone from the file makes the list short: then it is sent whole.
  const full = held === undefined || [...held.entries.keys()].some((token) => !entries.has(token))
  const news = full ? wanted : wanted.filter(({ idToken }) => held.entries.get(idToken) !== entries.get(idToken))
  const messages: StationEntry[][] = []
  for (let i = 0; i < news.length; i += perMessage) messages.push(news.slice(i, i + perMessage))
  return { full, messages: full && messages.length === 0 ? [[]] : messages, entries }
}

function toSendLocalList(
  version: OcppVersion,
  { number, full, entries }: { number: number; full: boolean; entries: readonly StationEntry[] },
): object {
  const updateType = full ? 'Full' : 'Differential'
  if (version === 'ocpp1.6') {
    const list = entries.map(({ idToken, answer }) => ({
      idTag: idToken,
      idTagInfo: {
        status: answer.status,
        ...(answer.expiryDate === undefined ? {} : { expiryDate: answer.expiryDate }),
        ...(answer.groupIdToken === undefined ? {} : { parentIdTag: answer.groupIdToken }),
      },
    }))
    return { listVersion: number, updateType, ...(list.length === 0 ? {} : { localAuthorizationList: list }) }
  }
  const list = entries.map(({ idToken, type, answer }) => ({
    idToken: { idToken, type },
    idTokenInfo: {
      status: answer.status,
      ...(answer.expiryDate === undefined ? {} : { cacheExpiryDateTime: answer.expiryDate }),
      ...(answer.groupIdToken === undefined ? {} : { groupIdToken: { idToken: answer.groupIdToken, type: 'Central' } }),
    },
  }))
  return { versionNumber: number, updateType, ...(list.length === 0 ? {} : { localAuthorizationList: list }) }
}

// OCPP 1.6 §9.2; the names in the order of what we call them.
const keys16 = ['LocalAuthListEnabled', 'LocalAuthListMaxLength', 'SendLocalListMaxLength'] as const
const names16: Readonly<Record<string, string>> = {
  localauthlistenabled: 'enabled',
  localauthlistmaxlength: 'entries',
  sendlocallistmaxlength: 'items',
}
const component = { name: 'LocalAuthListCtrlr' }
const variables2 = [
  { component, variable: { name: 'Enabled' } },
  { component, variable: { name: 'ItemsPerMessage' } },
  { component, variable: { name: 'BytesPerMessage' } },
  // Actual is how many there are; the limit is how many there may be.
  { component, variable: { name: 'Entries' }, attributeType: 'MaxSet' },
]
const names2: Readonly<Record<string, string>> = {
  enabled: 'enabled',
  itemspermessage: 'items',
  bytespermessage: 'bytes',
  entries: 'entries',
}

// Some stations write keys in a case of their own.
function readKeys({ payload }: { readonly payload: unknown }): ReadonlyMap<string, string> {
  return readPairs(readField(payload, 'configurationKey'), names16, (one) => [one['key'], one['value']])
}

function readVariables({ payload }: { readonly payload: unknown }): ReadonlyMap<string, string> {
  return readPairs(readField(payload, 'getVariableResult'), names2, (one) => [
    fieldsOf(one['variable'])?.['name'],
    one['attributeStatus'] === 'Accepted' ? one['attributeValue'] : undefined,
  ])
}

function readPairs(
  list: unknown,
  names: Readonly<Record<string, string>>,
  read: (one: Record<string, unknown>) => readonly [unknown, unknown],
): ReadonlyMap<string, string> {
  const pairs = (Array.isArray(list) ? list : []).flatMap((one: unknown): [string, string][] => {
    const [name, value] = read(fieldsOf(one) ?? {})
    const ours = names[String(name).toLowerCase()]
    return ours === undefined || value === undefined ? [] : [[ours, String(value)]]
  })
  return new Map(pairs)
}

function readField(payload: unknown, name: string): unknown {
  const found = fieldsOf(payload)?.[name]
  if (found === undefined) throw new WattError('station/refused', `the answer has no ${name}`)
  return found
}
