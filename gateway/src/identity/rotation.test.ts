import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import {
  formatPublicKey,
  isSuccessor,
  makeMeterId,
  makePointId,
  makeTimestamp,
  nobleVerifier,
  type ParsedOcmf,
  parseCertificate,
  parseOcmfText,
  parseRotation,
  verifyParsed,
} from '@wattline/protocol'
import test from 'ava'
import { makeTempFolder, openRig, rigGatewayId, type SigningRig } from '../../test/signing-rig.ts'
import { databasePath, openStore } from '../store/database.ts'
import { findPoint } from '../store/points.ts'
import { loadCertificate, replaceCertificate } from './certificate-file.ts'
import { loadDeviceKey } from './device-key.ts'
import { exchangeKey, finishRotation, promoteKeyOf } from './rotation.ts'

const meterId = makeMeterId('roof')
const roof = { meterId, point: makePointId(rigGatewayId, meterId) }

function exchange({ session, dataDir, clock }: SigningRig) {
  const { store, epochs } = session
  const issuedAt = makeTimestamp(clock.nowMs)
  return exchangeKey(roof, dataDir, { store, issuedAt, nextEpoch: (at) => epochs.next(at) })
}

/** As a gateway does at its start. */
function finish(dataDir: string): void {
  const store = openStore(dataDir)
  try {
    finishRotation(roof, dataDir, store)
  } finally {
    store.close()
  }
}

function words(dataDir: string) {
  const store = openStore(dataDir)
  try {
    const lines = findPoint(store, roof.point)?.rotations.split('\n') ?? []
    return lines.map((line) => (line.startsWith('WATT-CERT|') ? parseCertificate(line) : parseRotation(line)))
  } finally {
    store.close()
  }
}

test('SPEC-95: another key goes on in a new epoch right after the last record of the old one, which names both', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const rig = openRig({ dataDir })
  rig.sign(1_000)
  const before = rig.sign(1_010)
  const old = rig.setups[0]!.signer.publicKey
  const next = exchange(rig)
  rig.close()
  finish(dataDir)
  const again = openRig({ dataDir })
  t.teardown(() => again.close())
  const after = again.sign(1_020)
  const [head, first] = again.texts().slice(-2).map(parseOcmfText) as [ParsedOcmf, ParsedOcmf]
  t.deepEqual([after.sequence, first.record.previousHash], [before.sequence + 1, head.hash])
  t.true(after.epoch > before.epoch)
  t.true(verifyParsed(first, next.key, nobleVerifier).ok)
  t.true(verifyParsed(head, old, nobleVerifier).ok)
  const [word, certificate] = words(dataDir)
  t.true(word !== undefined && 'last' in word && certificate !== undefined && 'role' in certificate)
  if (word === undefined || !('last' in word) || certificate === undefined || !('role' in certificate)) return
  t.true(isSuccessor(word, certificate))
  t.deepEqual(word.last, { epoch: before.epoch, sequence: before.sequence, hash: head.hash })
  t.is(formatPublicKey(word.key), formatPublicKey(old))
  t.false(existsSync(join(dataDir, 'keys', 'roof.key.next')))
})

test('SPEC-95: wherever a rotation is cut, one key is in force, and it is the database’s', (t) => {
  for (const cut of ['before the files', 'after the certificate', 'after the certificate, database lost']) {
    const dataDir = makeTempFolder(t.teardown)
    const rig = openRig({ dataDir })
    rig.sign(1_000)
    const next = exchange(rig)
    const row = findPoint(rig.session.store, roof.point)!
    rig.close()
    if (cut !== 'before the files') replaceCertificate(dataDir, meterId, row)
    if (cut.endsWith('lost')) promoteKeyOf(loadCertificate(dataDir, meterId)!, dataDir, meterId)
    else finish(dataDir)
    t.deepEqual(loadDeviceKey(dataDir, meterId)?.publicKey, next.key, cut)
    t.is(loadCertificate(dataDir, meterId)?.text, next.text, cut)
    finish(dataDir)
    t.deepEqual(loadDeviceKey(dataDir, meterId)?.publicKey, next.key, 'a second time changes nothing')
  }
})

test('SPEC-95: a key that was made and never named is used for the next rotation', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const rig = openRig({ dataDir })
  rig.sign(1_000)
  const old = rig.setups[0]!.signer.publicKey
  t.throws(() =>
    exchangeKey(roof, dataDir, { store: rig.session.store, issuedAt: makeTimestamp(1), nextEpoch: broken }),
  )
  finishRotation(roof, dataDir, rig.session.store)
  t.deepEqual(loadDeviceKey(dataDir, meterId)?.publicKey, old)
  const waiting = loadDeviceKey(dataDir, meterId, 'next')
  t.deepEqual(exchange(rig).key, waiting?.publicKey)
  rig.close()
})

function broken(): never {
  throw new Error('the disk is full')
}

test('SPEC-95: a database from before the rotation finds its way to the new key', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const rig = openRig({ dataDir })
  rig.sign(1_000)
  rig.session.store.db.pragma('wal_checkpoint(TRUNCATE)')
  const backup = join(makeTempFolder(t.teardown), 'backup')
  copyFileSync(databasePath(dataDir), backup)
  exchange(rig)
  finishRotation(roof, dataDir, rig.session.store)
  const next = exchange(rig)
  rig.close()
  finish(dataDir)
  copyFileSync(backup, databasePath(dataDir))
  finish(dataDir)
  const again = openRig({ dataDir })
  t.teardown(() => again.close())
  t.is(findPoint(again.session.store, roof.point)?.publicKey, formatPublicKey(next.key))
  again.sign(1_030)
  t.true(verifyParsed(parseOcmfText(again.texts().at(-1)!), next.key, nobleVerifier).ok)
})
