import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseTransferAnswer, type TransferAnswer, WattError } from '@wattline/protocol'
import type { LedgerConfig } from '../config.ts'
import { type LedgerEngine, openLedger } from '../engine.ts'
import { loadLedgerKey } from '../ledger-key.ts'
import { databaseFile } from '../store/database.ts'
import { systemClock } from '../system-clock.ts'
import { pickVerifier } from '../verifiers/pick.ts'
import { openOrderDesk } from './desk.ts'

// What the command line does with wallets, while a ledger runs or not: transactions of the same database.

/** What became of one order of a file. */
export type TakenOrder =
  | { readonly answer: TransferAnswer }
  /** It is none that this ledger answers. */
  | { readonly error: WattError }

/** Takes each order in a file, in the order in which they stand there. */
export async function takeOrders(config: LedgerConfig, path: string): Promise<readonly TakenOrder[]> {
  if (config.evm !== undefined) {
    throw new WattError(
      'config/invalid',
      'section evm is there: WATT is paid with on the chain, or it could be spent twice',
    )
  }
  const orders = readLines(path).filter((line) => line.startsWith('WATT-TRANSFER|'))
  if (orders.length === 0) throw new WattError('message/unreadable', `${path}: no order in it`)
  const verifier = await pickVerifier(config.ledger.verifier)
  return withLedger(config, async (engine) => {
    const signer = await loadLedgerKey(config.ledger.dataDir)
    const desk = openOrderDesk(engine, { clock: systemClock, verifier, signer })
    return orders.map((text) => {
      try {
        return { answer: parseTransferAnswer(desk.orders.take(text)) }
      } catch (error) {
        if (error instanceof WattError && !/^(storage|journal)\//.test(error.code)) return { error }
        throw error
      }
    })
  })
}

/** Binds a named owner to a wallet (SPEC-154). */
export function bindWallet(
  config: LedgerConfig,
  { owner, address }: { readonly owner: string; readonly address: string },
): Promise<{ readonly owner: string; readonly address: string; readonly entry: number }> {
  return withLedger(config, (engine) => ({
    owner,
    address,
    entry: engine.db.write(() => engine.bindings.bind(owner, address)),
  }))
}

/** Works with the ledger of a config, which must be there. */
export async function withLedger<T>(config: LedgerConfig, work: (engine: LedgerEngine) => T | Promise<T>): Promise<T> {
  const { dataDir, enrolment, operatorKeyFile, verifier: name } = config.ledger
  // A wrong path must not make a second, empty ledger with a key of its own.
  if (!existsSync(join(dataDir, databaseFile))) throw new WattError('config/unreadable', `no ledger data in ${dataDir}`)
  const verifier = await pickVerifier(name)
  const engine = openLedger({ dataDir, clock: systemClock, verifier, enrolment, operatorKeyFile })
  try {
    return await work(engine)
  } finally {
    engine.close()
  }
}

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'latin1')
      .split(/\r?\n/)
      .map((line) => line.trim())
  } catch (cause) {
    throw new WattError('message/unreadable', `${path}: cannot be read`, { cause })
  }
}
