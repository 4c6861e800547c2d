import test from 'ava'
import { baseMs, makeSessionRig, values } from '../../test/session-rig.ts'
import { begin, event, idToken, meter, plain, plainSession, start, stop, values2 } from '../../test/session-stories.ts'
import type { Authorizer, PresentedToken } from '../ocpp/transaction-sink.ts'
import { SessionStore } from '../store/sessions.ts'

test('SPEC-103: what a station claims and when it arrived are both kept; a clock that is ahead or stands at 1970 is put right', async (t) => {
  const rig = makeSessionRig(t.teardown)
  const stories = [
    { claimed: 7200, told: 0, taken: 0, status: 'I', aheadMs: 7_200_000 },
    { claimed: 7300, told: 100, taken: 100, status: 'I', aheadMs: 7_200_000 },
    { claimed: 200, told: 200, taken: 200, status: 'S', aheadMs: 0 },
    { claimed: 210, told: 3000, taken: 210, status: 'I', aheadMs: 0 },
    { claimed: -baseMs / 1000 + 12, told: 3100, taken: 3100, status: 'U', aheadMs: 0 },
  ]
  for (const [n, { claimed, told, taken, status, aheadMs }] of stories.entries()) {
    await rig.send('StartTransaction', start(5000 + n, claimed), told)
    const [session] = rig.books.latest(1)
    t.like(session?.begunAt, {
      claimedAt: baseMs + claimed * 1000,
      arrivedAt: baseMs + told * 1000,
      takenAt: baseMs + taken * 1000,
      clockStatus: status as 'S',
    })
    t.is(new SessionStore(rig.store).readClock('CP1')?.aheadMs, aheadMs)
  }
  t.true(rig.lines()[0]?.remarks.includes('clock-ahead'))
})

test('a start that comes again gets the same answer, also where its code opens only once', async (t) => {
  const asked: PresentedToken[] = []
  const authorizer: Authorizer = {
    authorize: (token) => {
      asked.push(token)
      return asked.length === 1 ? { status: 'Accepted', driver: 'anna' } : { status: 'Invalid' }
    },
  }
  const rig = makeSessionRig(t.teardown, { authorizer })
  const first = await rig.send('StartTransaction', start(5000, 0, { reservationId: 7 }), 0)
  t.deepEqual(first, { transactionId: 1, idTagInfo: { status: 'Accepted' } })
  t.deepEqual(await rig.send('StartTransaction', start(5000, 0, { reservationId: 7 }), 5), first)
  t.like(asked, [{ stationId: 'CP1', idToken: 'CARD', connectorId: 1, reservationId: 7 }])
  t.is(asked.length, 1)
  t.regex(asked[0]?.attempt ?? '', /^[0-9a-f]{64}$/, 'by its content')
})

test('OCPP 2.x: a token is asked about once for each message; one that comes in the session names its driver', async (t) => {
  const asked: PresentedToken[] = []
  const authorizer: Authorizer = {
    authorize: (token) => {
      asked.push(token)
      return { status: 'Accepted', driver: 'anna' }
    },
  }
  const rig = makeSessionRig(t.teardown, { authorizer, version: 'ocpp2.0.1' })
  const first = { evse: { id: 2, connectorId: 1 }, meterValue: [values2(5000, 0)] }
  t.deepEqual(await rig.send('TransactionEvent', event('Started', 0, 0, first), 0), {})
  const authorised = event('Updated', 1, 30, { idToken, reservationId: 9 })
  for (let n = 0; n < 2; n++) {
    t.deepEqual(await rig.send('TransactionEvent', authorised, 30 + n), { idTokenInfo: { status: 'Accepted' } })
  }
  await rig.send('TransactionEvent', event('Ended', 2, 60, { idToken, meterValue: [values2(5200, 60)] }), 60)
  const token = { stationId: 'CP1', idToken: 'CARD', type: 'ISO14443' }
  t.deepEqual(asked, [{ ...token, connectorId: 2, reservationId: 9, attempt: 'tx-1' }, token])
  t.like(rig.lines(), [{ ...plain, place: 'CP1/2' }])
  t.deepEqual(
    rig.signed.map(({ mark, driver }) => [mark, driver]),
    [
      ['begin', undefined],
      ['end', 'anna'],
    ],
  )
})

test('what cannot be signed has not happened: the message is put aside, and counts when it comes again', async (t) => {
  let fails = 0
  const rig = makeSessionRig(t.teardown, {
    sign: ({ mark }) => {
      if (mark === 'end' && fails++ === 0) throw new Error('no key')
    },
  })
  const id = await begin(rig, 5000, 0)
  await rig.send('StopTransaction', stop(id, 5200, 120), 120)
  t.like(rig.lines(), [{ wh: 0, completeness: 'running' }])
  t.like(rig.frames().at(-1), { outcome: 'quarantined', notes: '["not understood: no key"]' })
  await rig.send('StopTransaction', stop(id, 5200, 120), 130)
  t.like(rig.lines(), [plain])
  t.is(rig.signed.filter(({ mark }) => mark === 'end').length, 1)
})

test('a gateway that starts anew goes on with what it knew', async (t) => {
  const before = makeSessionRig(t.teardown)
  const id = await begin(before, 5000, 0)
  await before.send('MeterValues', meter(id, values(5100, 60)), 60)
  const after = makeSessionRig(t.teardown, { dataDir: before.dataDir })
  await after.send('MeterValues', meter(id, values(5100, 60)), 70)
  await after.send('StopTransaction', stop(id, 5200, 120), 120)
  t.like(after.lines(), [plain])
  t.deepEqual(
    [...before.signed, ...after.signed].map(({ mark, registerWh }) => [mark, Number(registerWh)]),
    [
      ['begin', 5000],
      ['interval', 5100],
      ['end', 5200],
    ],
  )
})

test('old sessions are forgotten, running ones never; a start of a forgotten one brings no energy back', async (t) => {
  const rig = makeSessionRig(t.teardown)
  await plainSession(rig)
  await plainSession(rig, 5200, 1000)
  await begin(rig, 5400, 2000, { connectorId: 2 })
  rig.sink.tidy({ beforeMs: baseMs + 900_000 })
  t.deepEqual(
    rig.lines().map(({ wh }) => wh),
    [200, 0],
  )
  t.is(rig.books.prune({ beforeMs: 0, most: 0, chunk: 10 }), 1, 'by number')
  await plainSession(rig, 5400, 3000)
  rig.sink.tidy({ beforeMs: baseMs + 9_000_000 })
  t.like(rig.lines(), [{ place: 'CP1/2', completeness: 'running' }])
  await plainSession(rig)
  t.is(rig.lines().at(-1)?.wh, 0)
  t.is(rig.placeWh(), 5600)
})

test('messages whose begin never comes are put aside after seven days', async (t) => {
  const rig = makeSessionRig(t.teardown, { version: 'ocpp2.0.1' })
  await rig.send('TransactionEvent', event('Ended', 2, 120, { meterValue: [values2(5200, 120)] }), 120)
  t.deepEqual([rig.lines(), rig.frames()[0]?.outcome], [[], 'accepted'])
  rig.clock.nowMs += 7 * 86_400_000 + 1
  rig.sink.tidy({ beforeMs: 0 })
  t.like(rig.frames()[0], { outcome: 'quarantined', notes: '["the begin of its transaction never came"]' })
})
