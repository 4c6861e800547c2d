import { linkSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { formatPublicKey, makeGatewayId, makeMeterId, makePointId, WattError } from '@wattline/protocol'
import type { Output } from './commands.ts'
import type { GatewayConfig } from './config.ts'
import { loadCertificate, loadRotations } from './identity/certificate-file.ts'
import { loadDeviceKey } from './identity/device-key.ts'
import { promoteKeyOf } from './identity/rotation.ts'
import { listChargingPoints } from './sessions/charging-points.ts'
import { databasePath, openStore } from './store/database.ts'
import { lockInstance } from './store/instance-lock.ts'
import { rebuildPoint } from './store/rebuild.ts'
import { salvage } from './store/salvage.ts'
import { keepLedgerKey } from './store/settings.ts'

/**
 * Saves what is readable of a damaged database into a new one, and puts the damaged one aside. What is lost in between
 * costs no energy, as registers are cumulative; the gateway opens new epochs at its next start (SPEC-32).
 */
export function recover(config: GatewayConfig, output: Output): void {
  const { dataDir } = config.gateway
  const path = databasePath(dataDir)
  if (statSync(path, { throwIfNoEntry: false }) === undefined) {
    throw new WattError('storage/corrupt', `${path} does not exist: there is nothing to recover`)
  }
  const lock = lockInstance(dataDir)
  try {
    const finding = findDamage(dataDir)
    if (finding === undefined) output.write(`${path} is sound: there is nothing to recover\n`)
    else rescue(config, finding, output)
  } finally {
    lock.release()
  }
}

function findDamage(dataDir: string): string | undefined {
  try {
    openStore(dataDir).close()
    return undefined
  } catch (error) {
    if (error instanceof WattError && error.code === 'storage/corrupt') return error.message
    throw error
  }
}

function rescue(config: GatewayConfig, finding: string, output: Output): void {
  const { dataDir, id } = config.gateway
  output.write(`damaged: ${finding}\n`)
  const saved = salvage(databasePath(dataDir))
  // The new database is built elsewhere and takes its place in one step, when it is complete.
  const workshop = join(dataDir, 'recovering')
  rmSync(workshop, { recursive: true, force: true })
  const store = openStore(workshop)
  try {
    const meters = config.meters.map((meter) => makeMeterId(meter.id))
    for (const meterId of [...meters, ...listChargingPoints(config).map((charger) => charger.meterId)]) {
      const point = makePointId(makeGatewayId(id), meterId)
      const certificate = loadCertificate(dataDir, meterId)
      if (certificate !== undefined) promoteKeyOf(certificate, dataDir, meterId)
      const key = loadDeviceKey(dataDir, meterId)
      if (certificate === undefined || key === undefined) continue // it has never signed
      if (formatPublicKey(key.publicKey) !== formatPublicKey(certificate.key)) {
        throw new WattError('key/mismatch', `${point}: key and certificate in ${dataDir}/keys do not belong together`)
      }
      const rotations = loadRotations(dataDir, meterId)
      const { kept, unreachable } = store.write(() => rebuildPoint(store, { certificate, rotations }, saved))
      output.write(`${point}: ${kept} records saved${describeLoss(unreachable)}\n`)
    }
    if (saved.ledgerKey !== undefined) {
      keepLedgerKey(store, saved.ledgerKey)
    }
    store.db.pragma('wal_checkpoint(TRUNCATE)')
  } finally {
    store.close()
  }
  output.write(`the damaged database lies in ${swap(dataDir, workshop)}\n`)
}

function describeLoss(unreachable: number): string {
  return unreachable === 0 ? '' : `, ${unreachable} of them after a gap: kept, and not sent any more`
}

function swap(dataDir: string, workshop: string): string {
  const path = databasePath(dataDir)
  const aside = join(dataDir, `damaged-${new Date().toISOString().replaceAll(':', '-')}`)
  mkdirSync(aside, { mode: 0o700 })
  linkSync(path, join(aside, basename(path)))
  // The log goes first: it must never be applied to the new database.
  for (const suffix of ['-wal', '-shm']) {
    if (statSync(path + suffix, { throwIfNoEntry: false }) === undefined) continue
    renameSync(path + suffix, join(aside, basename(path) + suffix))
  }
  renameSync(databasePath(workshop), path)
  rmSync(workshop, { recursive: true, force: true })
  return aside
}
