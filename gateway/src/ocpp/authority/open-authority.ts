import type { Clock } from '@wattline/protocol'
import { errorFields, type Log } from '../../log.ts'
import type { CsmsParts } from '../csms.ts'
import type { OcppConfig } from '../ocpp-config.ts'

/** The authority of a running gateway. */
export interface OpenAuthority {
  readonly desk: NonNullable<CsmsParts['certificates']>
  /** Makes the TLS port's certificate anew where it ends soon and is ours; gives whether it did. */
  renewServer(): boolean
}

/** What it works with. */
export interface AuthorityParts {
  readonly dataDir: string
  readonly clock: Clock
  readonly log: Log
}

/** Loaded only where it is used: the library for certificates takes its memory. */
export async function openAuthority(
  { certificateDays, renewBeforeDays }: NonNullable<OcppConfig['authority']>,
  { dataDir, clock, log }: AuthorityParts,
): Promise<OpenAuthority> {
  const { Authority, renewServerCertificate } = await import('./authority-files.ts')
  const { StationCertificates } = await import('./station-certificates.ts')
  const authority = new Authority(dataDir)
  const renewServer = () => {
    try {
      const renewed = renewServerCertificate(authority, dataDir, clock.now(), renewBeforeDays)
      if (renewed) log.info('ocpp.certificate.server-renewed')
      return renewed
    } catch (error) {
      log.warn('ocpp.certificate.unrenewed', errorFields(error))
      return false
    }
  }
  renewServer()
  return {
    desk: (stations) =>
      new StationCertificates({ ...stations, authority, clock, log, stationDays: certificateDays, renewBeforeDays }),
    renewServer,
  }
}
