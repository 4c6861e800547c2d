import { type OcppVersion, WattError } from '@wattline/protocol'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import type { WantedSetting } from './wanted-settings.ts'

/** Sends a request to the one station that this is about. */
export type AskStation = (action: string, payload: OcppPayload) => Promise<{ readonly payload: unknown }>

/** What a station said to a change. */
export type ChangeAnswer = 'accepted' | 'after-restart' | 'refused' | 'unknown'

/** The settings of one station, by the names of its version. */
export interface StationSettings {
  /** What a setting is; undefined where the station does not know it or does not tell. */
  read(name: string): Promise<string | undefined>
  change(name: string, value: string): Promise<ChangeAnswer>
}

/** Reads and changes settings in the words of a version. */
export function settingsOf(version: OcppVersion, ask: AskStation): StationSettings {
  return version === 'ocpp1.6' ? settingsOf16(ask) : settingsOf2(ask)
}

const changeAnswers: Readonly<Record<string, ChangeAnswer>> = {
  Accepted: 'accepted',
  RebootRequired: 'after-restart',
  NotSupported: 'unknown',
  UnknownComponent: 'unknown',
  UnknownVariable: 'unknown',
  NotSupportedAttributeType: 'unknown',
}

function settingsOf16(ask: AskStation): StationSettings {
  /** As the station spells it. */
  const spellings = new Map<string, string>()
  return {
    read: async (name) => {
      const { payload } = await ask('GetConfiguration', { key: [spellings.get(name) ?? name] })
      const list: unknown = fieldsOf(payload)?.['configurationKey']
      const found = (Array.isArray(list) ? list.map(fieldsOf) : []).find(
        (entry) => String(entry?.['key']).toLowerCase() === name.toLowerCase(),
      )
      if (typeof found?.['key'] === 'string') spellings.set(name, found['key'])
      return typeof found?.['value'] === 'string' ? found['value'] : undefined
    },
    change: async (name, value) => {
      const { payload } = await ask('ChangeConfiguration', { key: spellings.get(name) ?? name, value })
      return changeAnswers[String(fieldsOf(payload)?.['status'])] ?? 'refused'
    },
  }
}

function settingsOf2(ask: AskStation): StationSettings {
  const placeOf = (name: string) => {
    const [component = '', variable = ''] = name.split('.')
    return { component: { name: component }, variable: { name: variable } }
  }
  const firstOf = (payload: unknown, list: string) => {
    const results: unknown = fieldsOf(payload)?.[list]
    return Array.isArray(results) ? fieldsOf(results[0]) : undefined
  }
  return {
    read: async (name) => {
      const { payload } = await ask('GetVariables', { getVariableData: [placeOf(name)] })
      const value = firstOf(payload, 'getVariableResult')?.['attributeValue']
      return typeof value === 'string' ? value : undefined
    },
    change: async (name, attributeValue) => {
      const { payload } = await ask('SetVariables', { setVariableData: [{ ...placeOf(name), attributeValue }] })
      return changeAnswers[String(firstOf(payload, 'setVariableResult')?.['attributeStatus'])] ?? 'refused'
    },
  }
}

/** What became of one setting. `kept`: it was so already. `ignored`: the station said yes and did nothing. */
export interface SettingOutcome {
  readonly name: string
  readonly outcome: 'kept' | 'taken' | 'taken-other' | 'after-restart' | 'ignored' | 'refused' | 'unknown' | 'failed'
  /** What the station has now, where it tells. */
  readonly value?: string
  /** Values that it did not take, in the order in which they were tried. */
  readonly refused: readonly string[]
  readonly reason?: string
}

/** Brings one setting to the best value that a station takes, and looks whether it has really taken it. */
export async function applySetting(settings: StationSettings, wanted: WantedSetting): Promise<SettingOutcome> {
  const { name, values } = wanted
  const refused: string[] = []
  try {
    const before = await settings.read(name)
    for (const [place, value] of values.entries()) {
      if (before !== undefined && isSame(before, value)) return { name, outcome: 'kept', value: before, refused }
      const answer = await settings.change(name, value)
      if (answer === 'unknown') return { name, outcome: 'unknown', refused }
      if (answer === 'after-restart') return { name, outcome: 'after-restart', value, refused }
      if (answer === 'accepted') {
        const after = await settings.read(name)
        if (after !== undefined && !isSame(after, value)) return { name, outcome: 'ignored', value: after, refused }
        return { name, outcome: place === 0 ? 'taken' : 'taken-other', value, refused }
      }
      refused.push(value)
    }
    return { name, outcome: 'refused', refused, ...(before === undefined ? {} : { value: before }) }
  } catch (error) {
    // One request that fails says nothing of the others; a station that has gone says so each time.
    if (!(error instanceof WattError)) throw error
    return { name, outcome: 'failed', refused, reason: error.message }
  }
}

// Lists come back with blanks, and truth in capitals.
function isSame(a: string, b: string): boolean {
  const plain = (text: string) => text.replace(/\s/g, '').toLowerCase()
  return plain(a) === plain(b)
}
