import { integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { pathShape as path, spkiShape as spki } from '../config-values.ts'

/** Every default of the part for drivers. */
export const driversDefaults = {
  whenOffline: 'list',
  offlineGroups: [] as string[],
  codeValiditySeconds: 30,
  codeLength: 8,
} as const

/** What may be done while the gateway does not reach its ledger. */
export const offlineRules = ['list', 'groups', 'nobody', 'anyone'] as const
export type OfflineRule = (typeof offlineRules)[number]

/** `drivers:` of gateway.yaml. */
export const driversShape = v.pipe(
  v.strictObject({
    /** The signed list of those who may charge; made with `wattline-gateway drivers sign`. */
    listFile: path,
    /** Whose signature counts: what `wattline-gateway drivers key` prints. */
    listKey: spki,
    /**
     * Who may begin to charge while the ledger cannot be reached. list: everybody on the list, as always. groups: only
     * members of offlineGroups. nobody: no card. anyone: unknown cards too, at the site owner's expense.
     */
    whenOffline: v.optional(v.picklist(offlineRules), driversDefaults.whenOffline),
    offlineGroups: v.optional(v.array(v.string()), driversDefaults.offlineGroups),
    /**
     * The list's source with the tokens themselves, mode 0600. With it, stations get the list to use without us; they
     * understand tokens only, not their hashes.
     */
    tokensFile: v.exactOptional(path),
    /** How long one code of a reservation is valid; it opens once more in the time after. */
    codeValiditySeconds: v.optional(integerBetween(10, 3_600), driversDefaults.codeValiditySeconds),
    codeLength: v.optional(integerBetween(8, 20), driversDefaults.codeLength),
  }),
  v.check(
    ({ whenOffline, offlineGroups }) => (whenOffline === 'groups') === offlineGroups.length > 0,
    'expected offlineGroups with whenOffline: groups, and only there',
  ),
)

export type DriversConfig = v.InferOutput<typeof driversShape>

/** The same with absolute paths. */
export function withAbsoluteDriverFiles(config: DriversConfig, absolute: (path: string) => string): DriversConfig {
  const { listFile, tokensFile, ...rest } = config
  return {
    ...rest,
    listFile: absolute(listFile),
    ...(tokensFile === undefined ? {} : { tokensFile: absolute(tokensFile) }),
  }
}
