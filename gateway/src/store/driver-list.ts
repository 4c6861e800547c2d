import { decodeWith, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import type { Store } from './database.ts'

const shape = v.object({
  public_key: v.string(),
  serial: integerBetween(1, Number.MAX_SAFE_INTEGER),
  text: v.string(),
})

/** The list of drivers that is in force, as it was signed, and the key that it was accepted with. */
export interface StoredDriverList {
  readonly publicKey: string
  readonly serial: number
  readonly text: string
}

export function loadDriverList(store: Store): StoredDriverList | undefined {
  const row = store.sql('SELECT public_key, serial, text FROM driver_list').get()
  if (row === undefined) return undefined
  const { public_key: publicKey, ...rest } = decodeWith(shape, row, `${store.path}: driver_list`, 'storage/corrupt')
  return { publicKey, ...rest }
}

export function keepDriverList(store: Store, { publicKey, serial, text }: StoredDriverList): void {
  store.write(() => store.sql('INSERT OR REPLACE INTO driver_list VALUES (1, ?, ?, ?)').run(publicKey, serial, text))
}
