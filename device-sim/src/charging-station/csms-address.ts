import type { DurableState } from './durable-state.ts'
import type { FirmwareOptions } from './firmware-options.ts'
import type { Settings } from './settings.ts'

export interface CsmsAddressParts extends Pick<FirmwareOptions, 'url' | 'password' | 'version'> {
  readonly state: DurableState
  readonly settings: Settings
}

const attemptsPerProfile = 3

/** Where the CSMS is, and what proves to it who the station is. */
export class CsmsAddress {
  readonly #parts: CsmsAddressParts

  constructor(parts: CsmsAddressParts) {
    this.#parts = parts
  }

  /** Where to connect: OCPP 2.x has an order of network profiles, of which the next is taken after some failures. */
  url(attempt: number): string {
    const { networkProfiles } = this.#parts.state.now.security
    const slots = this.#parts.settings.text('networkPriority').split(',')
    const slot = slots[Math.floor(attempt / attemptsPerProfile) % slots.length] ?? ''
    return networkProfiles[slot]?.url ?? this.#parts.url
  }

  /** OCPP-J 1.6 §6.2: the key comes as hex, and the bytes are the password. */
  password(): string | undefined {
    const given = this.#parts.settings.text('password')
    if (given === '') return this.#parts.password
    const isHex = this.#parts.version === '1.6' && /^[0-9a-f]{32,40}$/i.test(given) && given.length % 2 === 0
    return isHex ? Buffer.from(given, 'hex').toString('latin1') : given
  }
}
