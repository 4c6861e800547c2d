import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  decodeDerSignature,
  makeMeterId,
  nobleVerifier,
  parseCertificate,
  parseOcmfText,
  verifyRange,
} from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { HandClock, makeTempFolder, observeExport, openRig, type SigningRig } from '../test/signing-rig.ts'
import { findPoint, getPoint, requestRebase } from './store/points.ts'

function verify(rig: SigningRig, at = 0) {
  const setup = rig.setups[at]
  const certificate = parseCertificate(getPoint(rig.session.store, rig.points[at]!).certificate)
  return verifyRange(rig.texts(rig.points[at]), {
    pointText: `gw-1 ${setup?.meterId}`,
    keyOf: () => setup?.signer.publicKey,
    firstSequence: 1,
    previousHash: certificate.hash,
  })
}

test('SPEC-30: the first record names the certificate, each other one its predecessor', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  for (let n = 0; n < 5; n++) rig.sign(1_000 + n)
  t.like(verify(rig), { ok: true, count: 5, lastSequence: 5 })
})

test('SPEC-51: the certificate names the meter that was there first, and is stored beside the key', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown), rolloverWh: 100_000_000n })
  t.teardown(() => rig.close())
  rig.sign(1_000)
  const stored = readFileSync(join(rig.dataDir, 'keys', 'roof.certificate'), 'latin1').trim()
  const certificate = parseCertificate(stored)
  t.like(certificate, { role: 'producer', maxPowerW: 54_338, rolloverWh: 100_000_000n })
  t.deepEqual(certificate.meter, { vendor: 'Eastron', model: 'SDM630', serial: '12345' })
  t.deepEqual(certificate.firstRegister, parseOcmfText(rig.texts()[0]!).record.registers, 'SPEC-93')
  t.is(getPoint(rig.session.store, rig.points[0]!).certificate, stored)
})

test('a certificate whose file is lost is put back from the database', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const first = openRig({ dataDir })
  first.sign(1_000)
  const path = join(dataDir, 'keys', 'roof.certificate')
  const text = readFileSync(path, 'latin1')
  first.close()
  rmSync(path)
  const second = openRig({ dataDir })
  t.teardown(() => second.close())
  second.sign(1_001)
  t.is(readFileSync(path, 'latin1'), text)
})

test('a record says which meter was read, and in what state', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  rig.sign(1_000)
  rig.sign(900)
  const [first, second] = rig.texts().map((text) => parseOcmfText(text).record)
  t.like(first, { state: 'ok', registers: { export: 1_000n }, pageNumber: 1, context: 'F' })
  t.is(first?.template.meterSerial, '12345')
  t.like(second, { state: 'register-decreased', registers: { export: 900n }, pageNumber: 2 })
})

test("an installer's acceptance waits for a reading, and is used once", (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  t.false(requestRebase(rig.session.store, rig.points[0]!), 'nothing to accept yet')
  rig.sign(1_000)
  t.true(requestRebase(rig.session.store, rig.points[0]!))
  const { bootId } = rig.session
  const moment = { takenAt: rig.clock.now(), clockStatus: 'S' as const, bootId, uptimeMs: 1 }
  rig.attestor.attest([{ meterId: makeMeterId('roof'), seen: { kind: 'failed', moment, code: 'bus/timeout' } }])
  t.is(rig.sign(3).state, 're-based')
  t.is(rig.sign(4).state, 'ok')
})

test('readings that come together share one transaction: all of them or none', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown), meters: ['roof', 'house'] })
  t.teardown(() => rig.close())
  const together = (names: readonly string[]) =>
    rig.attestor.attest(names.map((name) => ({ meterId: makeMeterId(name), seen: observeExport(5, rig.clock) })))
  t.deepEqual(
    together(['roof', 'house', 'roof']).map(({ point, sequence }) => `${point} ${sequence}`),
    ['gw-1/roof 1', 'gw-1/house 1', 'gw-1/roof 2'],
  )
  t.throws(() => together(['roof', 'nobody']))
  t.is(rig.texts().length, 2)
})

test('a meter text that a record cannot carry stands in percent notation', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  const seen = { ...observeExport(5, rig.clock), serial: 'A|B"\\é\n' }
  rig.attestor.attest([{ meterId: makeMeterId('roof'), seen }])
  t.is(parseOcmfText(rig.texts()[0] ?? '').record.template.meterSerial, 'A%7CB%22%5C%C3%A9%0A')
  t.like(verify(rig), { ok: true })
})

test('a point without a reading has no row', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  t.is(findPoint(rig.session.store, rig.points[0]!), undefined)
})

/** Makes the database fail at a random statement, as a power cut or a full disk would. */
function failAt(rig: SigningRig, statement: string): () => void {
  const { db } = rig.session.store
  const trigger: Record<string, string> = {
    insert: 'BEFORE INSERT ON records',
    inserted: 'AFTER INSERT ON records',
    head: 'BEFORE UPDATE OF sequence ON points',
    history: 'AFTER UPDATE OF history ON points',
    count: 'AFTER UPDATE ON lineage',
  }
  db.exec(`CREATE TEMP TRIGGER cut ${trigger[statement]} BEGIN SELECT RAISE(ABORT, 'cut'); END`)
  return () => db.exec('DROP TRIGGER temp.cut')
}

const moments = ['insert', 'inserted', 'head', 'history', 'count'] as const

test('SPEC-31: whatever fails in between, numbers have no gap and nothing is signed twice', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  let folder = 0
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          meter: fc.constantFrom('roof', 'house'),
          cut: fc.option(fc.constantFrom(...moments)),
          restart: fc.boolean(),
        }),
        { minLength: 1, maxLength: 15 },
      ),
      (steps) => {
        const options = { dataDir: join(dataDir, `${folder++}`), clock: new HandClock(), meters: ['roof', 'house'] }
        let rig = openRig(options)
        const left: string[] = []
        let wh = 1_000
        for (const { meter, cut, restart } of steps) {
          wh += 7
          const repair = cut === null ? undefined : failAt(rig, cut)
          try {
            const { point, epoch, sequence } = rig.sign(wh, meter)
            left.push(`${point} ${epoch} ${sequence}`)
          } catch {
            // nothing of it may have left
          }
          repair?.()
          if (restart) {
            rig.close()
            rig = openRig(options)
          }
        }
        t.is(new Set(left).size, left.length)
        for (const [at, point] of rig.points.entries()) {
          const own = left.filter((place) => place.startsWith(`${point} `))
          t.is(rig.texts(point).length, own.length)
          if (own.length > 0) t.like(verify(rig, at), { ok: true, count: own.length })
        }
        rig.close()
      },
    ),
    { numRuns: 40 },
  )
})

test('SPEC-17: what is stored is what was signed, byte for byte', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  rig.sign(1_000)
  const [, payload = '', section = ''] = (rig.texts()[0] ?? '').split('|')
  const hex = JSON.parse(section).SD
  const signature = decodeDerSignature(Buffer.from(hex, 'hex'))
  t.true(nobleVerifier.verify(Buffer.from(payload), signature!, rig.setups[0]!.signer.publicKey))
})
