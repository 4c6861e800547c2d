import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  makeGatewayId,
  makeMeterId,
  makePointId,
  makeSigner,
  type OrderAction,
  parseCertificate,
  type Signer,
  signOrder,
} from '@wattline/protocol'
import { owner } from '../src/demo/house-chargers.ts'
import { runCommand } from '../src/demo/programs.ts'
import { certificatesOf } from './key-rotation.ts'
import type { Line } from './line.ts'

export interface KeyPlace {
  readonly epoch: number
  readonly sequence: number
}

/** What the gateway prints of its keys, as it lies in a file. */
export interface Papers {
  readonly file: string
  readonly lines: readonly string[]
}

/** Whoever says which key speaks for a metering point, and from when on none does. Gives the code of a refusal, or `done`. */
export interface KeyAuthority {
  /** Puts the last certificate of a meter in force. */
  admit(meter: string, papers: Papers): Promise<string>
  revoke(meter: string, last: KeyPlace): Promise<string>
}

/** The ledger's operator, whose word is enough where an owner has no key. */
export class OperatorAuthority implements KeyAuthority {
  readonly #line: Line

  constructor(line: Line) {
    this.#line = line
  }

  admit(meter: string, { file }: Papers): Promise<string> {
    return runLedger(this.#line, 'enrol', '--point', `gw-1/${meter}`, '--certificate', file)
  }

  revoke(meter: string, { epoch, sequence }: KeyPlace): Promise<string> {
    const place = ['--epoch', `${epoch}`, '--after-sequence', `${sequence}`]
    return runLedger(this.#line, 'revoke', '--point', `gw-1/${meter}`, ...place)
  }
}

/** Somebody who signs that a meter is theirs; the operator only hands in what is signed. */
export class OwnerAuthority implements KeyAuthority {
  readonly #line: Line
  readonly #signer: Signer

  constructor(line: Line, secret: number) {
    this.#line = line
    this.#signer = makeSigner(new Uint8Array(32).fill(secret))
  }

  admit(meter: string, { file, lines }: Papers): Promise<string> {
    const own = lines.findLast((line) => line.startsWith('WATT-CERT|') && line.includes(`"point":"gw-1/${meter}"`))
    const { hash: certificate } = parseCertificate(own ?? '')
    const order = this.#sign(meter, { do: 'accept', certificate, owner })
    return runLedger(this.#line, 'enrol', '--point', `gw-1/${meter}`, '--certificate', file, '--acceptance', order)
  }

  revoke(meter: string, { epoch, sequence }: KeyPlace): Promise<string> {
    const order = this.#sign(meter, { do: 'revoke', last: { epoch, sequence } })
    return runLedger(this.#line, 'point', 'apply', order)
  }

  #sign(meter: string, action: OrderAction): string {
    const point = makePointId(makeGatewayId('gw-1'), makeMeterId(meter))
    const file = join(this.#line.house.folder, `${meter}.order`)
    writeFileSync(file, signOrder({ point, action, issuedAt: Date.now() }, this.#signer).text)
    return file
  }
}

export async function printPapers(line: Line): Promise<Papers> {
  const file = join(line.house.folder, 'certificates')
  const text = await certificatesOf(line)
  writeFileSync(file, text)
  return { file, lines: text.split('\n') }
}

async function runLedger({ house }: Line, ...args: readonly string[]): Promise<string> {
  const { code, stderr } = await runCommand('ledger', [...args, '--config', house.ledgerConfig])
  return code === 0 ? 'done' : (/\b[a-z]+\/[a-z-]+(?=:)/.exec(stderr)?.[0] ?? stderr)
}
