import {
  type Base,
  type Certificate,
  driverOf,
  makeGatewayId,
  type OpenSession,
  type PointId,
  parseCertificate,
  parseOcmfText,
  stepBase,
  stepSession,
  verifyRange,
} from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { makeSessionRig, time } from '../../test/session-rig.ts'
import { sessionConfig } from '../../test/signer-rig.ts'
import { RecordWriter } from '../record-writer.ts'
import { countEpochs } from '../store/epochs.ts'
import { findPoint } from '../store/points.ts'
import { PointSigner } from './point-signer.ts'

/** Everything from a station's request to the signed record. */
function open(teardown: (action: () => void) => void) {
  let signer: PointSigner | undefined
  const rig = makeSessionRig(teardown, { sign: (reading) => signer?.sign(reading) })
  const { store, dataDir, clock } = rig
  const writer = new RecordWriter({
    store,
    dataDir,
    gatewayId: makeGatewayId('gw-1'),
    epochs: countEpochs(clock, 0),
    witness: { note: () => {}, close: () => {} },
  })
  const events = { signed: () => {}, silent: () => {}, met: () => {} }
  signer = new PointSigner({ config: sessionConfig(dataDir), store, writer, clock, events })
  const texts = (point: PointId) =>
    store.db
      .prepare(
        'SELECT records.text FROM records JOIN points p ON p.number = records.point WHERE p.point = ? ORDER BY records.sequence',
      )
      .pluck()
      .all(point)
      .map(String)
  return { ...rig, signer, texts }
}

/** What the ledger books of a chain, by its own rules (SPEC-80, SPEC-87): who pays how much. */
function book(texts: readonly string[], { maxPowerW }: Certificate) {
  let [base, open]: [Base | undefined, OpenSession | undefined] = [undefined, undefined]
  const paid: Record<string, bigint> = {}
  for (const text of texts) {
    const { record } = parseOcmfText(text)
    const step = stepBase(base, record, { maxPowerW })
    const kind = step.kind === 'counted' ? (base === undefined ? 'base' : 'counted') : 'none'
    const importWh = step.kind === 'counted' ? step.energy.import : 0n
    base = step.base
    const result = stepSession(open, record, { kind, importWh })
    open = result.open
    const payer = result.bill?.driver ?? 'owner'
    if (result.burnWh > 0n) paid[payer] = (paid[payer] ?? 0n) + result.burnWh
  }
  return { paid, openWh: open?.countedWh ?? 0n }
}

function verify(t: ExecutionContext, line: ReturnType<typeof open>, point: PointId) {
  const row = findPoint(line.store, point)
  const certificate = parseCertificate(row?.certificate ?? '')
  const texts = line.texts(point)
  const expected = { pointText: point.replace('/', ' '), keyOf: () => certificate.key, firstSequence: 1 }
  t.like(verifyRange(texts, { ...expected, previousHash: certificate.hash }), { ok: true, count: texts.length })
  return { texts, booked: book(texts, certificate) }
}

const start = (seconds: number, meterStart: number, idTag = 'CARD') => ({
  connectorId: 1,
  idTag,
  meterStart,
  timestamp: time(seconds),
})
const values = (seconds: number, transactionId: number, wh: number) => ({
  connectorId: 1,
  transactionId,
  meterValue: [{ timestamp: time(seconds), sampledValue: [{ value: String(wh), context: 'Sample.Periodic' }] }],
})

test('a session that a station tells is a signed pair, and its driver’s bill is the difference of its registers', async (t) => {
  const line = open(t.teardown)
  const { transactionId } = (await line.send('StartTransaction', start(0, 1_000), 0)) as { transactionId: number }
  await line.send('MeterValues', values(600, transactionId, 1_800), 600)
  await line.send('MeterValues', values(1_200, transactionId, 2_600), 1_200)
  const stop = { transactionId, meterStop: 3_000, timestamp: time(1_500), idTag: 'CARD' }
  await line.send('StopTransaction', stop, 1_500)
  await line.send('StopTransaction', stop, 1_501)
  await line.send('StartTransaction', start(0, 1_000), 1_502)
  line.clock.nowMs += 3_600_000
  line.sink.tidy({ beforeMs: 0 })
  const [entry] = line.store.db.prepare('SELECT point FROM points').pluck().all() as PointId[]
  const { texts, booked } = verify(t, line, entry!)
  const records = texts.map((text) => parseOcmfText(text).record)
  t.deepEqual(
    records
      .filter(({ mark }) => mark !== undefined)
      .map(({ mark, pageNumber, user, registers }) => [mark, pageNumber, driverOf(user), registers.import]),
    [
      ['B', 1, 'anna', records[0]?.registers.import],
      ['E', 2, 'anna', (records[0]?.registers.import ?? 0n) + 2_000n],
    ],
  )
  t.true(records.length >= 3, 'with intervals between them')
  t.deepEqual(booked, { paid: { anna: 2_000n }, openWh: 0n })
  t.false(
    texts.some((text) => text.includes('CARD')),
    'and no card stands in it',
  )
})

test('whatever comes twice, late or not at all, the bills are the register’s difference, each watt-hour once', async (t) => {
  const session = fc.record({
    wh: fc.integer({ min: 0, max: 5_000 }),
    gapWh: fc.constantFrom(0, 0, 0, 40),
    card: fc.constantFrom('CARD', 'GUEST'),
    loseStart: fc.nat({ max: 9 }).map((n) => n === 0),
    loseStop: fc.nat({ max: 9 }).map((n) => n === 0),
    twice: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(session, { minLength: 1, maxLength: 5 }), async (sessions) => {
      const teardowns: (() => void)[] = []
      const line = open((action) => teardowns.push(action))
      try {
        let [register, seconds] = [1_000, 0]
        for (const { wh, gapWh, card, loseStart, loseStop, twice } of sessions) {
          register += gapWh
          const begin = start(seconds, register, card)
          let transactionId = 9_999_999
          for (const _ of loseStart ? [] : twice ? [1, 2] : [1]) {
            const answer = (await line.send('StartTransaction', begin, seconds + 1)) as { transactionId: number }
            transactionId = answer.transactionId
          }
          seconds += 3_600
          register += wh
          await line.send('MeterValues', values(seconds - 60, transactionId, register), seconds - 59)
          const stop = { transactionId, meterStop: register, timestamp: time(seconds) }
          for (const _ of loseStop ? [] : twice ? [1, 2] : [1]) await line.send('StopTransaction', stop, seconds + 1)
          seconds += 600
        }
        line.clock.nowMs += 8 * 86_400_000
        line.sink.tidy({ beforeMs: 0 })
        for (const point of line.store.db.prepare('SELECT point FROM points').pluck().all() as PointId[]) {
          const { texts, booked } = verify(t, line, point)
          const records = texts.map((text) => parseOcmfText(text).record)
          const sound = records.flatMap(({ registers, state }) => (state === 'ok' ? (registers.import ?? []) : []))
          const total = Object.values(booked.paid).reduce((sum, wh) => sum + wh, 0n) + booked.openWh
          t.is(total, (sound.at(-1) ?? 0n) - (sound[0] ?? 0n))
          t.is(booked.openWh, 0n, 'every session has ended by now')
          const sure = sessions.every(({ loseStart, loseStop }) => !loseStart && !loseStop)
          const annas = sessions.reduce((sum, { card, wh }) => (card === 'CARD' ? sum + wh : sum), 0)
          if (sure) t.is(booked.paid['anna'] ?? 0n, BigInt(annas))
        }
      } finally {
        for (const teardown of teardowns.toReversed()) teardown()
      }
    }),
    { numRuns: 15 },
  )
})
