import { closeSync, openSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { parseOcmfText } from '@wattline/protocol'
import test from 'ava'
import { makeTempFolder, openRig, type SigningRig } from '../test/signing-rig.ts'
import { decodeConfig } from './config.ts'
import { recover } from './recover.ts'
import { databasePath } from './store/database.ts'
import { findPoint } from './store/points.ts'
import { settleReceipt } from './store/settlement.ts'

function configFor(dataDir: string) {
  const text = `
version: 1
gateway: { id: gw-1, dataDir: ${dataDir} }
buses: [{ id: lan, tcp: { host: 127.0.0.1 } }]
meters:
  - { id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }
  - { id: house, bus: lan, unitId: 2, profile: eastron-sdm630, role: producer }
`
  return decodeConfig(text, '/gateway.yaml')
}

function run(dataDir: string): string {
  const printed: string[] = []
  const output = { write: (text: string) => printed.push(text) > 0 }
  recover(configFor(dataDir), output as unknown as NodeJS.WritableStream)
  return printed.join('')
}

/** A gateway with records, of which the ledger confirmed some, closed and checkpointed. */
function makePast(dataDir: string, confirmed: number): { texts: readonly string[]; epoch: number } {
  const rig = openRig({ dataDir, meters: ['roof', 'house'] })
  for (let n = 1; n <= 200; n++) rig.sign(1_000 + n)
  rig.sign(5, 'house')
  const texts = rig.texts()
  const { record, hash } = parseOcmfText(texts[confirmed - 1]!)
  const { store, epochs } = rig.session
  const parts = { store, outbox: rig.outbox, epochs, asked: new Map() }
  store.write(() =>
    settleReceipt(parts, {
      point: rig.points[0]!,
      ledger: new Uint8Array(65),
      session: '00000000000000aa',
      serial: 1,
      epoch: record.epoch,
      sequence: record.sequence,
      hash,
      mintedWh: 0n,
      burnedWh: 0n,
      resend: false,
    }),
  )
  store.db.pragma('wal_checkpoint(TRUNCATE)')
  rig.close()
  return { texts, epoch: record.epoch }
}

/** Overwrites the page of the file in which a text stands. */
function damage(path: string, needle: string): void {
  const at = readFileSync(path).indexOf(needle)
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, Math.floor(at / 4096) * 4096)
  closeSync(file)
}

const rejectedOf = (rig: SigningRig) =>
  rig.session.store.db.prepare('SELECT count(*) FROM records WHERE rejected IS NOT NULL').pluck().get()

test('a sound database is left alone', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  makePast(dataDir, 10)
  t.regex(run(dataDir), /sound/)
})

test('a running gateway is not recovered', (t) => {
  const rig = openRig({ dataDir: makeTempFolder(t.teardown) })
  t.teardown(() => rig.close())
  t.like(
    t.throws(() => run(rig.dataDir)),
    { code: 'storage/locked' },
  )
})

test('what is readable is saved; a gap before the last receipt costs nothing', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const { texts, epoch } = makePast(dataDir, 150)
  damage(databasePath(dataDir), texts[60]!.slice(0, 600))
  t.like(
    t.throws(() => openRig({ dataDir })),
    { code: 'storage/corrupt' },
  )
  const printed = run(dataDir)
  t.regex(printed, /gw-1\/roof: \d+ records saved\n/)
  const rig = openRig({ dataDir, meters: ['roof', 'house'] })
  t.teardown(() => rig.close())
  const saved = rig.texts()
  t.true(saved.length > 180 && saved.length < 200, `${saved.length}`)
  t.true(
    saved.every((text) => texts.includes(text)),
    'byte for byte',
  )
  t.is(rejectedOf(rig), 0)
  t.is(rig.outbox.waiting(rig.points[0]!), 50)
  const next = rig.sign(2_000)
  t.is(next.sequence, 201)
  t.is(next.state, 'ok', 'the guard remembers the last sound register')
  t.true(next.epoch > epoch, 'SPEC-32')
  t.is(parseOcmfText(rig.texts().at(-1)!).record.previousHash, parseOcmfText(texts.at(-1)!).hash)
  t.is(rig.sign(6, 'house').sequence, 2)
})

test('what lies behind a gap after the last receipt is kept, and the chain goes on before it', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const { texts } = makePast(dataDir, 50)
  damage(databasePath(dataDir), texts[120]!.slice(0, 600))
  t.regex(run(dataDir), /after a gap/)
  const rig = openRig({ dataDir, meters: ['roof', 'house'] })
  t.teardown(() => rig.close())
  t.true(Number(rejectedOf(rig)) > 70)
  const head = findPoint(rig.session.store, rig.points[0]!)?.sequence ?? 0
  t.true(head >= 110 && head < 121, `${head}`)
  t.is(rig.sign(2_000).sequence, head + 1)
  t.is(
    rig.outbox.take(1_000, rig.points, () => 1_000).filter(({ point }) => point === rig.points[0]).length <= 100,
    true,
  )
})

test('a database of which nothing is left begins anew at the certificate, in a higher epoch', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const { epoch, texts } = makePast(dataDir, 10)
  writeFileSync(databasePath(dataDir), 'x'.repeat(50_000))
  t.regex(run(dataDir), /gw-1\/roof: 0 records saved/)
  const rig = openRig({ dataDir, meters: ['roof', 'house'] })
  t.teardown(() => rig.close())
  rig.clock.nowMs = 1_000 // and a clock that has lost its time
  const next = rig.sign(2_000)
  t.true(next.epoch > epoch)
  const [first, again] = [texts[0]!, rig.texts()[0]!].map((text) => parseOcmfText(text).record)
  t.is(again?.previousHash, first?.previousHash)
})

test('the damaged files are put aside, whole', (t) => {
  const dataDir = makeTempFolder(t.teardown)
  const { texts } = makePast(dataDir, 10)
  damage(databasePath(dataDir), texts[60]!.slice(0, 600))
  const before = readFileSync(databasePath(dataDir))
  run(dataDir)
  const [aside = ''] = readdirSync(dataDir).filter((name) => name.startsWith('damaged-'))
  t.true(before.equals(readFileSync(join(dataDir, aside, 'gateway.db'))))
  t.is(statSync(join(dataDir, aside)).mode & 0o777, 0o700)
  t.false(readdirSync(dataDir).includes('recovering'))
})
