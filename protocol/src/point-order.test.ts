import test from 'ava'
import { signerOf } from '../test/arbitraries.ts'
import { addressOf } from './account.ts'
import { formatPublicKey, samePublicKey } from './attestation.ts'
import { signDocument } from './document.ts'
import type { PointId } from './ids.ts'
import {
  isSuccessor,
  mayOwn,
  type OrderAction,
  parseConsent,
  parseOrder,
  parseRotation,
  signConsent,
  signOrder,
  signRotation,
} from './point-order.ts'

const [owner, other] = [signerOf(40), signerOf(41)]
const point = 'gw-1/roof' as PointId
const [hash, issuedAt, after] = ['ab'.repeat(32), 1_795_255_200_000, { epoch: 7, sequence: 9 }]
const to = formatPublicKey(other.publicKey)

const actions: readonly OrderAction[] = [
  { do: 'accept', certificate: hash, owner: 'alice' },
  { do: 'accept', certificate: hash, owner: addressOf(owner.publicKey) },
  { do: 'transfer', after, owner: 'bob', to },
  { do: 'move', after, behind: 'gw-1/house' },
  { do: 'move', after },
  { do: 'cap', maxPowerW: 11_000 },
  { do: 'revoke', last: after },
]

test('SPEC-94: an order says again what was ordered, and who signed it', (t) => {
  for (const action of actions) {
    const { key, text, ...again } = parseOrder(signOrder({ point, action, issuedAt }, owner).text)
    t.like(again, { point, action, issuedAt })
    t.true(samePublicKey(key, owner.publicKey))
    t.true(text.startsWith('WATT-ORDER|'))
  }
})

test('SPEC-94: a consent names the order, a rotation the successor and the last record', (t) => {
  const consent = parseConsent(signConsent({ point, order: hash, issuedAt }, other).text)
  t.like(consent, { point, order: hash, issuedAt })
  const last = { epoch: 7, sequence: 9, hash }
  const rotation = parseRotation(signRotation({ point, certificate: hash, last, issuedAt }, owner).text)
  t.like(rotation, { point, certificate: hash, last, issuedAt })
  t.true(isSuccessor(rotation, { point, hash, key: other.publicKey }))
  t.false(isSuccessor(rotation, { point, hash, key: owner.publicKey }), 'a key does not succeed itself')
  t.false(isSuccessor(rotation, { point, hash: 'cd'.repeat(32), key: other.publicKey }))
  t.false(isSuccessor(rotation, { point: 'gw-1/house' as PointId, hash, key: other.publicKey }))
})

const content = { v: 1, point, key: formatPublicKey(owner.publicKey), action: actions[0], issuedAt }
const refusals: Record<string, [object, RegExp]> = {
  'signed by somebody else': [{ ...content, key: to }, /not signed by the key/],
  'of no metering point': [{ ...content, point: 'roof' }, /'<gatewayId>\/<meterId>' expected/],
  'that orders something else': [{ ...content, action: { do: 'mint', amount: 1 } }, /action/],
  'with an unknown field': [{ ...content, action: { do: 'cap', maxPowerW: 1, more: 1 } }, /more/],
  'behind what is no point': [{ ...content, action: { do: 'move', after, behind: 'house' } }, /'house'/],
  'for no key': [{ ...content, action: { do: 'transfer', after, owner: 'bob', to: '04AB' } }, /'04AB': a public key/],
  'by no key': [{ ...content, key: '04AB' }, /'04AB': a public key/],
}
for (const [what, [bad, message]] of Object.entries(refusals)) {
  test(`SPEC-94: an order ${what} is refused`, (t) => {
    t.throws(() => parseOrder(signDocument('WATT-ORDER', bad, owner)), { code: 'order/invalid', message })
  })
}

test('SPEC-94: what is no document, or of another kind, is refused', (t) => {
  t.throws(() => parseOrder('WATT-ORDER'), { code: 'order/invalid' })
  t.throws(() => parseConsent(signOrder({ point, action: actions[0]!, issuedAt }, owner).text), {
    code: 'order/invalid',
  })
})

test('SPEC-94: an account that is an address belongs to one key', (t) => {
  // The address of the secret key 1, as every Ethereum library has it.
  const one = '0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf'
  const keyOne = signerOf(0).publicKey
  t.is(`${addressOf(keyOne)}`, one)
  t.true(mayOwn(one, keyOne))
  t.false(mayOwn(one.toLowerCase(), keyOne), 'one spelling: another would be another account')
  t.false(mayOwn(one, owner.publicKey))
  const action: OrderAction = { do: 'accept', certificate: hash, owner: addressOf(other.publicKey) }
  t.throws(() => signOrder({ point, action, issuedAt }, owner), { code: 'order/wrong-key', message: /its key has/ })
  const gift: OrderAction = { do: 'transfer', after, owner: addressOf(owner.publicKey), to }
  t.throws(() => signOrder({ point, action: gift, issuedAt }, owner), { code: 'order/wrong-key' })
})
