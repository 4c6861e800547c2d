import { WattError } from '@wattline/protocol'

/** Says what a failed write to disk means, in our own words; anything else comes back as it was. */
export function toStorageError(error: unknown, where: string): unknown {
  if (error instanceof WattError || !(error instanceof Error) || !('code' in error)) return error
  const { code, message } = error
  if (typeof code !== 'string') return error
  const options = { cause: error, retryable: isFull(code) || isLocked(code) }
  if (isFull(code)) return new WattError('storage/full', `${where}: no room left (${code})`, options)
  if (isLocked(code)) return new WattError('storage/locked', `${where}: another process holds it (${code})`, options)
  if (isDamaged(code)) return new WattError('storage/corrupt', `${where}: ${message} (${code})`, options)
  return error
}

// SQLITE_IOERR_SHMSIZE: the WAL's index could not grow, which is how a full disk shows there.
function isFull(code: string): boolean {
  return ['SQLITE_FULL', 'SQLITE_IOERR_SHMSIZE', 'ENOSPC', 'EDQUOT'].includes(code)
}

function isLocked(code: string): boolean {
  return /^SQLITE_(BUSY|LOCKED|PROTOCOL)/.test(code)
}

function isDamaged(code: string): boolean {
  return /^SQLITE_(CORRUPT|NOTADB|IOERR|CANTOPEN|READONLY|PERM|AUTH)|^(EIO|EROFS)$/.test(code)
}
