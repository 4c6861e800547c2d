import { randomBytes } from 'node:crypto'
import { type OcppVersion, WattError } from '@wattline/protocol'
import type { AdoptedStations, SecurityProfile } from '../../store/adopted-stations.ts'
import { hashPassword } from '../admission.ts'
import type { StationCertificates } from '../authority/station-certificates.ts'
import { fieldsOf } from '../json-place.ts'
import type { AskStation, StationSettings } from './station-settings.ts'

/** One thing that was tried, in words. Never with a secret. */
export interface AdoptionStep {
  readonly ok: boolean
  readonly words: string
}

export interface SecureParts {
  readonly stationId: string
  readonly version: OcppVersion
  readonly profile: Exclude<SecurityProfile, 0>
  readonly adopted: AdoptedStations
  readonly certificates: StationCertificates | undefined
  readonly settings: StationSettings
  readonly ask: AskStation
  /** Where the station could be told to connect with this profile. */
  readonly url: string | undefined
}

const certificateWithinMs = 60_000

/**
 * Gives a station what its security profile needs, and asks it to use it. What it must show is stored before it is
 * told, and counts from the connection on that first shows it: whatever fails in between, nobody is locked out.
 */
export async function secureStation(parts: SecureParts): Promise<readonly AdoptionStep[]> {
  const { profile } = parts
  const first = profile === 3 ? await giveCertificate(parts) : await givePassword(parts)
  if (!first.every(({ ok }) => ok)) return first
  return [...first, ...(await raiseProfile(parts))]
}

// OCPP 1.6: 40 digits of hex for 20 bytes. OCPP 2.x: 16 to 40 characters.
async function givePassword(parts: SecureParts): Promise<readonly AdoptionStep[]> {
  const { stationId, version, profile, adopted, settings } = parts
  const password = randomBytes(20)
  const before = adopted.find(stationId)
  adopted.change(stationId, { nextProfile: profile, nextPasswordHash: hashPassword(password) })
  const name = version === 'ocpp1.6' ? 'AuthorizationKey' : 'SecurityCtrlr.BasicAuthPassword'
  const answer = await settings.change(name, password.toString('hex')).catch(toStep)
  if (answer === 'accepted' || answer === 'after-restart') return [done('it has taken a new password')]
  // No answer may mean that it has taken it: either password is good until one of them was shown.
  if (typeof answer !== 'string') return [answer]
  adopted.change(stationId, { nextProfile: before?.nextProfile, nextPasswordHash: before?.nextPasswordHash })
  return [failed(`it does not take a password (${name}: ${answer}); set one by hand and list the station with it`)]
}

async function giveCertificate({ stationId, version, adopted, certificates, ask }: SecureParts) {
  if (certificates === undefined) return [failed('there is no authority: run wattline-gateway ocpp ca init')]
  const certificateType = version === 'ocpp1.6' ? 'CentralSystemRootCertificate' : 'CSMSRootCertificate'
  const steps: AdoptionStep[] = []
  try {
    const { payload } = await ask('InstallCertificate', { certificateType, certificate: certificates.root })
    const status = String(fieldsOf(payload)?.['status'])
    if (status === 'Accepted') steps.push(done("it trusts this gateway's certificate"))
    // It may have been given by hand.
    else steps.push(done(`it did not take our root certificate (${status}); if it refuses TLS, load ca.pem by hand`))
  } catch (error) {
    steps.push({ ...toStep(error), ok: true })
  }
  const outcome = await certificates.renew(stationId, certificateWithinMs)
  if (!outcome.ok) return [...steps, failed(`it has no certificate: ${outcome.reason}`)]
  adopted.change(stationId, { nextProfile: 3 })
  return [...steps, done(`it has a certificate until ${new Date(outcome.endsAt).toISOString().slice(0, 10)}`)]
}

async function raiseProfile(parts: SecureParts): Promise<readonly AdoptionStep[]> {
  return parts.version === 'ocpp1.6' ? await raiseProfile16(parts) : await raiseProfile2(parts)
}

async function raiseProfile16({ profile, settings, url }: SecureParts): Promise<readonly AdoptionStep[]> {
  const answer = await settings.change('SecurityProfile', String(profile)).catch(toStep)
  if (answer === 'accepted') return [done(`it will connect with security profile ${profile}`)]
  if (answer === 'after-restart') return [done(`it will connect with security profile ${profile} after a restart`)]
  const why = typeof answer === 'string' ? `SecurityProfile: ${answer}` : answer.words
  const byHand = profile === 1 ? '' : `; set its URL to ${url ?? 'wss://'} by hand`
  // Older ones use their password as soon as they have one.
  return [done(`it does not change its security profile by itself (${why})${byHand}`)]
}

// OCPP 2.0.1 B09 and A05: a new network profile, first in the order, used after a restart.
async function raiseProfile2({ profile, settings, ask, url, version }: SecureParts): Promise<readonly AdoptionStep[]> {
  try {
    if ((await settings.read('SecurityCtrlr.SecurityProfile')) === String(profile)) return []
    if (url === undefined) return [failed('it went away')]
    const order = (await settings.read('OCPPCommCtrlr.NetworkConfigurationPriority')) ?? ''
    const slots = order.split(',').filter((slot) => /^\d+$/.test(slot))
    const free = [1, 2, 3, 4].find((slot) => !slots.includes(String(slot))) ?? 1
    const { payload } = await ask('SetNetworkProfile', {
      configurationSlot: free,
      connectionData: {
        ocppVersion: version === 'ocpp2.1' ? 'OCPP21' : 'OCPP20',
        ocppTransport: 'JSON',
        ocppCsmsUrl: url,
        messageTimeout: 30,
        securityProfile: profile,
        ocppInterface: 'Wired0',
      },
    })
    const status = String(fieldsOf(payload)?.['status'])
    if (status !== 'Accepted') return [done(byHand(profile, url, `SetNetworkProfile: ${status}`))]
    const priority = [String(free), ...slots.filter((slot) => slot !== String(free))].join(',')
    const answer = await settings.change('OCPPCommCtrlr.NetworkConfigurationPriority', priority)
    if (answer === 'refused' || answer === 'unknown') return [done(byHand(profile, url, `priority ${answer}`))]
    await ask('Reset', { type: 'OnIdle' })
    return [done(`it connects with security profile ${profile} to ${url} after a restart, which it has been asked for`)]
  } catch (error) {
    return [done(byHand(profile, url ?? 'wss://', toStep(error).words))]
  }
}

function byHand(profile: number, url: string, why: string): string {
  return `it does not change its security profile by itself (${why}); set profile ${profile} and ${url} by hand`
}

function done(words: string): AdoptionStep {
  return { ok: true, words }
}

function failed(words: string): AdoptionStep {
  return { ok: false, words }
}

function toStep(error: unknown): AdoptionStep {
  if (!(error instanceof WattError)) throw error
  return failed(error.message)
}
