import { setTimeout as pause } from 'node:timers/promises'
import { formatPublicKey, makeSigner, type PointId, parseOcmfText, type Receipt } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { makeTempFolder, openRig, type RigOptions, type SigningRig } from '../../test/signing-rig.ts'
import { ScriptedLedger, TestBroker } from '../../test/uplink-rig.ts'
import type { Settlement } from '../store/settlement.ts'
import { Uplink, type UplinkTiming } from './uplink.ts'

const timing: UplinkTiming = { firstResendMs: 20_000, longestResendMs: 60_000, firstPauseMs: 20, longestPauseMs: 100 }
/** For the tests in which something has to be given up. */
const impatient: UplinkTiming = { ...timing, firstResendMs: 400, longestResendMs: 1_600 }
const roof = 'gw-1/roof' as PointId

interface Line {
  readonly rig: SigningRig
  readonly broker: TestBroker
  readonly ledger: ScriptedLedger
  readonly events: string[]
  readonly settlements: { receipt: Receipt; settlement: Settlement }[]
  uplink: Uplink
  sign(wh: number, meter?: string): void
  waiting(): number
  startUplink(): void
}

interface LineOptions extends Partial<RigOptions> {
  readonly window?: number
  readonly ledgerKey?: string
  /** What the uplink knows of at its start, where that is not everything. */
  readonly points?: readonly PointId[]
  readonly timing?: UplinkTiming
}

/** Broker, ledger and everything from the reading to the uplink, which is not started yet. */
async function openLine(t: ExecutionContext, options: LineOptions = {}): Promise<Line> {
  const broker = new TestBroker()
  await broker.start()
  const ledger = new ScriptedLedger(broker)
  const rig = openRig({ dataDir: options.dataDir ?? makeTempFolder((action) => t.teardown(action)), ...options })
  const events: string[] = []
  const settlements: Line['settlements'] = []
  const makeUplink = () =>
    new Uplink({
      config: {
        url: `mqtt://127.0.0.1:${broker.port}`,
        window: options.window ?? 300,
        ...(options.ledgerKey === undefined ? {} : { ledgerKey: options.ledgerKey }),
      },
      gatewayId: rig.setups[0]!.point.split('/')[0] as never,
      points: options.points ?? rig.points,
      store: rig.session.store,
      outbox: rig.outbox,
      epochs: rig.session.epochs,
      timing: options.timing ?? timing,
      events: {
        connected: () => events.push('connected'),
        disconnected: () => events.push('disconnected'),
        sent: () => events.push('sent'),
        settled: (receipt, settlement) => settlements.push({ receipt, settlement }),
        refusedMessage: () => events.push('refused message'),
        ledgerMet: () => events.push('ledger met'),
        failed: (error) => events.push(`failed ${error instanceof Error ? error.message : error}`),
      },
    })
  const line: Line = {
    rig,
    broker,
    ledger,
    events,
    settlements,
    uplink: makeUplink(),
    sign: (wh, meter) => {
      rig.sign(wh, meter)
      line.uplink.wake()
    },
    waiting: () => rig.points.reduce((sum, point) => sum + rig.outbox.waiting(point), 0),
    startUplink: () => line.uplink.start(),
  }
  t.teardown(async () => {
    await line.uplink.stop()
    await broker.stop()
    rig.close()
  })
  return line
}

/** Waits for what other parts do in their own time. */
async function until(t: ExecutionContext, what: string, condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2_000; tries++) {
    if (condition()) return
    await pause(5)
  }
  t.fail(`${what} did not come`)
}

/** The ledger has everything once, in the order of the chain, byte for byte. */
function hasAll(t: ExecutionContext, { rig, ledger }: Line, point = roof): void {
  t.deepEqual(
    ledger.texts(point),
    rig.texts(point).map((text) => parseOcmfText(text).payload),
  )
}

test.serial(
  'SPEC-61: greeting, certificate, first record in full, then frames; receipts free everything',
  async (t) => {
    const line = await openLine(t)
    for (let n = 0; n < 5; n++) line.sign(1_000 + n)
    line.startUplink()
    await until(t, 'receipts', () => line.waiting() === 0)
    t.deepEqual(line.ledger.log, [
      'hello',
      'certificate roof',
      'text roof 1',
      ...[2, 3, 4, 5].map((n) => `frame roof ${n}`),
    ])
    line.sign(1_010)
    await until(t, 'receipt', () => line.waiting() === 0)
    hasAll(t, line)
    t.deepEqual(
      line.events.filter((event) => event.startsWith('failed') || event.startsWith('refused')),
      [],
    )
  },
)

test.serial('readings never wait for the network, and everything catches up when it is there', async (t) => {
  const line = await openLine(t, { meters: ['roof', 'house'], window: 7 })
  await line.broker.stop()
  line.startUplink()
  for (let n = 0; n < 60; n++) for (const meter of ['roof', 'house']) line.sign(1_000 + n, meter)
  t.is(line.waiting(), 120)
  await line.broker.start()
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
  hasAll(t, line, 'gw-1/house' as PointId)
})

test.serial(
  'SPEC-70: the broker taking a record frees nothing; without receipts it is sent again, one at a time',
  async (t) => {
    const line = await openLine(t, { timing: impatient })
    line.ledger.silent = true
    for (let n = 0; n < 20; n++) line.sign(1_000 + n)
    line.startUplink()
    await until(t, 'a try', () => line.ledger.log.filter((entry) => entry === 'text roof 1').length >= 3)
    t.is(line.waiting(), 20)
    const again = line.ledger.log.slice(line.ledger.log.lastIndexOf('hello'))
    t.false(
      again.some((entry) => entry.startsWith('frame')),
      'only the first one is tried, in full',
    )
    line.ledger.silent = false
    await until(t, 'receipts', () => line.waiting() === 0)
    hasAll(t, line)
  },
)

test.serial('messages that the broker lost are sent again', async (t) => {
  const line = await openLine(t, { timing: impatient })
  line.ledger.deaf = true
  for (let n = 0; n < 5; n++) line.sign(1_000 + n)
  line.startUplink()
  await until(t, 'PUBACKs', () => line.events.filter((event) => event === 'sent').length >= 5)
  line.ledger.deaf = false
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
})

test.serial('SPEC-61: after each connect certificate and full text come first', async (t) => {
  const line = await openLine(t)
  line.sign(1_000)
  line.startUplink()
  await until(t, 'receipt', () => line.waiting() === 0)
  line.broker.cut()
  await until(t, 'reconnect', () => line.events.filter((event) => event === 'connected').length === 2)
  line.sign(1_001)
  await until(t, 'receipt', () => line.waiting() === 0)
  t.deepEqual(line.ledger.log.slice(-3), ['hello', 'certificate roof', 'text roof 2'])
  hasAll(t, line)
})

test.serial('SPEC-72: a ledger that lacks the base asks, and gets certificate and full text', async (t) => {
  const line = await openLine(t)
  line.sign(1_000)
  line.startUplink()
  await until(t, 'receipt', () => line.waiting() === 0)
  delete line.ledger.book(roof).base
  line.sign(1_001)
  line.sign(1_002)
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
  t.true(line.ledger.log.join().includes('frame roof ?'))
})

test.serial('SPEC-74: the first ledger that is met is trusted, and no other after it', async (t) => {
  const line = await openLine(t)
  line.ledger.silent = true
  line.sign(1_000)
  line.startUplink()
  await until(t, 'the record', () => line.ledger.log.includes('text roof 1'))
  line.ledger.answer(roof, {}, line.ledger.signer)
  await until(t, 'the ledger', () => line.events.includes('ledger met'))
  const { epoch, sequence, hash } = placeOf(line, 0)
  line.ledger.answer(roof, { epoch, sequence, hash }, makeSigner(new Uint8Array(32).fill(3)))
  await until(t, 'the refusal', () => line.events.includes('refused message'))
  t.is(line.waiting(), 1)
  // Also after a restart.
  await line.uplink.stop()
  t.is(
    line.rig.session.store.db.prepare('SELECT value FROM settings').pluck().get(),
    formatPublicKey(line.ledger.signer.publicKey),
  )
})

test.serial('SPEC-74: a configured ledger key counts from the first receipt on', async (t) => {
  const line = await openLine(t, { ledgerKey: formatPublicKey(makeSigner(new Uint8Array(32).fill(3)).publicKey) })
  line.sign(1_000)
  line.startUplink()
  await until(t, 'the refusal', () => line.events.includes('refused message'))
  t.is(line.waiting(), 1)
  t.false(line.events.includes('ledger met'))
})

function placeOf({ rig }: Line, at: number) {
  const { record, hash } = parseOcmfText(rig.texts()[at]!)
  return { epoch: record.epoch, sequence: record.sequence, hash }
}

test.serial('what is no receipt for this gateway is refused and changes nothing', async (t) => {
  const line = await openLine(t)
  line.ledger.silent = true
  line.sign(1_000)
  line.startUplink()
  await until(t, 'the record', () => line.ledger.log.includes('text roof 1'))
  const topic = 'wattline/v1/gw-1/roof/receipt'
  for (const payload of ['', 'WATT-RECEIPT|{}|x', 'x'.repeat(20_000), `OCMF|${'{}'}|{}`])
    line.broker.send(topic, payload)
  line.ledger.answer('gw-1/other' as PointId)
  await until(t, 'refusals', () => line.events.filter((event) => event === 'refused message').length === 5)
  t.is(line.waiting(), 1)
})

test.serial('SPEC-73: a receipt with another hash frees nothing; late and doubled ones do no harm', async (t) => {
  const line = await openLine(t)
  line.ledger.silent = true
  for (let n = 0; n < 3; n++) line.sign(1_000 + n)
  line.startUplink()
  await until(t, 'the records', () => line.ledger.log.includes('frame roof ?'))
  line.ledger.answer(roof, { ...placeOf(line, 2), hash: 'b'.repeat(64) })
  await until(t, 'it', () => line.settlements.some(({ settlement }) => settlement.outcome === 'foreign'))
  t.is(line.waiting(), 3)
  line.ledger.answer(roof, { ...placeOf(line, 1), serial: 1_000 })
  line.ledger.answer(roof, { ...placeOf(line, 0), serial: 500 })
  line.ledger.answer(roof, { ...placeOf(line, 1), serial: 1_000 })
  await until(t, 'them', () => line.settlements.filter(({ settlement }) => settlement.outcome === 'stale').length === 2)
  t.is(line.waiting(), 1)
})

test.serial('SPEC-32: a ledger that refuses the chain gets a new epoch that goes on from what it has', async (t) => {
  const line = await openLine(t)
  for (let n = 0; n < 3; n++) line.sign(1_000 + n)
  line.startUplink()
  await until(t, 'receipts', () => line.waiting() === 0)
  const closed = placeOf(line, 0).epoch
  line.ledger.refuses = ({ record }) => (record.epoch === closed ? 'record/epoch-closed' : undefined)
  line.sign(1_010)
  await until(t, 'a new epoch', () => line.settlements.some(({ settlement }) => settlement.openedEpoch !== undefined))
  line.sign(1_020)
  await until(t, 'acceptance', () => line.ledger.texts(roof).length === 4)
  const last = line.ledger.book(roof).accepted.at(-1)?.record
  t.like(last, { sequence: 4, registers: { export: 1_020n }, previousHash: placeOf(line, 2).hash })
  await until(t, 'its receipt', () => line.waiting() === 0)
})

test.serial('SPEC-72: a point that is not enrolled holds back until it is welcome', async (t) => {
  const line = await openLine(t, { timing: impatient })
  line.ledger.refusesPoint = 'point/closed-enrolment'
  for (let n = 0; n < 40; n++) line.sign(1_000 + n)
  line.startUplink()
  await until(t, 'second try', () => line.ledger.log.filter((entry) => entry === 'text roof 1').length === 3)
  const tries = line.ledger.log.slice(line.ledger.log.indexOf('text roof 1', 10))
  t.false(tries.some((entry) => entry.startsWith('frame')))
  line.ledger.refusesPoint = undefined
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
})

test.serial('SPEC-71: a ledger restored to an earlier place gets everything from there again', async (t) => {
  const line = await openLine(t)
  for (let n = 0; n < 6; n++) line.sign(1_000 + n)
  line.startUplink()
  await until(t, 'receipts', () => line.waiting() === 0)
  const { accepted } = line.ledger.book(roof)
  accepted.splice(2)
  line.ledger.session = '00000000000000bb'
  line.ledger.serial = 0
  line.ledger.answer(roof)
  await until(t, 'the rest', () => line.ledger.texts(roof).length === 6)
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
})

test.serial(
  'SPEC-32: a restored gateway heals: the ledger knows more, and the chain goes on in a new epoch',
  async (t) => {
    const line = await openLine(t)
    for (let n = 0; n < 3; n++) line.sign(1_000 + n)
    line.startUplink()
    await until(t, 'receipts', () => line.waiting() === 0)
    const { epoch } = placeOf(line, 0)
    line.ledger.answer(roof, { epoch, sequence: 30, hash: 'c'.repeat(64) })
    await until(t, 'a new epoch', () => line.settlements.some(({ settlement }) => settlement.openedEpoch !== undefined))
    line.sign(2_000)
    await until(t, 'acceptance', () => line.ledger.texts(roof).length === 4)
    t.true((line.ledger.book(roof).accepted.at(-1)?.record.epoch ?? 0) > epoch)
    t.true(line.ledger.log.includes('text roof 4'), 'SPEC-41: in full')
  },
)

test.serial('promise 1: connections that break all the time lose and double nothing', async (t) => {
  const line = await openLine(t, { meters: ['roof', 'house'], window: 10, timing: impatient })
  line.startUplink()
  for (let n = 0; n < 120; n++) {
    line.sign(1_000 + n, n % 3 === 0 ? 'house' : 'roof')
    if (n % 10 === 9) line.broker.cut()
    if (n % 4 === 0) await pause(3)
  }
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
  hasAll(t, line, 'gw-1/house' as PointId)
})

test.serial('no more than the window is under way, and memory does not grow while the broker is away', async (t) => {
  const line = await openLine(t, { window: 25 })
  line.ledger.silent = true
  line.startUplink()
  await until(t, 'connection', () => line.events.includes('connected'))
  for (let n = 0; n < 200; n++) line.sign(1_000 + n)
  await until(t, 'the window', () => line.events.filter((event) => event === 'sent').length >= 25)
  t.is(line.rig.outbox.inFlight(), 25)
  await line.broker.stop()
  for (let n = 0; n < 200; n++) line.sign(1_200 + n)
  await pause(50)
  t.true(line.rig.outbox.inFlight() <= 25)
  t.is(line.waiting(), 400)
})

test.serial('a disk that is full while receipts come costs nothing but time', async (t) => {
  const line = await openLine(t, { timing: impatient })
  for (let n = 0; n < 3; n++) line.sign(1_000 + n)
  const { db } = line.rig.session.store
  db.exec(
    "CREATE TEMP TRIGGER full BEFORE UPDATE OF acknowledged_sequence ON points BEGIN SELECT RAISE(ABORT, 'full'); END",
  )
  line.startUplink()
  await until(t, 'the failure', () => line.events.some((event) => event.startsWith('failed')))
  t.is(line.waiting(), 3)
  db.exec('DROP TRIGGER temp.full')
  await until(t, 'receipts', () => line.waiting() === 0)
  hasAll(t, line)
})

test.serial('a metering point that is met while connected goes the same way, certificate first', async (t) => {
  const charger = 'gw-1/CP1.1' as PointId
  const line = await openLine(t, { meters: ['roof', 'CP1.1'], points: [roof] })
  line.sign(1_000)
  line.startUplink()
  await until(t, 'a receipt', () => line.settlements.length > 0)
  line.uplink.add(charger)
  line.uplink.add(charger)
  line.sign(2_000, 'CP1.1')
  line.uplink.wake()
  await until(t, 'its receipt', () => line.rig.outbox.waiting(charger) === 0)
  t.deepEqual(
    line.ledger.log.filter((entry) => entry.includes('CP1.1')),
    ['certificate CP1.1', 'text CP1.1 1'],
  )
})
