import { X509Certificate } from 'node:crypto'
import { type Clock, makeTimestamp, type OcppVersion, type Timestamp, WattError } from '@wattline/protocol'
import { errorFields, type Log } from '../../log.ts'
import { fieldsOf } from '../json-place.ts'
import type { OcppPayload } from '../transaction-sink.ts'
import type { Authority } from './authority-files.ts'
import { readCertificateRequest } from './x509.ts'

/** A station that asks for a certificate (SignCertificate). */
export interface CertificateRequest {
  readonly stationId: string
  readonly version: OcppVersion
  readonly payload: OcppPayload
}

/** What is known of a station that is connected. */
export interface StationStanding {
  readonly version: OcppVersion
  /** It has shown a password or a certificate on this connection. */
  readonly proven: boolean
  /** The common name that its certificate must have. */
  readonly certificateName: string
  /** When the certificate that it came with ends. */
  readonly certificateEndsAt: Timestamp | undefined
}

export interface StationCertificatesParts {
  readonly authority: Authority
  readonly clock: Clock
  readonly log: Log
  readonly stationDays: number
  readonly renewBeforeDays: number
  standingOf(stationId: string): StationStanding | undefined
  connected(): readonly string[]
  call(stationId: string, action: string, payload: OcppPayload): Promise<{ readonly payload: unknown }>
}

const dayMs = 86_400_000
const askAgainMs = dayMs

/** Whether a certificate was made and taken, or why not, in words. */
export type CertificateOutcome = { readonly ok: true; readonly endsAt: Timestamp } | { ok: false; reason: string }

/**
 * Gives stations their certificates: the right station only, with a key of its own that is good enough. Nobody without
 * a proof of who he is gets one, unless the installer has just asked for it.
 */
export class StationCertificates {
  readonly #parts: StationCertificatesParts
  /** When a certificate that was taken on this connection ends: the connection itself still runs under the old one. */
  readonly #renewed = new Map<string, Timestamp>()
  readonly #askedAt = new Map<string, Timestamp>()
  readonly #awaited = new Map<string, (outcome: CertificateOutcome) => void>()

  constructor(parts: StationCertificatesParts) {
    this.#parts = parts
  }

  /** The certificate of the authority: what a station must trust. */
  get root(): string {
    return this.#parts.authority.certificate
  }

  /** Answers SignCertificate; the certificate follows by itself. */
  take({ stationId, version, payload }: CertificateRequest): OcppPayload {
    const refused = (reason: string): OcppPayload => {
      this.#parts.log.warn('ocpp.certificate.refused', { station: stationId, reason })
      this.#settle(stationId, { ok: false, reason })
      const statusInfo = { reasonCode: 'InvalidCSR', additionalInfo: reason.slice(0, 250) }
      return { status: 'Rejected', ...(version === 'ocpp1.6' ? {} : { statusInfo }) }
    }
    const standing = this.#parts.standingOf(stationId)
    if (standing === undefined) return refused('the station is not connected any more')
    if (!standing.proven && !this.#awaited.has(stationId)) {
      return refused('the station has shown no password and no certificate, so it may be anybody: adopt it first')
    }
    const { certificateType } = payload
    if (certificateType !== undefined && certificateType !== 'ChargingStationCertificate') {
      return refused(`certificates of type ${String(certificateType)} are not made here`)
    }
    const request = readCertificateRequest(String(payload['csr']))
    if (!request.ok) return refused(request.reason)
    const { certificateName } = standing
    if (request.commonName !== certificateName) {
      const name = request.commonName.slice(0, 64)
      return refused(
        `the request is for '${name}', and this station is '${certificateName}'; where that is its serial number, set certificateName`,
      )
    }
    // The answer goes out first; then the certificate.
    setImmediate(() => void this.#deliver({ stationId, version, payload }, request))
    return { status: 'Accepted' }
  }

  /** Asks a station to ask for a certificate, and waits until it has taken one. */
  async renew(stationId: string, withinMs: number): Promise<CertificateOutcome> {
    const version = this.#parts.standingOf(stationId)?.version
    if (version === undefined) return { ok: false, reason: 'it is not connected' }
    const [action, requestedMessage] =
      version === 'ocpp1.6'
        ? (['ExtendedTriggerMessage', 'SignChargePointCertificate'] as const)
        : (['TriggerMessage', 'SignChargingStationCertificate'] as const)
    const outcome = new Promise<CertificateOutcome>((resolve) => {
      const timer = setTimeout(() => resolve({ ok: false, reason: 'it did not ask for one in time' }), withinMs)
      this.#awaited.set(stationId, (settled) => {
        clearTimeout(timer)
        resolve(settled)
      })
    })
    try {
      const { payload } = await this.#parts.call(stationId, action, { requestedMessage })
      const status = fieldsOf(payload)?.['status']
      if (status !== 'Accepted') this.#settle(stationId, { ok: false, reason: `it answered ${String(status)}` })
      return await outcome
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      this.#settle(stationId, { ok: false, reason: error.message })
      return await outcome
    } finally {
      this.#awaited.delete(stationId)
    }
  }

  /** Has every certificate renewed that ends soon: to be called now and then. */
  async renewDue(): Promise<void> {
    const { clock, renewBeforeDays, log } = this.#parts
    const now = clock.now()
    for (const stationId of this.#parts.connected()) {
      const endsAt = this.#renewed.get(stationId) ?? this.#parts.standingOf(stationId)?.certificateEndsAt
      if (endsAt === undefined || endsAt - now > renewBeforeDays * dayMs) continue
      if (now - (this.#askedAt.get(stationId) ?? 0) < askAgainMs) continue
      this.#askedAt.set(stationId, now)
      const outcome = await this.renew(stationId, 60_000)
      if (outcome.ok) continue
      const ends = new Date(endsAt).toISOString()
      log.warn('ocpp.certificate.unrenewed', { station: stationId, ends, reason: outcome.reason })
    }
  }

  /** A new connection: it runs under the certificate that it came with. */
  forget(stationId: string): void {
    this.#renewed.delete(stationId)
  }

  #settle(stationId: string, outcome: CertificateOutcome): void {
    this.#awaited.get(stationId)?.(outcome)
  }

  async #deliver(
    { stationId, version, payload }: CertificateRequest,
    request: Parameters<Authority['issueForStation']>[0],
  ): Promise<void> {
    const { authority, clock, log, stationDays, call } = this.#parts
    try {
      const certificate = authority.issueForStation(request, clock.now(), stationDays)
      const endsAt = makeTimestamp(new X509Certificate(certificate).validToDate.getTime())
      const { certificateType, requestId } = payload
      const answer = await call(stationId, 'CertificateSigned', {
        certificateChain: certificate + authority.certificate,
        ...(version === 'ocpp1.6' || certificateType === undefined ? {} : { certificateType }),
        ...(version === 'ocpp2.1' && requestId !== undefined ? { requestId } : {}),
      })
      const status = fieldsOf(answer.payload)?.['status']
      const fields = { station: stationId, status, ends: new Date(endsAt).toISOString() }
      if (status !== 'Accepted') {
        log.warn('ocpp.certificate.rejected', fields)
        this.#settle(stationId, { ok: false, reason: `it answered ${String(status)} to its certificate` })
        return
      }
      log.info('ocpp.certificate.delivered', fields)
      this.#renewed.set(stationId, endsAt)
      this.#settle(stationId, { ok: true, endsAt })
    } catch (error) {
      // The station asks again; whoever waits is told why not.
      log.warn('ocpp.certificate.undelivered', { station: stationId, ...errorFields(error) })
      this.#settle(stationId, { ok: false, reason: error instanceof Error ? error.message : String(error) })
    }
  }
}
