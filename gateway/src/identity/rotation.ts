import {
  type Certificate,
  formatPublicKey,
  type KeyRotation,
  type MeterId,
  makeCertificate,
  type PointId,
  parseCertificate,
  parseRotation,
  samePublicKey,
  signRotation,
  type Timestamp,
  WattError,
} from '@wattline/protocol'
import type { Store } from '../store/database.ts'
import { openEpochAtHead } from '../store/epochs.ts'
import { changeKey, findPoint, type PointRow } from '../store/points.ts'
import { loadCertificate, loadRotations, replaceCertificate } from './certificate-file.ts'
import { ensureDeviceKey, loadDeviceKey, promoteNextKey } from './device-key.ts'

// SPEC-95. The old key names the new one and its own last record; then the new key takes over in a new epoch. The
// database decides: the new key lies ready before the commit, and takes its file's place after it, at the latest with
// the next start. Whatever is cut in between, one of the two keys is in force, and the words that lead to it are kept.

/** The metering point whose key is meant. */
export interface KeyHolder {
  readonly meterId: MeterId
  readonly point: PointId
}

/** Rotations that are kept: a ledger that has missed more was restored from a backup of years ago. */
const kept = 8

/** What an exchange of keys works with. */
export interface Exchange {
  readonly store: Store
  readonly issuedAt: Timestamp
  nextEpoch(atLeast: number): number
}

/** Puts a new key in force, in one transaction; its files follow. */
export function exchangeKey(
  { meterId, point }: KeyHolder,
  dataDir: string,
  { store, issuedAt, nextEpoch }: Exchange,
): Certificate {
  const row = findPoint(store, point)
  const [signer, certificate] = [loadDeviceKey(dataDir, meterId), loadCertificate(dataDir, meterId)]
  if (row === undefined || signer === undefined || certificate === undefined) {
    throw new WattError('config/invalid', `${meterId} has no records yet: its key is as good as new`)
  }
  if (formatPublicKey(signer.publicKey) !== row.publicKey) {
    throw new WattError('key/mismatch', `${point}: the key in ${dataDir}/keys is not the one that signs`)
  }
  const { key: _key, hash: _hash, text: _text, ...facts } = certificate
  const next = makeCertificate({ ...facts, issuedAt }, ensureDeviceKey(dataDir, meterId, 'next'))
  const word = signRotation({ point, certificate: next.hash, last: lastPlace(store, row), issuedAt }, signer)
  const lines = [...row.rotations.split('\n').filter((line) => line !== ''), word.text, next.text]
  store.write(() => {
    changeKey(store, row.number, {
      publicKey: formatPublicKey(next.key),
      certificate: next.text,
      rotations: lines.slice(-2 * kept).join('\n'),
    })
    openEpochAtHead(store, row, nextEpoch(row.epoch))
  })
  return next
}

// The epoch that is open may hold no record yet, and records that were confirmed long ago are kept no more.
function lastPlace(store: Store, { number, sequence, headHash, acknowledged }: PointRow): KeyRotation['last'] {
  const epoch: unknown = store
    .sql('SELECT epoch FROM records WHERE point = ? AND sequence = ? AND hash = ?')
    .pluck()
    .get(number, sequence, headHash)
  if (typeof epoch === 'number') return { epoch, sequence, hash: headHash }
  if (acknowledged.hash === headHash) return { ...acknowledged }
  return { epoch: 0, sequence: 0, hash: headHash }
}

/** Where a rotation was cut after the certificate had taken its place: the key follows. */
export function promoteKeyOf({ key }: Certificate, dataDir: string, meterId: MeterId): void {
  const next = loadDeviceKey(dataDir, meterId, 'next')
  if (next !== undefined && samePublicKey(next.publicKey, key)) promoteNextKey(dataDir, meterId)
}

/** Brings the files to what the database says, where a rotation was cut; or the database, where it was restored. */
export function finishRotation({ meterId, point }: KeyHolder, dataDir: string, store: Store): void {
  const row = findPoint(store, point)
  if (row === undefined) return
  const next = loadDeviceKey(dataDir, meterId, 'next')
  if (next !== undefined && formatPublicKey(next.publicKey) === row.publicKey) {
    replaceCertificate(dataDir, meterId, row)
    promoteNextKey(dataDir, meterId)
    return
  }
  const key = loadDeviceKey(dataDir, meterId)
  if (key === undefined || formatPublicKey(key.publicKey) === row.publicKey) return
  const rotations = loadRotations(dataDir, meterId)
  const certificate = findSuccessor(rotations, row.publicKey, formatPublicKey(key.publicKey))
  if (certificate === undefined) return // whoever checks the key tells
  const publicKey = formatPublicKey(certificate.key)
  store.write(() => changeKey(store, row.number, { publicKey, certificate: certificate.text, rotations }))
}

// Follows the words from one key to another.
function findSuccessor(rotations: string, from: string, to: string): Certificate | undefined {
  const lines = rotations.split('\n')
  const words = lines.filter((line) => line.startsWith('WATT-ROTATION|')).map(parseRotation)
  const certificates = lines.filter((line) => line.startsWith('WATT-CERT|')).map(parseCertificate)
  let found: Certificate | undefined
  for (let key = from; key !== to; ) {
    const word = words.find((each) => formatPublicKey(each.key) === key)
    found = certificates.find(({ hash }) => hash === word?.certificate)
    if (found === undefined) return undefined
    key = formatPublicKey(found.key)
  }
  return found
}
