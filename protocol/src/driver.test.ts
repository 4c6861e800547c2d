import test from 'ava'
import fc from 'fast-check'
import { ocmfText } from '../test/arbitraries.ts'
import { driverOf, isDriverAccount, noUser, toDriverAssignment } from './index.ts'

test('SPEC-18: an account that is assigned is the account that is read; what is none is nobody', (t) => {
  fc.assert(
    fc.property(ocmfText, (account) => {
      const user = toDriverAssignment(account)
      t.is(driverOf(user), account === '' ? undefined : account)
      t.like(user, account === '' ? noUser : { level: 'HEARSAY', type: 'CENTRAL', flags: [] })
    }),
  )
  for (const text of ['', 'a"b', 'a|b', 'a\\b', 'é', 'x'.repeat(65)]) {
    t.false(isDriverAccount(text), text)
    t.is(toDriverAssignment(text), noUser)
  }
  t.is(toDriverAssignment(undefined), noUser)
})

test('SPEC-18: only an assigned id of a central system is an account: a card’s number is none', (t) => {
  const bob = toDriverAssignment('bob')
  t.is(driverOf({ ...bob, assigned: false }), undefined)
  t.is(driverOf({ ...bob, type: 'ISO14443', id: '04AABBCC' }), undefined)
  t.is(driverOf({ ...bob, id: '' }), undefined)
})
