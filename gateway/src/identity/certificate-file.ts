import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Certificate,
  type MeterId,
  parseCertificate,
  type Signer,
  samePublicKey,
  WattError,
} from '@wattline/protocol'
import { writeDurably } from '../store/atomic-file.ts'
import { keyFolder } from './device-key.ts'

// The certificate lies beside its key, not only in the database: when the database is lost, the metering point can
// still name the certificate that the ledger knows, and so begin a chain that the ledger can attach (SPEC-82).

function certificatePath(dataDir: string, meterId: MeterId): string {
  return join(keyFolder(dataDir), `${meterId}.certificate`)
}

/** Reads the certificate of one metering point, or undefined where none was made yet. */
export function loadCertificate(dataDir: string, meterId: MeterId): Certificate | undefined {
  const path = certificatePath(dataDir, meterId)
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined
  try {
    return parseCertificate(readFileSync(path, 'latin1').trim())
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('certificate/invalid', `${path}: ${reason}. Put it back from a backup of this file`, { cause })
  }
}

function rotationsPath(dataDir: string, meterId: MeterId): string {
  return join(keyFolder(dataDir), `${meterId}.rotations`)
}

/** Reads what keys have said of their successors (SPEC-95); empty where there was no other key. */
export function loadRotations(dataDir: string, meterId: MeterId): string {
  const path = rotationsPath(dataDir, meterId)
  return statSync(path, { throwIfNoEntry: false }) === undefined ? '' : readFileSync(path, 'latin1').trim()
}

/** Puts another key's certificate in place, with the words that lead to it. */
export function replaceCertificate(
  dataDir: string,
  meterId: MeterId,
  { certificate, rotations }: { readonly certificate: string; readonly rotations: string },
): void {
  writeDurably(rotationsPath(dataDir, meterId), `${rotations}\n`, 'replace')
  writeDurably(certificatePath(dataDir, meterId), `${certificate}\n`, 'replace')
}

/** Reads the certificate, or keeps the one that `make` gives where there is none: it is made once (SPEC-51). */
export function ensureCertificate(dataDir: string, meterId: MeterId, signer: Signer, make: () => string): Certificate {
  const existing = loadCertificate(dataDir, meterId)
  if (existing === undefined) {
    writeDurably(certificatePath(dataDir, meterId), `${make()}\n`, 'keep-existing')
  }
  const certificate = existing ?? loadCertificate(dataDir, meterId)
  if (certificate === undefined || !samePublicKey(certificate.key, signer.publicKey)) {
    const path = certificatePath(dataDir, meterId)
    throw new WattError('key/mismatch', `${path} names another key than the one that lies beside it`)
  }
  return certificate
}
