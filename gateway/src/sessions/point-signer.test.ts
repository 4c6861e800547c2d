import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { Verifier } from '@road-labs/ocmf'
import { Crypto } from '@road-labs/ocmf-crypto-noble'
import { formatPublicKey, type PointId, parseCertificate, verifyRange, verifyRecord } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { cp1, openSessionRig, type SessionRig, sessionConfig } from '../../test/signer-rig.ts'
import { HandClock, makeTempFolder } from '../../test/signing-rig.ts'
import { exportRecords, printCertificates, printKeys } from '../commands.ts'
import { recover } from '../recover.ts'
import { databasePath } from '../store/database.ts'
import { getPoint } from '../store/points.ts'
import { findRecordPlace, findSessionRecord } from '../store/session-records.ts'
import { listChargingPoints, nameChargingPoint } from './charging-points.ts'
import { beatMsOf } from './point-signer.ts'

function open(t: ExecutionContext, options: Partial<Parameters<typeof openSessionRig>[0]> = {}): SessionRig {
  const rig = openSessionRig({ dataDir: makeTempFolder(t.teardown), ...options })
  t.teardown(() => rig.close())
  return rig
}

function verify(rig: SessionRig, point: PointId = cp1) {
  const certificate = parseCertificate(getPoint(rig.session.store, point).certificate)
  return verifyRange(rig.texts(point), {
    pointText: point.replace('/', ' '),
    keyOf: () => certificate.key,
    firstSequence: 1,
    previousHash: certificate.hash,
  })
}

test('SPEC-15: begin and end are one pair of pages in context T, intervals between them pages in context F', (t) => {
  const rig = open(t)
  rig.charge('begin', 1_000, { driver: 'bob' })
  rig.charge('interval', 1_500, { driver: 'bob' })
  rig.charge('interval', 1_900, { driver: 'bob' })
  rig.charge('end', 2_000, { driver: 'bob' })
  rig.charge('begin', 2_000, { sessionId: 2 })
  const records = rig.records()
  t.deepEqual(
    records.map(({ context, pageNumber, mark, registers }) => [`${context}${pageNumber}`, mark, registers.import]),
    [
      ['T1', 'B', 1_000n],
      ['F1', undefined, 1_500n],
      ['F2', undefined, 1_900n],
      ['T2', 'E', 2_000n],
      ['T3', 'B', 2_000n],
    ],
  )
  t.deepEqual(
    records.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 5],
  )
  t.like(verify(rig), { ok: true, count: 5 })
  t.is(rig.told.signed.length, 5)
})

test('SPEC-18: begin and end name the account that pays and how little that claims; intervals name nobody', (t) => {
  const rig = open(t)
  rig.charge('begin', 1_000, { driver: 'bob' })
  rig.charge('interval', 1_500, { driver: 'bob' })
  rig.charge('end', 2_000, { driver: 'bob' })
  rig.charge('begin', 2_000, { sessionId: 2 })
  rig.charge('end', 2_100, { sessionId: 2, driver: 'no "account"' })
  const nobody = { assigned: false, level: 'NONE', flags: [], type: 'NONE', id: '' }
  const bob = { assigned: true, level: 'HEARSAY', flags: [], type: 'CENTRAL', id: 'bob' }
  t.deepEqual(
    rig.records().map(({ user }) => user),
    [bob, nobody, bob, nobody, nobody],
  )
})

test('other people’s software verifies what a session is signed as', async (t) => {
  const rig = open(t)
  rig.charge('begin', 1_000, { driver: 'bob' })
  rig.charge('end', 2_000, { driver: 'bob' })
  rig.charge('begin', 2_000, { sessionId: 2, doubt: 'the register is missing' })
  const adapter = new Crypto()
  const spki = getPoint(rig.session.store, cp1).publicKey
  const key = await adapter.decodeEcPublicKey(Buffer.from(spki, 'hex'), 'spki-der')
  for (const text of rig.texts(cp1)) t.true((await new Verifier(adapter).parseAndVerify(text, key)).verified)
})

test('a mark is signed once, whatever is said again, and leads to its record', (t) => {
  const rig = open(t)
  rig.charge('begin', 1_000)
  rig.charge('begin', 1_000)
  rig.charge('interval', 1_200)
  rig.charge('end', 1_300)
  rig.charge('end', 1_400)
  t.deepEqual(
    rig.records().map(({ mark }) => mark),
    ['B', undefined, 'E'],
  )
  t.like(findSessionRecord(rig.session.store, 1, 'end'), { sequence: 3, registerWh: 1_300n, state: 'ok' })
  t.is(findSessionRecord(rig.session.store, 2, 'end'), undefined)
  const [{ epoch } = { epoch: 0 }] = rig.records()
  t.is(findRecordPlace(rig.session.store, 1, 'end'), `${cp1}@${epoch}/3`)
  t.is(findRecordPlace(rig.session.store, 2, 'end'), undefined)
})

test('a doubt is signed as a doubt: with its register where a state is named, without one otherwise', (t) => {
  const rig = open(t)
  rig.charge('begin', 1_000)
  rig.charge('interval', 900_000, { doubt: 'implausible-jump' })
  rig.charge('interval', 1_100, { doubt: 'two values in one sample' })
  rig.charge('interval', -1)
  rig.charge('interval', 990)
  rig.charge('end', 1_200, { doubt: 'the station has forgotten it' })
  t.deepEqual(
    rig.records().map(({ state, registers }) => [state, registers.import]),
    [
      ['ok', 1_000n],
      ['implausible-jump', 900_000n],
      ['read-error', undefined],
      ['read-error', undefined],
      ['register-decreased', 990n],
      ['read-error', undefined],
    ],
  )
  t.is(findSessionRecord(rig.session.store, 1, 'end')?.registerWh, undefined)
  t.like(verify(rig), { ok: true, count: 6 })
})

test('SPEC-21: more than the place allows is no sound register', (t) => {
  const rig = open(t, { stations: '{ id: CP1, maxPowerW: 3700 }' })
  rig.charge('begin', 1_000)
  rig.charge('end', 5_000)
  t.is(rig.records()[1]?.state, 'implausible-jump')
  t.regex(rig.told.signed[1]?.reason ?? '', /import 5000 Wh, 1000 Wh before, at most 161 more/)
})

test('SPEC-51: the certificate of a charging point says what the configuration does, and names the place', (t) => {
  const stations = `{ id: CP1, owner: alice, behind: roof, maxPowerW: 11000, connectors: [{ id: 2, owner: carol }] }`
  const rig = open(t, { stations })
  rig.charge('begin', 1_000)
  rig.charge('begin', 1_000, { sessionId: 2, place: { stationId: 'CP1', connectorId: 2 } })
  rig.charge('begin', 1_000, { sessionId: 3, place: { stationId: 'stranger', connectorId: 1 } })
  const certificateOf = (point: string) => parseCertificate(getPoint(rig.session.store, point as PointId).certificate)
  t.like(certificateOf('gw-1/CP1.1'), { role: 'charger', owner: 'alice', behind: 'gw-1/roof', maxPowerW: 11_000 })
  t.deepEqual(certificateOf('gw-1/CP1.1').meter, { vendor: 'OCPP', model: 'charging station', serial: 'CP1/1' })
  t.like(certificateOf('gw-1/CP1.2'), { owner: 'carol', behind: 'gw-1/roof', maxPowerW: 11_000 })
  t.like(certificateOf('gw-1/stranger.1'), { owner: undefined, behind: undefined, maxPowerW: 500_000 })
  t.deepEqual(rig.told.met, ['gw-1/CP1.1', 'gw-1/stranger.1'], 'a listed connector has its key from the start')
})

test('each place has a name of its own, which never is that of a meter', (t) => {
  const config = sessionConfig(makeTempFolder(t.teardown))
  const name = (stationId: string, connectorId = 1) => nameChargingPoint(config, { stationId, connectorId })
  t.is(name('CP1', 2), 'CP1.2' as never)
  const odd = ['DE*ABC*E1', 'DE-ABC-E1x*', 'DE*ABC-E1', '*', 'x'.repeat(48), 'y'.repeat(48)].map((id) => name(id))
  t.is(new Set(odd).size, odd.length)
  const taken = { meters: [{ ...config.meters[0]!, id: 'CP1.2' }] }
  t.not(nameChargingPoint(taken, { stationId: 'CP1', connectorId: 2 }), 'CP1.2' as never)
})

test('keys, certificates and export know charging points, also with the gateway stopped', async (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const rig = openSessionRig({ dataDir })
  rig.sign(5)
  rig.charge('begin', 1_000, { place: { stationId: 'DE*A|B', connectorId: 1 } })
  rig.charge('end', 1_100, { place: { stationId: 'DE*A|B', connectorId: 1 } })
  const [found] = listChargingPoints(rig.config)
  const texts = rig.texts(found?.point)
  rig.close()
  t.deepEqual(found?.place, { stationId: 'DE*A|B', connectorId: 1 })
  const lines: string[] = []
  const output = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) })
  await exportRecords(rig.config, output, found?.meterId)
  t.deepEqual(
    lines.splice(0),
    texts.map((text) => `${text}\n`),
  )
  printKeys(rig.config, output)
  const [, keyLine = ''] = lines.splice(0)
  const [name, key = ''] = keyLine.trim().split(' ')
  t.is(name, found?.meterId)
  t.true(verifyRecord(texts[0] ?? '', parseCertificate(getCertificate(rig)).key).ok)
  t.is(formatPublicKey(parseCertificate(getCertificate(rig)).key), key)
  await t.throwsAsync(exportRecords(rig.config, output, 'nobody'), { message: /no meter or charging point 'nobody'/ })
})

function getCertificate(rig: SessionRig): string {
  const lines: string[] = []
  const output = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) })
  printCertificates(rig.config, output)
  return lines[1]?.trim() ?? ''
}

test('a charging point whose key was lost is not signed for by another', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const rig = openSessionRig({ dataDir })
  rig.charge('begin', 1_000)
  rig.close()
  rmSync(join(dataDir, 'keys', 'CP1.1.key'))
  const error = t.throws(() => openSessionRig({ dataDir }), { code: 'key/mismatch' } as never)
  t.regex(error?.message ?? '', /CP1\.1\.key/)
})

test('what a transaction undoes was never signed: no number is missing, and nobody is told', (t) => {
  const rig = open(t)
  const { store } = rig.session
  rig.charge('begin', 1_000)
  store.write(() => {
    rig.charge('interval', 1_010)
    // As the intake does for a message that cannot be understood: a savepoint goes, what stands around it stays.
    t.throws(() =>
      store.write(() => {
        rig.charge('interval', 1_020)
        throw new Error('not understood')
      }),
    )
    t.is(rig.told.signed.length, 1, 'nothing is told before it is on the disk')
  })
  t.throws(() =>
    store.write(() => {
      rig.charge('end', 1_030)
      throw new Error('cut')
    }),
  )
  t.is(rig.told.signed.length, 2)
  rig.charge('end', 1_040)
  t.deepEqual(
    rig.records().map(({ registers }) => registers.import),
    [1_000n, 1_010n, 1_040n],
  )
  t.like(verify(rig), { ok: true, count: 3 })
  t.like(findSessionRecord(store, 1, 'end'), { registerWh: 1_040n })
})

test('a charging point behind a meter says that nothing was told, so that the meter is not held up', (t) => {
  const rig = open(t, { stations: '{ id: CP1, behind: roof }' })
  rig.signer.beat()
  t.is(rig.told.silent.length, 0, 'it has never spoken: nobody waits for it')
  rig.charge('begin', 1_000)
  const beatAfter = (minutes: number) => {
    rig.clock.nowMs += minutes * 60_000
    rig.signer.beat()
    return rig.told.silent.length
  }
  t.is(beatAfter(14), 0, 'a session has readings of its own')
  t.is(beatAfter(1), 1)
  rig.charge('end', 1_500)
  t.is(beatAfter(0.5), 1)
  t.is(beatAfter(0.5), 2)
  t.is(beatAfter(-60), 3, 'also where the clock was put back')
  t.deepEqual(
    rig.records().map(({ state, registers, template }) => [state, registers.import, template.meterSerial]),
    [
      ['ok', 1_000n, 'CP1/1'],
      ['no-answer', undefined, 'CP1/1'],
      ['ok', 1_500n, 'CP1/1'],
      ['no-answer', undefined, 'CP1/1'],
      ['no-answer', undefined, 'CP1/1'],
    ],
  )
  t.like(verify(rig), { ok: true })
  rig.charge('begin', 1_500, { sessionId: 2, place: { stationId: 'CP2', connectorId: 1 } })
  t.is(beatAfter(600) - 3, 1, 'no meter waits for one that stands behind none')
})

test('a charging point behind a meter that is read often says as often that nothing was told', (t) => {
  const rig = open(t, { stations: '{ id: CP1, behind: roof }', intervalSeconds: 2 })
  rig.charge('begin', 1_000)
  rig.charge('end', 1_500)
  for (const expected of [0, 1, 1, 2]) {
    rig.clock.nowMs += 1_000
    rig.signer.beat()
    t.is(rig.told.silent.length, expected)
  }
  t.is(beatMsOf(rig.config), 1_000)
  t.is(beatMsOf(sessionConfig('/nowhere', { stations: '{ id: CP1, behind: roof }' })), 15_000)
  t.is(beatMsOf(sessionConfig('/nowhere', { stations: '{ id: CP1 }', intervalSeconds: 2 })), 15_000)
})

test('SPEC-32: a charging point signs on in the new epoch of a restored database', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const clock = new HandClock()
  const first = openSessionRig({ dataDir, clock })
  first.charge('begin', 1_000)
  first.close()
  const second = openSessionRig({ dataDir, clock, bootId: 'boot-2' })
  t.teardown(() => second.close())
  second.charge('end', 1_100)
  const [begin, end] = second.records()
  t.true(end!.epoch > begin!.epoch)
  t.like(end, { sequence: 2, pageNumber: 2, mark: 'E' })
  t.like(verify(second), { ok: true, count: 2 })
})

test('recover finds the charging points of a database that is lost: they sign on from their certificates', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const first = openSessionRig({ dataDir })
  first.charge('begin', 1_000)
  first.close()
  for (const suffix of ['-wal', '-shm']) rmSync(databasePath(dataDir) + suffix, { force: true })
  writeFileSync(databasePath(dataDir), 'nothing is left of it')
  const lines: string[] = []
  recover(first.config, new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) }))
  t.true(lines.includes('gw-1/CP1.1: 0 records saved\n'), lines.join(''))
  const second = openSessionRig({ dataDir, bootId: 'boot-2' })
  t.teardown(() => second.close())
  second.charge('end', 1_100)
  t.like(verify(second), { ok: true, count: 1 })
})

const step = fc.record({
  place: fc.integer({ min: 1, max: 2 }),
  mark: fc.constantFrom('begin' as const, 'interval' as const, 'end' as const),
  sessionId: fc.integer({ min: 1, max: 4 }),
  wh: fc.integer({ min: 0, max: 500 }),
  cut: fc.option(fc.constantFrom('records', 'session_records', 'lineage')),
  restart: fc.boolean(),
})

test('SPEC-31: wherever it is cut, chains of charging points have no gap and no number twice', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  let folder = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 14 }), (steps) => {
      const options = { dataDir: join(dataDir, `${folder++}`), clock: new HandClock() }
      let rig = openSessionRig(options)
      let wh = 1_000
      const left: string[] = []
      for (const { place, mark, sessionId, wh: more, cut, restart } of steps) {
        wh += more
        const { db } = rig.session.store
        const verb = cut === 'lineage' ? 'UPDATE' : 'INSERT'
        if (cut !== null)
          db.exec(`CREATE TEMP TRIGGER cut AFTER ${verb} ON ${cut} BEGIN SELECT RAISE(ABORT, 'cut'); END`)
        try {
          rig.charge(mark, wh, { sessionId, place: { stationId: 'CP1', connectorId: place } })
        } catch {
          // nothing of it may have left
        }
        db.exec('DROP TRIGGER IF EXISTS temp.cut')
        if (!restart) continue
        left.push(...rig.told.signed.map(({ point, epoch, sequence }) => `${point} ${epoch} ${sequence}`))
        rig.close()
        rig = openSessionRig(options)
      }
      left.push(...rig.told.signed.map(({ point, epoch, sequence }) => `${point} ${epoch} ${sequence}`))
      t.is(new Set(left).size, left.length)
      for (const { point } of rig.signer.points()) {
        const count = left.filter((place) => place.startsWith(`${point} `)).length
        t.is(rig.texts(point).length, count)
        if (count > 0) t.like(verify(rig, point), { ok: true, count })
      }
      rig.close()
    }),
    { numRuns: 10 },
  )
})
