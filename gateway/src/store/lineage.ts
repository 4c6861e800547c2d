import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeWith } from '@wattline/protocol'
import * as v from 'valibot'
import { writeDurably } from './atomic-file.ts'
import type { Store } from './database.ts'

// SPEC-32: may this database be older than what was signed? Three witnesses that a copy cannot bring along:
//
// - The marker, a file that is written anew at each start. The database knows its token, inode and change time, and
//   nobody but the kernel sets a change time. So a folder that was copied, or restored over, does not fit any more.
// - The witness, a file that counts the signed records right after each commit. A database restored alone, even to a
//   state of the same session, knows of fewer. It needs no fsync: what only a power cut can undo is told by
// - the boot id. A restored disk image implies a new start of the machine, and so does a power cut.
//
// What none of them sees, such as a snapshot of a running virtual machine, the ledger's receipts show later.

/** What was found at the start. */
export interface Lineage {
  /** Whether the database is certainly the latest that this gateway signed with. */
  readonly continuous: boolean
  /** What does not fit, for the log; empty where it is continuous. */
  readonly reason: string
  /** The highest epoch that any file of this folder knows of. */
  readonly highestEpoch: number
}

/** Keeps the witness of one session. */
export interface Witness {
  /** Tells that records are signed and stored: to be called after the commit and before anything leaves. */
  note(signed: number, highestEpoch: number): void
  close(): void
}

const rowShape = v.object({
  token: v.string(),
  marker_inode: v.string(),
  marker_ctime_ns: v.string(),
  witness_inode: v.string(),
  boot_id: v.string(),
  signed: v.number(),
})

const markerPath = (dataDir: string) => join(dataDir, 'lineage')
const witnessPath = (dataDir: string) => join(dataDir, 'witness')

/** The kernel's name for the time since it was started. Empty where it cannot be told, which never counts as the same. */
export function readBootId(): string {
  return readText('/proc/sys/kernel/random/boot_id')
}

/** Compares database, files and machine with what they were. Changes nothing. */
export function examineLineage(store: Store, dataDir: string, bootId: string): Lineage {
  const row = readRow(store)
  const marker = identify(markerPath(dataDir))
  const witness = parseWitness(readText(witnessPath(dataDir)))
  const faults = [
    [row.token !== '', 'the database has no lineage yet'],
    [row.boot_id === bootId && bootId !== '', 'the machine was started anew'],
    [row.token === readText(markerPath(dataDir)), 'database and marker are of different sessions'],
    [row.marker_inode === marker.inode, 'the marker is another file'],
    [row.marker_ctime_ns === marker.ctimeNs, 'the marker was copied or touched'],
    [row.witness_inode === identify(witnessPath(dataDir)).inode, 'the witness is another file'],
    [row.signed >= witness.signed, `${witness.signed} records were signed, the database knows of ${row.signed}`],
  ] as const
  const reason = faults.flatMap(([fits, fault]) => (fits ? [] : [fault])).join('; ')
  return { continuous: reason === '', reason, highestEpoch: Math.max(witness.highestEpoch, storedEpoch(store)) }
}

/**
 * Begins a session. `opened` runs in the same transaction as the new lineage: it opens the epochs, if any. The files
 * are written first: whoever is killed in between finds them strange at the next start, and opens an epoch too many.
 */
export function beginSession(
  store: Store,
  dataDir: string,
  { bootId, highestEpoch }: { readonly bootId: string; readonly highestEpoch: number },
  opened: () => void,
): Witness {
  const token = randomBytes(16).toString('hex')
  const { signed } = readRow(store)
  writeDurably(witnessPath(dataDir), formatWitness(signed, highestEpoch), 'replace')
  writeDurably(markerPath(dataDir), token, 'replace')
  const marker = identify(markerPath(dataDir))
  const witnessInode = identify(witnessPath(dataDir)).inode
  store.write(() => {
    opened()
    store
      .sql('UPDATE lineage SET token = ?, marker_inode = ?, marker_ctime_ns = ?, witness_inode = ?, boot_id = ?')
      .run(token, marker.inode, marker.ctimeNs, witnessInode, bootId)
  })
  const file = openSync(witnessPath(dataDir), 'r+')
  return {
    note: (count, epoch) => writeSync(file, formatWitness(count, epoch), 0),
    close: () => closeSync(file),
  }
}

/** Counts records as signed and returns how many there ever were. Part of the transaction that stores them. */
export function countSigned(store: Store, count: number): number {
  const row = store.sql('UPDATE lineage SET signed = signed + ? RETURNING signed').get(count)
  return decodeWith(v.object({ signed: v.number() }), row, `${store.path}: lineage`, 'storage/corrupt').signed
}

function readRow(store: Store): v.InferOutput<typeof rowShape> {
  const row = store.sql('SELECT * FROM lineage').get()
  return decodeWith(rowShape, row, `${store.path}: lineage`, 'storage/corrupt')
}

function storedEpoch(store: Store): number {
  return Number(store.sql('SELECT coalesce(max(epoch), 0) FROM points').pluck().get())
}

// Of fixed width, so that writing it again over itself needs no room and leaves no rest.
function formatWitness(signed: number, highestEpoch: number): string {
  return `${signed.toString().padStart(16)} ${highestEpoch.toString().padStart(16)}\n`
}

// A file that is missing or torn says: more than any database can know.
function parseWitness(text: string): { signed: number; highestEpoch: number } {
  const match = /^ *(\d+) +(\d+)$/.exec(text.trim())
  if (match === null) return { signed: Number.POSITIVE_INFINITY, highestEpoch: 0 }
  return { signed: Number(match[1]), highestEpoch: Number(match[2]) }
}

function identify(path: string): { inode: string; ctimeNs: string } {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  if (found === undefined) return { inode: 'missing', ctimeNs: 'missing' }
  return { inode: `${found.dev}:${found.ino}`, ctimeNs: found.ctimeNs.toString() }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return '' // missing is a finding like any other: the comparison tells
  }
}
