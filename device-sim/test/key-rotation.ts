import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fromHex, makeSigner, type Signer } from '@wattline/protocol'
import { connectAsync } from 'mqtt'
import { Program, runCommand } from '../src/demo/programs.ts'
import { makeRandom } from '../src/random.ts'
import type { Line } from './line.ts'

/** The secret with which a meter's records are signed right now. */
export function readDeviceKey(line: Line, meter: string): Signer {
  const path = join(line.house.folder, 'gateway', 'keys', `${meter}.key`)
  const secret = fromHex(readFileSync(path, 'latin1').trim())
  if (secret === undefined) throw new Error(`${path}: no key`)
  return makeSigner(secret)
}

/** Sends a record as somebody else than the gateway; gives the code that it is put aside with. */
export async function publishAsThief(line: Line, meter: string, text: string): Promise<string> {
  const client = await connectAsync(line.mqttUrl, { clientId: 'thief' })
  const from = line.ledger.log.length
  await client.publishAsync(`wattline/v1/gw-1/${meter}/record`, text, { qos: 1 })
  const { code } = await line.ledger.event(({ event }) => event === 'message.quarantined', from)
  await client.endAsync()
  return String(code)
}

/** What the gateway prints of its keys. */
export async function certificatesOf({ house }: Line): Promise<string> {
  return (await runCommand('gateway', ['certificates', '--config', house.gatewayConfig])).stdout
}

/** Gives a meter another key; the gateway is stopped. Throws with the command's own words where it failed. */
export async function rotateKey(line: Line, meter: string): Promise<string> {
  const { code, stdout, stderr } = await runCommand('gateway', rotation(line, meter))
  if (code !== 0) throw new Error(`rotate-key ended with ${code}: ${stderr}`)
  return stdout
}

function rotation({ house }: Line, meter: string): string[] {
  return ['rotate-key', '--config', house.gatewayConfig, '--meter', meter]
}

async function cutShort(args: readonly string[], afterMs: number): Promise<void> {
  const command = new Program('gateway', args)
  await sleep(afterMs)
  await command.stop('SIGKILL')
}

export interface RotationOptions {
  readonly line: Line
  readonly meter: string
  readonly rotations: number
  readonly seed: number
}

/**
 * Gives a meter other keys while readings flow: gateway, ledger and now and then the command itself are killed with
 * SIGKILL at random moments around it.
 */
export async function rotateUnderFire({ line, meter, rotations, seed }: RotationOptions): Promise<void> {
  const random = makeRandom(seed)
  const pause = (mostMs: number) => sleep(random() * mostMs)
  for (let round = 0; round < rotations; round++) {
    await pause(1200)
    await line.ledger.stop('SIGKILL')
    await pause(800) // what is signed now waits under the key that goes
    await line.gateway.stop('SIGKILL')
    if (random() < 0.5) await cutShort(rotation(line, meter), random() * 900)
    await rotateKey(line, meter)
    const both = [() => line.startLedger(), () => line.startGateway()]
    for (const start of random() < 0.5 ? both : both.toReversed()) {
      await start()
      await pause(400)
    }
  }
}
