import { makeTimestamp } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { connectStation, KeptLog, makeTestSink, startCsms } from '../../test/csms-rig.ts'
import { sessionConfig } from '../../test/signer-rig.ts'
import { bareHash, SigningMeter } from '../../test/signing-meter.ts'
import { HandClock, makeTempFolder } from '../../test/signing-rig.ts'
import { foreignVerifier } from '../identity/foreign-verifier.ts'
import type { OcppPayload } from '../ocpp/transaction-sink.ts'
import { openStore, type Store } from '../store/database.ts'
import { listSignedValues, type StoredSignedValue } from '../store/signed-values.ts'
import { SignedValues, takingSignedValues } from './signed-values.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const sampled = (value: object, timestamp = '2026-11-21T09:00:00Z') => [{ timestamp, sampledValue: [value] }]

interface Rig {
  readonly store: Store
  readonly log: KeptLog
  /** Takes an OCMF text as OCPP 2.0.1 brings it. */
  take(text: string, options?: { key?: string; transaction?: string; payload?: OcppPayload }): StoredSignedValue[]
}

function open(t: ExecutionContext, stations = ''): Rig {
  const dataDir = makeTempFolder(t.teardown)
  const store = openStore(dataDir)
  t.teardown(() => store.close())
  const log = new KeptLog()
  const values = new SignedValues({
    config: sessionConfig(dataDir, { stations }),
    store,
    log,
    verifier: foreignVerifier,
  })
  let frame = 0
  return {
    store,
    log,
    take: (text, { key, transaction = 'T1', payload } = {}) => {
      const publicKey = key === undefined ? {} : { publicKey: base64(`oca:base16:asn1:${key}`) }
      const signedMeterValue = {
        signedMeterData: base64(text),
        encodingMethod: 'OCMF',
        signingMethod: '',
        ...publicKey,
      }
      const event = {
        evse: { id: 1 },
        transactionInfo: { transactionId: transaction },
        meterValue: sampled({ value: 1, context: 'Transaction.End', signedMeterValue }),
      }
      return store.write(() => [
        ...values.take({
          stationId: 'CP1',
          version: 'ocpp2.0.1',
          payload: payload ?? event,
          arrivedAt: makeTimestamp(1),
          frame: ++frame,
          contentHash: '',
          mended: [],
        }),
      ])
    },
  }
}

const verdicts = (values: readonly StoredSignedValue[]) => values.map(({ verdict, reason }) => [verdict, reason])

test('a true value is valid, its key trusted on first use and told so, and it is kept as it came', (t) => {
  const [rig, meter] = [open(t), new SigningMeter()]
  const text = meter.read(2935.6)
  const [value] = rig.take(text, { key: meter.publicKey })
  t.like(value, {
    verdict: 'valid',
    reason: 'its key is trusted on first use',
    connectorId: 1,
    meter: meter.serial,
    text,
  })
  t.like(rig.log.lines[0], { event: 'session.meter-key.met', publicKey: meter.publicKey.toUpperCase() })
  t.deepEqual(verdicts(rig.take(meter.read(2936.1), { key: meter.publicKey })), [['valid', '']])
  t.is(listSignedValues(rig.store, 'CP1', 'T1').length, 2)
  t.deepEqual(rig.take(text, { key: meter.publicKey }), [], 'a repeated message brings nothing new')
})

test('the same with one bit changed is told false, whichever bit of the text it is', (t) => {
  const meter = new SigningMeter()
  const rig = open(t, `{ id: CP1, meterKey: '${meter.publicKey}' }`)
  const text = meter.read(12.5)
  t.deepEqual(verdicts(rig.take(text)), [['valid', '']])
  const [before, after] = [text.indexOf('|') + 1, text.lastIndexOf('|')]
  // Of the last section only the signature counts: the rest is no part of what was signed.
  const places = [...Array.from({ length: 24 }, (_, n) => before + Math.floor(((after - before) * n) / 24))]
  places.push(text.indexOf('"SD":"') + 20, text.length - 6)
  for (const at of places) {
    const changed = `${text.slice(0, at)}${String.fromCharCode(text.charCodeAt(at) ^ 1)}${text.slice(at + 1)}`
    t.deepEqual(
      rig.take(changed).map(({ verdict }) => verdict),
      ['false'],
      `${at}: ${changed.slice(at - 5, at + 5)}`,
    )
  }
  t.is(rig.log.lines.filter(({ event }) => event === 'session.signed-value.false').length, places.length)
})

test('a bare hash in the place of the signature is told false, and as what it is', (t) => {
  const [rig, meter] = [open(t), new SigningMeter()]
  const [value] = rig.take(meter.read(12.5, 'E', bareHash), { key: meter.publicKey })
  t.deepEqual(verdicts([value!]), [['false', 'SD is a bare hash of the payload: anybody can make that']])
  // Nothing is trusted on such a use, and no key is needed to see it.
  t.deepEqual(verdicts(rig.take(meter.read(12.7, 'E', bareHash)))[0]?.[0], 'false')
  t.deepEqual(verdicts(rig.take(meter.read(12.6))), [['unproven', 'no key is known for this meter']])
})

test('a value that somebody else signed is false, once the key is known from the configuration or from before', (t) => {
  const [meter, thief] = [new SigningMeter(), new SigningMeter()]
  const reason = 'the trusted key does not fit'
  const configured = open(t, `{ id: CP1, connectors: [{ id: 1, meterKey: '${meter.publicKey}' }] }`)
  t.deepEqual(verdicts(configured.take(thief.read(1), { key: thief.publicKey })), [['false', reason]])
  const [known] = configured.take(meter.read(1), { key: thief.publicKey })
  t.is(known?.reason, 'it came with another key than the trusted one, which fits')
  const met = open(t)
  met.take(meter.read(1), { key: meter.publicKey })
  t.deepEqual(verdicts(met.take(thief.read(2), { key: thief.publicKey })), [['false', reason]])
  t.deepEqual(verdicts(met.take(meter.read(3), { key: thief.publicKey })).flat()[0], 'valid')
  const renamed = meter.read(4).replace(meter.serial, `${meter.serial}X`)
  t.deepEqual(verdicts(met.take(renamed)), [['false', 'no key that is known of this station fits']])
})

test('a true value that is told again for another transaction is told to be repeated', (t) => {
  const [rig, meter] = [open(t), new SigningMeter()]
  const text = meter.read(5)
  rig.take(text, { key: meter.publicKey })
  t.deepEqual(verdicts(rig.take(text, { transaction: 'T2' })), [['repeated', 'told for transaction T1 before']])
  t.like(rig.log.lines.at(-1), { level: 'warn', event: 'session.signed-value.repeated', transaction: 'T2' })
})

test('what nobody here can check is neither true nor false', (t) => {
  const rig = open(t)
  t.deepEqual(verdicts(rig.take('OCMF|{"MS":"1"}|{"SD":"00"}')), [['unproven', 'no key is known for this meter']])
  const signedMeterValue = { signedMeterData: base64('EDL'), encodingMethod: 'EDL' }
  const payload = { meterValue: sampled({ value: 1, signedMeterValue }) }
  t.deepEqual(verdicts(rig.take('', { payload })), [['unproven', "encoding 'EDL'"]])
  t.deepEqual(verdicts(rig.take('OCMF|{"MS":"2"}|{"SD":"00"}', { key: 'z' })), [
    ['false', 'the public key is no SPKI in hex or base64'],
  ])
})

test('stations of 1.6 and 2.0.1 bring them through the server, and are answered whatever they bring', async (t) => {
  const meter = new SigningMeter()
  let store: Store | undefined
  const rig = await startCsms(
    (action) => t.teardown(action),
    { noSubprotocol: 'refuse' },
    {
      sink: (opened) => {
        store = opened
        const parts = { config: {}, store: opened, log: new KeptLog(), verifier: foreignVerifier }
        return takingSignedValues(makeTestSink(opened, new HandClock()), new SignedValues(parts))
      },
    },
  )
  const url = (id: string) => `ws://127.0.0.1:${rig.port}/${id}`
  const old = await connectStation(url('OLD'))
  const wrapped = (text: string) =>
    JSON.stringify({ signedMeterData: base64(text), encodingMethod: 'OCMF', publicKey: base64(meter.publicKey) })
  const value = (text: string) => ({ value: text, format: 'SignedData', context: 'Transaction.End' })
  const timestamp = '2026-11-21T09:00:00Z'
  const stop = { transactionId: 7, meterStop: 100, timestamp }
  const told = [wrapped(meter.read(1)), meter.read(2), 'nonsense', `${meter.read(3)}x`]
  for (const text of told) {
    const answer = await old.call('StopTransaction', { ...stop, transactionData: sampled(value(text)) })
    t.is(answer[0], 3, JSON.stringify(answer))
  }
  const young = await connectStation(url('NEW'), ['ocpp2.0.1'])
  const signedMeterValue = {
    signedMeterData: base64(meter.read(4)),
    encodingMethod: 'OCMF',
    signingMethod: 'ECDSA-secp256r1-SHA256',
    publicKey: base64(`oca:base16:asn1:${meter.publicKey}`),
  }
  const event = {
    eventType: 'Ended',
    timestamp,
    triggerReason: 'EVDeparted',
    seqNo: 1,
    transactionInfo: { transactionId: 'T9' },
    meterValue: sampled({ value: 4000, signedMeterValue }),
  }
  t.is((await young.call('TransactionEvent', event))[0], 3)
  t.deepEqual(
    listSignedValues(store!, 'OLD', '7').map(({ verdict }) => verdict),
    ['valid', 'valid', 'unproven', 'false'],
  )
  t.like(listSignedValues(store!, 'NEW', 'T9'), { 0: { verdict: 'valid' }, length: 1 })
  t.deepEqual(
    rig.frames().map(({ outcome }) => outcome),
    // Nobody began transaction 7; what the meter signed is judged all the same.
    ['quarantined', 'quarantined', 'quarantined', 'quarantined', 'accepted'],
  )
})

test('a status passes by the signed values to the sessions', (t) => {
  const seen: unknown[] = []
  const nothing = () => ({})
  const sink = {
    start: () => ({ transactionId: 1, verdict: { status: 'Accepted' } as const }),
    stop: nothing,
    event: nothing,
  }
  const taking = takingSignedValues(
    { ...sink, meterValues: () => {}, status: (message) => void seen.push(message) },
    { take: () => [] },
  )
  const message = { stationId: 'CP1', payload: { connectorId: 1, status: 'Available' } }
  taking.status?.(message)
  t.deepEqual(seen, [message])
})

test('SPEC-118: what a station tells of a connector goes past the signed values to the sessions', (t) => {
  const seen: unknown[] = []
  const unasked = () => {
    throw new Error('nothing of the kind was told')
  }
  const inner = { start: unasked, stop: unasked, meterValues: unasked, event: unasked }
  const sink = takingSignedValues({ ...inner, status: (message) => void seen.push(message) }, { take: unasked })
  const message = { stationId: 'CP1', payload: { connectorId: 1, status: 'Available' } }
  sink.status?.(message)
  t.deepEqual(seen, [message])
})
