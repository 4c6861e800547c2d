import { type OcppVersion, ocppVersions } from '@wattline/protocol'
import type { Refusal } from './refusal.ts'

/** What a connection speaks. */
export type ChosenProtocol =
  /** `header` is what the handshake answers; undefined where the station offered nothing. */
  | { readonly ok: true; readonly version: OcppVersion; readonly header: OcppVersion | undefined }
  | ({ readonly ok: false } & Refusal)

/**
 * Chooses from what a station offers, in its order. One that offers nothing speaks 1.6, if anything: whether that is
 * good enough, the configuration says.
 */
export function chooseProtocol(offered: ReadonlySet<string>, ifNone: OcppVersion | undefined): ChosenProtocol {
  for (const name of offered) {
    const version = ocppVersions.find((known) => known === name)
    if (version !== undefined) return { ok: true, version, header: version }
  }
  if (offered.size > 0) {
    const names = [...offered].join(', ').slice(0, 80)
    const reason = `no common OCPP version: offered ${names}, known ${ocppVersions.join(', ')}`
    return { ok: false, code: 'unknown-version', reason }
  }
  return ifNone === undefined
    ? {
        ok: false,
        code: 'no-subprotocol',
        reason: 'no subprotocol offered, and the configuration does not take that for ocpp1.6',
      }
    : { ok: true, version: ifNone, header: undefined }
}
