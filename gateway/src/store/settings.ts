import { formatPublicKey, type PublicKey, parsePublicKey } from '@wattline/protocol'
import type { Store } from './database.ts'

const ledgerKey = 'ledger-key'

/** The key of the ledger that this gateway has met first, or undefined before (SPEC-74). */
export function loadLedgerKey(store: Pick<Store, 'sql'>): PublicKey | undefined {
  const found: unknown = store.sql('SELECT value FROM settings WHERE name = ?').pluck().get(ledgerKey)
  return typeof found === 'string' ? parsePublicKey(found) : undefined
}

/** Keeps the key of the first ledger; a later one never takes its place. */
export function keepLedgerKey(store: Store, key: PublicKey): void {
  store.sql('INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING').run(ledgerKey, formatPublicKey(key))
}

/** Keeps a setting; gives whether it was another one before. */
export function swapSetting(store: Store, name: string, value: string): boolean {
  const { changes } = store
    .sql(
      'INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value',
    )
    .run(name, value)
  return changes > 0
}
