import test from 'ava'
import fc from 'fast-check'
import { makeSigner } from './attestation.ts'
import { type DriverList, normaliseToken, parseDriverList, signDriverList } from './driver-list.ts'

const signer = makeSigner(new Uint8Array(32).fill(7))
const list: DriverList = {
  v: 1,
  serial: 3,
  issuedAt: 1_800_000_000_000,
  salt: '00'.repeat(16),
  cost: 12,
  groups: [{ id: 'family', until: 1_900_000_000_000 }],
  drivers: [
    { hash: 'aa'.repeat(32), driver: 'anna', group: 'Family' },
    { hash: 'bb'.repeat(32), blocked: true, type: 'ISO14443' },
  ],
}

test('SPEC-141: a signed list is read as it was written', (t) => {
  t.deepEqual(parseDriverList(signDriverList(list, signer), signer.publicKey), list)
})

test('SPEC-141: a list that is cut, changed anywhere or signed by another is refused', (t) => {
  const text = signDriverList(list, signer)
  const other = makeSigner(new Uint8Array(32).fill(8))
  const refused = (wrong: string, key = signer.publicKey) =>
    t.like(
      t.throws(() => parseDriverList(wrong, key)),
      { code: 'drivers/invalid' },
      wrong.slice(-40),
    )
  refused(text, other.publicKey)
  refused(signDriverList(list, other))
  refused('')
  refused(text.replace('WATT-DRIVERS', 'WATT-CERT'))
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.constantFrom('0', '1', 'f', '|', ' ', ''), (place, char) => {
      const wrong = text.slice(0, place) + char + text.slice(place + 1)
      if (wrong !== text) refused(wrong)
    }),
    { numRuns: 60 },
  )
})

test('a list that contradicts itself is not signed, and not accepted from others', (t) => {
  const twice = list.drivers.map((one) => ({ ...one, hash: 'cc'.repeat(32) }))
  const faults: [Partial<DriverList>, RegExp][] = [
    [{ groups: [] }, /no group 'Family'/],
    [{ groups: [...list.groups, { id: 'FAMILY' }] }, /a group stands twice/],
    [{ drivers: twice }, /a token stands twice/],
    [{ cost: 9 }, /cost/],
    [{ salt: 'x' }, /salt: expected 16 bytes/],
    // A second spelling of a wallet's address would be a second account (SPEC-150).
    [
      { drivers: [{ hash: 'aa'.repeat(32), driver: '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266' }] },
      /an address as EIP-55 spells it/,
    ],
  ]
  for (const [change, message] of faults) t.throws(() => signDriverList({ ...list, ...change }, signer), { message })
})

test('tokens differ by more than case and the blanks around them', (t) => {
  t.is(normaliseToken(' 04a1b2C3\n'), '04A1B2C3')
  t.is(normaliseToken('äb c'), 'äB C')
})
