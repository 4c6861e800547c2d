import { once } from 'node:events'
import {
  formatPublicKey,
  type MeterId,
  makeGatewayId,
  makeMeterId,
  makePointId,
  type PointId,
  WattError,
} from '@wattline/protocol'
import type { GatewayConfig } from './config.ts'
import { loadCertificate } from './identity/certificate-file.ts'
import { loadDeviceKey } from './identity/device-key.ts'
import { listChargingPoints } from './sessions/charging-points.ts'
import { openExistingStore, type Store } from './store/database.ts'
import { findPoint, requestRebase } from './store/points.ts'

/** Where a command's lines go. */
export type Output = NodeJS.WritableStream

interface NamedPoint {
  readonly meterId: MeterId
  readonly point: PointId
}

/** Metering points as configured, or the one that is named. */
// In the order of the configuration, charging points last; one of them where it is named.
export function listPoints(config: GatewayConfig, only?: string): readonly NamedPoint[] {
  const meters = config.meters.map(({ id }) => {
    const meterId = makeMeterId(id)
    return { meterId, point: makePointId(makeGatewayId(config.gateway.id), meterId) }
  })
  const points: readonly NamedPoint[] = [...meters, ...listChargingPoints(config)]
  if (only === undefined) return points
  const chosen = points.filter(({ meterId }) => meterId === only)
  if (chosen.length === 0) {
    throw new WattError(
      'config/invalid',
      `no meter or charging point '${only}'; there is ${points.map(({ meterId }) => meterId).join(', ')}`,
    )
  }
  return chosen
}

/** Prints every record's text, a line each: meter by meter, each in the order of its sequence. */
export async function exportRecords(config: GatewayConfig, output: Output, meter?: string): Promise<void> {
  const store = openExistingStore(config.gateway.dataDir, 'read')
  try {
    for (const { point } of listPoints(config, meter)) {
      for (const text of readTexts(store, point)) {
        if (!output.write(`${text}\n`)) await once(output, 'drain')
      }
    }
  } finally {
    store.close()
  }
}

/** Rows per query: between two of them a running gateway can tidy its write-ahead log. */
const page = 1_000

function* readTexts(store: Store, point: PointId): Generator<string> {
  const row = findPoint(store, point)
  if (row === undefined) return
  const statement = store
    .sql(
      `SELECT epoch, sequence, text FROM records WHERE point = ? AND (epoch, sequence) > (?, ?)
       ORDER BY epoch, sequence LIMIT ${page}`,
    )
    .raw()
  let place: readonly [unknown, unknown] = [0, 0]
  for (;;) {
    const rows = store.read(() => statement.all(row.number, ...place))
    for (const found of rows) {
      if (!Array.isArray(found)) return
      place = [found[0], found[1]]
      yield String(found[2])
    }
    if (rows.length < page) return
  }
}

/** Prints each metering point's public key: `<meterId> <SPKI hex>`. */
export function printKeys(config: GatewayConfig, output: Output): void {
  for (const { meterId } of listPoints(config)) {
    const key = loadDeviceKey(config.gateway.dataDir, meterId)
    if (key === undefined) {
      throw new WattError(
        'key/unreadable',
        `${meterId} has no key yet in ${config.gateway.dataDir}: start the gateway once`,
      )
    }
    output.write(`${meterId} ${formatPublicKey(key.publicKey)}\n`)
  }
}

/** Prints each metering point's certificate, a line each: what a ledger's operator enrols. */
export function printCertificates(config: GatewayConfig, output: Output): void {
  for (const { meterId } of listPoints(config)) {
    const certificate = loadCertificate(config.gateway.dataDir, meterId)
    if (certificate === undefined) {
      const where = config.gateway.dataDir
      throw new WattError(
        'certificate/invalid',
        `${meterId} has no certificate yet in ${where}: it is made at the first poll`,
      )
    }
    output.write(`${certificate.text}\n`)
  }
}

/** Notes that the installer accepts the meter and register that are there now. */
export function acceptSwap(config: GatewayConfig, output: Output, meter: string): void {
  const [chosen] = listPoints(config, meter)
  const store = openExistingStore(config.gateway.dataDir, 'write')
  try {
    if (chosen === undefined || !requestRebase(store, chosen.point)) {
      throw new WattError('config/invalid', `${meter} has no records yet: there is nothing to accept`)
    }
  } finally {
    store.close()
  }
  output.write(`${meter}: the next reading is signed as 're-based'; counting starts anew from it\n`)
}
