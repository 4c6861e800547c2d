import { appendEntry, type PlantedFault, rehashFrom } from './forge-entries.ts'

/** Faults in what the journal says of money that came from outside, and went there. */
export const moneyFaults: readonly PlantedFault[] = [
  {
    name: 'a deposit of money that the operator has not signed',
    code: 'operator/unsigned',
    place: /^entry \d+$/,
    plant: (db) => {
      const note = '{"asset":"EUR","owner":"alice","amount":"900","reference":"SEPA 9"}'
      const amounts: [string, number][] = [
        ['money-added:EUR', -900],
        ['money:EUR:alice', 900],
      ]
      appendEntry(db, { kind: 'deposit', claim: 'order:money-more', point: null, note }, amounts)
    },
  },
  {
    name: 'an altered amount of a deposit, hashed anew',
    code: 'operator/unsigned',
    place: /^entry \d+$/,
    plant: (db) => {
      const { id } = db.prepare<[], { id: number }>("SELECT id FROM entry WHERE kind = 'deposit'").get()!
      db.exec(`UPDATE entry SET note = replace(note, '"5000"', '"6000"') WHERE id = ${id};
        UPDATE posting SET amount = amount + 1000 * sign(amount) WHERE entry = ${id};
        UPDATE balance SET amount = amount + 1000 WHERE account = 'money:EUR:alice';
        UPDATE balance SET amount = amount - 1000 WHERE account = 'money-added:EUR'`)
      rehashFrom(db, id)
    },
  },
  {
    name: 'a withdrawal of money that is paid twice',
    code: 'journal/broken',
    place: /^entry \d+$/,
    plant: (db) => {
      const note = '{"reservation":"money-out","amount":"1200","reference":"SEPA 2"}'
      const amounts: [string, number][] = [
        ['money-held:EUR:alice', -1200],
        ['money-removed:EUR', 1200],
      ]
      appendEntry(db, { kind: 'post', claim: 'order:money-again', point: null, note }, amounts)
    },
  },
  {
    name: 'an edited account of money',
    code: 'journal/unbalanced',
    place: /^account money:EUR:alice$/,
    plant: (db) => void db.exec(`UPDATE balance SET amount = amount + 5 WHERE account = 'money:EUR:alice'`),
  },
]
