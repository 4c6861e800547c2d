import type Sqlite from 'better-sqlite3'
import { appendEntry, type PlantedFault, rehashFrom } from './forge-entries.ts'
import { entry, lastOf, middle, victim } from './planted-faults.ts'

// Bookings as a forger would write them who knows every rule of the journal by itself, but has no key of a meter.

const battery = 'gw-1/battery'
const ofBattery = /^gw-1\/battery@\d+\/\d+$/

/** Appends an entry of the battery that is sound in itself. */
function bookStorage(db: Sqlite.Database, place: string, energy: { importWh: string; exportWh: string }): void {
  const [charged, discharged] = [Number(energy.importWh), Number(energy.exportWh)]
  const entry = { kind: 'storage', claim: `${battery}#${place}`, point: battery, note: JSON.stringify(energy) }
  appendEntry(db, entry, [
    [`charged:${battery}`, -charged],
    [`discharged:${battery}`, discharged],
    [`stored:${battery}`, charged - discharged],
  ])
}

/** Takes the postings of the battery's last entry out of the books; gives its number. */
function takeStorageBack(db: Sqlite.Database): number {
  const { id } = db.prepare<[], { id: number }>(`SELECT max(id) AS id FROM entry WHERE kind = 'storage'`).get()!
  db.prepare(
    `UPDATE balance SET amount = amount - (SELECT sum(amount) FROM posting WHERE posting.account = balance.account
     AND entry = :id) WHERE account IN (SELECT account FROM posting WHERE entry = :id)`,
  ).run({ id })
  db.prepare('DELETE FROM posting WHERE entry = ?').run(id)
  return id
}

/** Writes an entry without postings anew, balances and hashes included. */
function restate(db: Sqlite.Database, id: number, columns: string, postings: readonly [string, number][]): void {
  db.prepare(`UPDATE entry SET ${columns} WHERE id = ?`).run(id)
  for (const [line, [account, amount]] of postings.entries()) {
    db.prepare('INSERT INTO posting VALUES (?, ?, ?, ?)').run(id, line, account, amount)
    db.prepare('INSERT INTO balance VALUES (?, 0) ON CONFLICT DO NOTHING').run(account)
    db.prepare('UPDATE balance SET amount = amount + ? WHERE account = ?').run(amount, account)
  }
  rehashFrom(db, id)
}

export const plantedBookings: readonly PlantedFault[] = [
  {
    name: 'a booking that is there again, under another spelling of its name',
    code: 'journal/broken',
    place: entry,
    plant: (db) => {
      const amounts: [string, number][] = [
        ['owner:owner1', 10],
        [`minted:${victim}`, -10],
      ]
      const claim = `${victim}#${middle(db).epoch}/02`
      appendEntry(db, { kind: 'claim', claim, point: victim, note: '{}' }, amounts)
    },
  },
  {
    name: 'energy of a storage that no record counts',
    code: 'journal/broken',
    place: ofBattery,
    plant: (db) => bookStorage(db, `${lastOf(db, battery).epoch}/1`, { importWh: '5', exportWh: '2' }),
  },
  {
    name: 'energy of a storage that is there again, under another spelling of its name',
    code: 'journal/broken',
    place: entry,
    plant: (db) => bookStorage(db, `${lastOf(db, battery).epoch}/02`, { importWh: '6', exportWh: '5' }),
  },
  ...['into', 'out of'].map((way) => ({
    name: `other energy ${way} a storage, in a chain of hashes made anew`,
    code: 'journal/broken',
    place: ofBattery,
    plant: (db: Sqlite.Database) => {
      const [charged, discharged] = way === 'into' ? [7, 5] : [6, 4]
      const note = JSON.stringify({ importWh: `${charged}`, exportWh: `${discharged}` })
      restate(db, takeStorageBack(db), `note = '${note}'`, [
        [`charged:${battery}`, -charged],
        [`discharged:${battery}`, discharged],
        [`stored:${battery}`, charged - discharged],
      ])
    },
  })),
  {
    name: "a storage's entry that is not there, in a chain of hashes made anew",
    code: 'journal/broken',
    place: ofBattery,
    plant: (db) => restate(db, takeStorageBack(db), `kind = 'gap', claim = NULL, note = '{}'`, []),
  },
  {
    name: "a storage's energy that mints",
    code: 'journal/broken',
    place: ofBattery,
    plant: (db) => {
      const id = takeStorageBack(db)
      restate(db, id, `kind = 'claim'`, [
        ['owner:alice', 5],
        [`minted:${battery}`, -5],
      ])
    },
  },
  {
    name: 'a word that would excuse records of storages that nothing was booked for',
    code: 'journal/broken',
    place: entry,
    plant: (db) => appendEntry(db, { kind: 'storage-start', point: null, note: '{"records":100}' }, []),
  },
]
