import test from 'ava'
import { type AuthorisationRules, decide, mayBegin, updateList } from './authorisation.ts'

const rules: AuthorisationRules = {
  online: false,
  listEnabled: true,
  cacheEnabled: true,
  localPreAuthorize: false,
  localAuthorizeOffline: true,
  offlineUnknown: false,
}
const listed = { idToken: 'Known', status: 'Accepted', groupIdToken: 'FAMILY', expiresAtMs: 1000 }
const known = { list: [listed, { idToken: 'bad', status: 'Blocked' }], cache: [{ idToken: 'bad', status: 'Accepted' }] }

for (const [title, idToken, change, nowMs, expected] of [
  ['offline, a listed card charges, whatever its case', 'KNOWN', {}, 0, 'accepted'],
  ['offline, a listed card that has run out does not', 'Known', {}, 1000, 'refused'],
  ['offline, a blocked card is refused though the cache knows better', 'bad', { offlineUnknown: true }, 0, 'refused'],
  ['offline, the cache counts where there is no list', 'bad', { listEnabled: false }, 0, 'accepted'],
  ['offline, an unknown card is refused', 'other', {}, 0, 'refused'],
  ['offline, an unknown card charges where the site says so', 'other', { offlineUnknown: true }, 0, 'accepted'],
  [
    'offline, nobody charges where the list is not to be used then',
    'Known',
    { localAuthorizeOffline: false },
    0,
    'refused',
  ],
  ['online, the CSMS is asked', 'Known', { online: true }, 0, 'ask'],
  ['online, a listed card need not be asked about', 'Known', { online: true, localPreAuthorize: true }, 0, 'accepted'],
  ['online, a blocked card is asked about', 'bad', { online: true, localPreAuthorize: true }, 0, 'ask'],
] as const) {
  test(title, (t) => {
    t.is(decide(idToken, known, { ...rules, ...change }, nowMs).kind, expected)
  })
}

test('a reserved EVSE is for its holder and the holder’s group', (t) => {
  const reservation = { id: 1, evseId: 1, idToken: 'A', groupIdToken: 'G', expiresAtMs: 1 }
  const may = (holder: { idToken: string; groupIdToken?: string }, id = 1) =>
    mayBegin([reservation], { id, freeEvses: 2 }, holder)
  t.is(may({ idToken: 'a' }).reservation, reservation)
  t.is(may({ idToken: 'B', groupIdToken: 'g' }).reservation, reservation)
  t.false(may({ idToken: 'B' }).may)
  t.deepEqual(may({ idToken: 'B' }, 2), { may: true })
})

test('a reservation of any EVSE keeps the last free one', (t) => {
  const reservations = [{ id: 1, evseId: 0, idToken: 'A', expiresAtMs: 1 }]
  t.true(mayBegin(reservations, { id: 1, freeEvses: 2 }, { idToken: 'B' }).may)
  t.false(mayBegin(reservations, { id: 1, freeEvses: 1 }, { idToken: 'B' }).may)
  t.is(mayBegin(reservations, { id: 1, freeEvses: 1 }, { idToken: 'A' }).reservation?.id, 1)
})

test('a local list is replaced, or changed by a newer version only', (t) => {
  const list = { version: 3, entries: [listed] }
  const full = { version: 1, full: true, entries: [{ idToken: 'x', status: 'Accepted' }] }
  t.deepEqual(updateList(list, full), { version: 1, entries: [{ idToken: 'x', status: 'Accepted' }] })
  t.is(updateList(list, { ...full, version: 3, full: false }), undefined)
  const changed = updateList(list, {
    version: 4,
    full: false,
    entries: [
      { idToken: 'KNOWN', removed: true },
      { idToken: 'y', status: 'Blocked' },
    ],
  })
  t.deepEqual(changed, { version: 4, entries: [{ idToken: 'y', status: 'Blocked' }] })
})
