import { createHash, generateKeyPairSync, sign } from 'node:crypto'

/** For tests: a meter of another maker in a charging station, that signs what it shows as OCMF. */
export class SigningMeter {
  readonly serial: string
  /** SPKI in hex. */
  readonly publicKey: string
  readonly #privateKey
  #page = 0

  constructor(serial = 'BQ27400330016') {
    const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    this.serial = serial
    this.#privateKey = pair.privateKey
    this.publicKey = pair.publicKey.export({ format: 'der', type: 'spki' }).toString('hex')
  }

  /** A signed reading; `signature` puts something else in the place of the signature. */
  read(kwh: number, mark: 'B' | 'E' = 'E', signature?: (payload: string) => Buffer): string {
    const reading = `{"TM":"2026-11-21T09:00:00,000+0000 S","TX":"${mark}","RV":${kwh},"RI":"1-b:1.8.0","RU":"kWh","EF":"","ST":"G"}`
    const head = `{"FV":"1.0","GI":"ACME","GS":"","PG":"T${++this.#page}","MS":"${this.serial}","IS":false,"IT":"NONE"`
    const payload = `${head},"RD":[${reading}]}`
    const made = signature?.(payload) ?? sign('sha256', Buffer.from(payload), this.#privateKey)
    return `OCMF|${payload}|{"SA":"ECDSA-secp256r1-SHA256","SD":"${made.toString('hex')}"}`
  }
}

/** What some firmware sends for a signature. */
export const bareHash = (payload: string) => createHash('sha256').update(payload).digest()
