import { ocppActions, ocppVersions } from '@wattline/protocol'
import test from 'ava'
import { connectStation, startCsms } from '../../test/csms-rig.ts'
import { requestExamples } from '../../test/ocpp-requests.ts'
import { checkOutgoing } from './outgoing.ts'
import { findSchema } from './schemas.ts'

for (const version of ocppVersions) {
  test(`every action of ${version} to a station has an example, and each is valid`, (t) => {
    const examples = requestExamples[version]
    t.deepEqual(Object.keys(examples).toSorted(), ocppActions[version].csms.toSorted())
    for (const [action, payload] of Object.entries(examples)) {
      t.notThrows(() => checkOutgoing(version, action, payload), action)
    }
  })

  test(`a wrong request of ${version} is refused with its place, whichever field is wrong`, (t) => {
    for (const [action, payload] of Object.entries(requestExamples[version])) {
      const invalid = { code: 'message/invalid' }
      t.like(
        t.throws(() => checkOutgoing(version, action, { ...payload, unknownField: 1 }), { message: /unknownField/ }),
        invalid,
      )
      t.throws(() => checkOutgoing(version, action, []), { message: /must be object/ })
      const required: readonly string[] = findSchema(version, action, 'request')?.schema['required'] ?? []
      for (const name of required) {
        const without: Record<string, unknown> = { ...payload }
        delete without[name]
        t.throws(() => checkOutgoing(version, action, without), { message: new RegExp(name) }, `${action} ${name}`)
      }
    }
  })

  test(`every action of ${version} arrives at a station as it was given`, async (t) => {
    const { csms, port } = await startCsms(t.teardown)
    const station = await connectStation(`ws://127.0.0.1:${port}/CP1`, [version])
    let count = 0
    for (const [action, payload] of Object.entries(requestExamples[version])) {
      const answer = csms.call('CP1', action, payload)
      count++
      const [type, id, ...rest] = await station.message(count)
      t.deepEqual([type, ...rest], [2, action, payload])
      t.regex(String(id), /^[0-9a-f-]{36}$/, 'OCPP-J: at most 36 characters')
      station.socket.send(JSON.stringify([3, id, { status: 'Accepted', extra: 1 }]))
      t.like(await answer, { payload: { status: 'Accepted', extra: 1 } })
    }
  })
}

test('a request that does not exist, or goes the other way, is refused before it leaves', async (t) => {
  const { csms, port } = await startCsms(t.teardown)
  const station = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  await t.throwsAsync(csms.call('CP1', 'GetVariables', {}), { message: /ocpp1\.6 has no request 'GetVariables'/ })
  await t.throwsAsync(csms.call('CP1', 'BootNotification', {}), { message: /no request/ })
  await t.throwsAsync(csms.call('CP1', 'reset', { type: 'Soft' }), { message: /written Reset/ })
  await t.throwsAsync(csms.call('CP1', 'Reset', { type: 'soft' }), { message: /type: must be equal/ })
  await t.throwsAsync(
    csms.call('CP1', 'ReserveNow', { ...requestExamples['ocpp1.6']['ReserveNow'], expiryDate: '2026-11-21T09:00:00' }),
    {
      message: /expiryDate: must match format/,
    },
  )
  t.deepEqual(station.received, [])
})

test('one request at a time; no answer, a refusal and an end are told apart', async (t) => {
  const { csms, port } = await startCsms(t.teardown, { callTimeoutSeconds: 1 })
  const station = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  const silent = csms.call('CP1', 'ClearCache', {})
  const refused = csms.call('CP1', 'Reset', { type: 'Hard' })
  await station.message(1)
  t.is(station.received.length, 1, 'the second waits for the first')
  t.like(await t.throwsAsync(silent), { code: 'station/silent', retryable: true })
  const [, id] = await station.message(2)
  station.socket.send(JSON.stringify([4, id, 'NotSupported', 'no way', {}]))
  const error = await t.throwsAsync(refused)
  t.like(error, { code: 'station/refused' })
  t.regex(error?.message ?? '', /NotSupported: no way/)
  const cut = csms.call('CP1', 'ClearCache', {})
  await station.message(3)
  station.socket.terminate()
  t.like(await t.throwsAsync(cut), { code: 'station/offline' })
  t.like(await t.throwsAsync(csms.call('CP2', 'ClearCache', {})), { code: 'station/unknown' })
})

test('Q10: an answer in its own way is given on, with what is wrong about it', async (t) => {
  const { csms, port } = await startCsms(t.teardown)
  const station = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  const answer = csms.call('CP1', 'GetConfiguration', {})
  const [, id] = await station.message(1)
  const payload = {
    configurationKey: [{ key: 'chargingscheduleallowedchargingrateunit', readonly: 'false', value: 'Power' }],
  }
  station.socket.send(JSON.stringify([3, id, payload]))
  t.deepEqual(await answer, { payload, faults: ['configurationKey.0.readonly: must be boolean'] })
})
