import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { makeTimestamp } from '@wattline/protocol'
import { Wallet } from '../src/evm/wallet.ts'
import { genesisSeconds } from './anvil.ts'
import { Chain } from './chain.ts'
import { type Finished, runCommand } from './programs.ts'
import { Device, openRig, startMs, tempDir } from './rig.ts'

// A ledger with records, a chain, and `wattline-ledger relay` between them, as a process.

interface Teardown {
  teardown(fn: () => void): void
}

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const secretKey = '7c'.repeat(32)
const producer = 2

export interface RelayPoint {
  readonly device: Device
  readonly owner: number
}

/** A chain that takes a block every tenth of a second while `work` runs. */
export async function whileMining<T>(chain: Pick<Chain, 'anvil'>, work: () => Promise<T>): Promise<T> {
  let ended = false
  const mining = (async () => {
    while (!ended) {
      await chain.anvil.mine()
      await sleep(100)
    }
  })()
  try {
    return await work()
  } finally {
    ended = true
    await mining
  }
}

/** Opens a ledger in a folder with a config that names the chain's contract. */
export async function openRelayRig(t: Teardown, points: number) {
  const chain = await Chain.start()
  t.teardown(() => void chain.stop())
  await chain.anvil.mine(genesisSeconds + 86_400)
  const payer = new Wallet({ ask: () => Promise.reject(new Error('asks nothing')) }, Buffer.from(secretKey, 'hex'), {
    maxFeePerGas: 0n,
    tipPerGas: 0n,
  }).address
  await chain.anvil.rpc('anvil_setBalance', payer, '0x56bc75e2d63100000')
  const folder = tempDir(t)
  const { engine } = openRig(t, { dataDir: join(folder, 'data') })
  const path = join(folder, 'ledger.yaml')
  writeFileSync(join(folder, 'payer.key'), `${secretKey}\n`, { mode: 0o600 })
  writeFileSync(
    path,
    `version: 1
ledger: { dataDir: ./data }
mqtt: { embedded: { host: 127.0.0.1, port: 0 } }
evm: { rpcUrl: "${chain.anvil.url}", attestation: "${chain.attestation}", keyFile: ./payer.key, everySeconds: 1 }
`,
  )
  const enrolled: RelayPoint[] = []
  for (let i = 0; i < points; i++) {
    const device = new Device({ meter: `roof-${i}`, role: 'producer' })
    const owner = 80_000 + i
    // The ledger's first record begins the count; the chain is told so.
    engine.ingest([device.certificateMessage(), device.read({ export: 1000n })])
    const first = { at: makeTimestamp(startMs + 60_000), registers: { export: 1000n } }
    await chain.enrol(device.signer, { owner, books: producer, maxPowerW: 1_000_000, first })
    enrolled.push({ device, owner })
  }
  return { chain, engine, path, folder, points: enrolled }
}

/** Runs the program until it has nothing left to send. */
export function relayOnce(chain: Chain, path: string): Promise<Finished> {
  return whileMining(chain, () => runCommand(['relay', '--config', path, '--once']))
}

/** Runs the program and kills it after so many milliseconds. */
export async function relayAndKill(path: string, afterMs: number): Promise<void> {
  const child = spawn(process.execPath, [main, 'relay', '--config', path], { stdio: 'ignore' })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await sleep(afterMs)
  child.kill('SIGKILL')
  await ended
}
