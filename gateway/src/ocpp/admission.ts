import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { makeTimestamp, type OcppVersion, type Timestamp, WattError } from '@wattline/protocol'
import type { AdoptedStation, AdoptedStations, SecurityProfile } from '../store/adopted-stations.ts'
import type { ShownCertificate } from './front.ts'
import type { OcppConfig, StationConfig } from './ocpp-config.ts'
import { type Refusal, type RefusalCode, toCertificateRefusal } from './refusal.ts'

/** What a station shows of itself before it is let in. */
export interface StationProof {
  readonly stationId: string
  /** The header as it came. */
  readonly authorization: string | undefined
  readonly isTls: boolean
  readonly certificate: ShownCertificate | undefined
}

/** What holds for a station that is let in. */
export interface StationTerms {
  readonly ok: true
  readonly timeZone: string
  readonly versionIfNone: OcppVersion | undefined
  /** It has shown a password or a certificate. */
  readonly proven: boolean
  /** The common name that a certificate of this station has. */
  readonly certificateName: string
  readonly certificateEndsAt: Timestamp | undefined
}

export interface Refused extends Refusal {
  readonly ok: false
  readonly status: 401 | 403
}

export type Admitted = StationTerms | Refused

/** What one security profile asks of one station. */
interface Demand {
  readonly profile: SecurityProfile
  readonly certificateName: string
  readonly isPassword: ((given: Buffer) => boolean) | undefined
}

/** Decides who may connect. The reasons are for the installer: they name what is wrong, never a secret. */
export class Admission {
  readonly #config: OcppConfig
  readonly #adopted: AdoptedStations
  readonly #stations: ReadonlyMap<string, StationConfig>
  readonly #passwords: ReadonlyMap<string, Buffer>

  /** Reads the password files; throws where one cannot be read or is empty. */
  constructor(config: OcppConfig, adopted: AdoptedStations) {
    this.#config = config
    this.#adopted = adopted
    this.#stations = new Map(config.stations.map((station) => [station.id, station]))
    this.#passwords = new Map(
      config.stations.flatMap(({ id, passwordFile }) =>
        passwordFile === undefined ? [] : [[id, digest(readPassword(passwordFile))] as const],
      ),
    )
  }

  /** Whether a station stands in the configuration, or was adopted. */
  knows(stationId: string): boolean {
    return this.#stations.has(stationId) || this.#adopted.find(stationId) !== undefined
  }

  check(proof: StationProof): Admitted {
    const { stationId } = proof
    const station = this.#stations.get(stationId)
    const adopted = station === undefined ? this.#adopted.find(stationId) : undefined
    if (!this.knows(stationId) && !this.#acceptsUnknown()) {
      return refuse(403, 'unknown-station', `station '${stationId}' is not in the configuration, and not adopted`)
    }
    if (adopted !== undefined) return this.#checkAdopted(proof, adopted)
    const profile = station?.securityProfile ?? this.#config.securityProfile
    const expected = this.#passwords.get(stationId)
    return this.#judge(proof, {
      profile,
      certificateName: station?.certificateName ?? stationId,
      isPassword: expected && ((given) => timingSafeEqual(digest(given), expected)),
    })
  }

  #acceptsUnknown(): boolean {
    const nobodyIsKnown = this.#stations.size === 0 && this.#adopted.size === 0
    return (this.#config.unknownStations ?? (nobodyIsKnown ? 'accept' : 'refuse')) === 'accept'
  }

  // A new profile or password counts from the connection on that first shows it: until then the station may not have
  // taken it, and must not be locked out.
  #checkAdopted(proof: StationProof, adopted: AdoptedStation): Admitted {
    const { id, profile, nextProfile, passwordHash, nextPasswordHash } = adopted
    const judge = (wanted: SecurityProfile, hash: string | undefined) =>
      this.#judge(proof, {
        profile: wanted,
        certificateName: id,
        isPassword: hash === undefined ? undefined : (given) => isAdoptedPassword(given, hash),
      })
    if (nextProfile !== undefined) {
      const next = judge(nextProfile, nextPasswordHash ?? passwordHash)
      if (next.ok) {
        const hash = nextPasswordHash ?? passwordHash
        this.#adopted.change(id, {
          profile: nextProfile,
          nextProfile: undefined,
          passwordHash: hash,
          nextPasswordHash: undefined,
        })
        return next
      }
    }
    return judge(profile, passwordHash)
  }

  #judge(proof: StationProof, demand: Demand): Admitted {
    const { timeZone, noSubprotocol } = this.#config
    const station = this.#stations.get(proof.stationId)
    const refused = findFault(demand, proof)
    if (refused !== undefined) return refused
    const { certificate } = proof
    return {
      ok: true,
      timeZone: station?.timeZone ?? timeZone,
      versionIfNone: (station?.noSubprotocol ?? noSubprotocol) === 'ocpp1.6' ? 'ocpp1.6' : undefined,
      proven: demand.profile > 0,
      certificateName: demand.certificateName,
      certificateEndsAt:
        certificate?.fault === undefined ? certificate && makeTimestamp(certificate.endsAt) : undefined,
    }
  }
}

function findFault(demand: Demand, proof: StationProof): Refused | undefined {
  const { profile } = demand
  if (profile === 0) return undefined
  if (profile > 1 && !proof.isTls) {
    return refuse(403, 'tls-needed', `security profile ${profile} needs TLS: connect to the wss port`)
  }
  return profile === 3 ? checkCertificate(proof, demand) : checkPassword(proof, demand)
}

function checkPassword({ stationId, authorization }: StationProof, { isPassword }: Demand): Refused | undefined {
  if (isPassword === undefined) {
    return refuse(403, 'password-unset', `no password is configured for station '${stationId}'`)
  }
  if (authorization === undefined) {
    return refuse(401, 'password-missing', 'no password was sent, and the security profile needs one')
  }
  const given = readBasic(authorization)
  if (given === undefined) return refuse(401, 'authorization-scheme', 'the Authorization header is not Basic')
  // An identity may have colons, so it is not looked for: the name must be the identity, and the rest is the password.
  const name = Buffer.from(`${stationId}:`)
  if (!given.subarray(0, name.length).equals(name)) {
    return refuse(401, 'user-name', `the user name is not the identity '${stationId}'`)
  }
  return isPassword(given.subarray(name.length)) ? undefined : refuse(401, 'password-wrong', 'the password is wrong')
}

function checkCertificate({ certificate }: StationProof, { certificateName }: Demand): Refused | undefined {
  if (certificate === undefined) {
    const reason = 'no client certificate of our authority was shown, and the security profile needs one'
    return refuse(401, 'certificate-missing', reason)
  }
  if (certificate.fault !== undefined) {
    const { code, reason } = toCertificateRefusal(certificate.fault)
    return refuse(401, code, reason)
  }
  const { name } = certificate
  if (name === certificateName) return undefined
  return refuse(
    401,
    'certificate-name',
    `the certificate is that of '${name.slice(0, 80)}', not of '${certificateName}'`,
  )
}

function refuse(status: 401 | 403, code: RefusalCode, reason: string): Refused {
  return { ok: false, status, code, reason }
}

// Digests have one length, so that the comparison takes one time.
function digest(password: Buffer): Buffer {
  return createHash('sha256').update(password).digest()
}

/** What is kept of a password that is made for a station: 20 random bytes, which no list of guesses has. */
export function hashPassword(password: Buffer): string {
  return digest(password).toString('hex')
}

// OCPP-J 1.6 §6.2: the key is sent to the station in hex, and it logs in with the bytes. Some log in with the hex.
function isAdoptedPassword(given: Buffer, hash: string): boolean {
  const text = given.toString('latin1')
  const bytes = /^[0-9a-f]{40}$/i.test(text) ? Buffer.from(text, 'hex') : given
  return timingSafeEqual(digest(bytes), Buffer.from(hash, 'hex'))
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
