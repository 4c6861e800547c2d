import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { OcppVersion } from '@wattline/protocol'
import { WattError } from '@wattline/protocol'
import type { OcppConfig, StationConfig } from './ocpp-config.ts'

/** What a station shows of itself before it is let in. */
export interface StationProof {
  readonly stationId: string
  /** The header as it came. */
  readonly authorization: string | undefined
  readonly isTls: boolean
  /** The common name of a certificate that our authority has signed. */
  readonly certificateName: string | undefined
}

/** What holds for a station that is let in. */
export interface StationTerms {
  readonly ok: true
  readonly timeZone: string
  readonly versionIfNone: OcppVersion | undefined
}

export type Admitted = StationTerms | { readonly ok: false; readonly status: 401 | 403; readonly reason: string }

/** Decides who may connect. The reasons are for the installer: they name what is wrong, never a secret. */
export class Admission {
  readonly #config: OcppConfig
  readonly #stations: ReadonlyMap<string, StationConfig>
  readonly #passwords: ReadonlyMap<string, Buffer>

  /** Reads the password files; throws where one cannot be read or is empty. */
  constructor(config: OcppConfig) {
    this.#config = config
    this.#stations = new Map(config.stations.map((station) => [station.id, station]))
    this.#passwords = new Map(
      config.stations.flatMap(({ id, passwordFile }) =>
        passwordFile === undefined ? [] : [[id, digest(readPassword(passwordFile))] as const],
      ),
    )
  }

  check(proof: StationProof): Admitted {
    const { securityProfile, timeZone, noSubprotocol, unknownStations } = this.#config
    const station = this.#stations.get(proof.stationId)
    const acceptsUnknown = (unknownStations ?? (this.#stations.size === 0 ? 'accept' : 'refuse')) === 'accept'
    if (station === undefined && !acceptsUnknown) {
      return refuse(403, `station '${proof.stationId}' is not in the configuration`)
    }
    const profile = station?.securityProfile ?? securityProfile
    const wrong = this.#findFault(profile, proof, station)
    if (wrong !== undefined) return wrong
    return {
      ok: true,
      timeZone: station?.timeZone ?? timeZone,
      versionIfNone: (station?.noSubprotocol ?? noSubprotocol) === 'ocpp1.6' ? 'ocpp1.6' : undefined,
    }
  }

  #findFault(profile: number, proof: StationProof, station: StationConfig | undefined) {
    if (profile === 0) return undefined
    if (profile > 1 && !proof.isTls) {
      return refuse(403, `security profile ${profile} needs TLS: connect to the wss port`)
    }
    return profile === 3 ? checkCertificate(proof, station) : this.#checkPassword(proof)
  }

  #checkPassword({ stationId, authorization }: StationProof) {
    const expected = this.#passwords.get(stationId)
    if (expected === undefined) return refuse(403, `no password is configured for station '${stationId}'`)
    if (authorization === undefined) return refuse(401, 'no password was sent, and the security profile needs one')
    const given = readBasic(authorization)
    if (given === undefined) return refuse(401, 'the Authorization header is not Basic')
    // An identity may have colons, so it is not looked for: the name must be the identity, and the rest is the password.
    const name = Buffer.from(`${stationId}:`)
    if (!given.subarray(0, name.length).equals(name)) {
      return refuse(401, `the user name is not the identity '${stationId}'`)
    }
    // Digests have one length, so that the comparison takes one time.
    const isRight = timingSafeEqual(digest(given.subarray(name.length)), expected)
    return isRight ? undefined : refuse(401, 'the password is wrong')
  }
}

function checkCertificate({ stationId, certificateName }: StationProof, station: StationConfig | undefined) {
  if (certificateName === undefined) {
    return refuse(401, 'no client certificate of our authority was shown, and the security profile needs one')
  }
  const expected = station?.certificateName ?? stationId
  if (certificateName === expected) return undefined
  return refuse(401, `the certificate is that of '${certificateName.slice(0, 80)}', not of '${expected}'`)
}

function refuse(status: 401 | 403, reason: string) {
  return { ok: false, status, reason } as const
}

function digest(password: Buffer): Buffer {
  return createHash('sha256').update(password).digest()
}

function readPassword(file: string): Buffer {
  let content: Buffer
  try {
    content = readFileSync(file)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('config/unreadable', `${file}: cannot be read: ${reason}`, { cause })
  }
  const text = content.toString('latin1').replace(/[\r\n]+$/, '')
  if (text === '') throw new WattError('config/invalid', `${file}: expected a password, found nothing`)
  return Buffer.from(text, 'latin1')
}

// RFC 7617. Passwords may be any bytes.
function readBasic(header: string): Buffer | undefined {
  const encoded = /^\s*basic\s+([A-Za-z0-9+/_=-]+)\s*$/i.exec(header)?.[1]
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64')
}
