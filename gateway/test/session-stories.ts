import type { ExecutionContext } from 'ava'
import { makeSessionRig, type SessionLine, type SessionRig, time, values } from './session-rig.ts'

/** A story of one station, what is known after it, and how far the register of the place went on in it. */
export interface Story {
  readonly version?: 'ocpp1.6' | 'ocpp2.0.1'
  tell(rig: SessionRig): Promise<void>
  readonly lines: readonly Partial<SessionLine>[]
  /** Session by session: begin and end as they were signed. */
  readonly signed: readonly (readonly [begin: number, end: number])[]
  readonly quarantined?: readonly string[]
}

// What stations say, in OCPP 1.6 and, from `idToken` on, in 2.x.

export const start = (meterStart: number, seconds: number, more: object = {}) => ({
  connectorId: 1,
  idTag: 'CARD',
  meterStart,
  timestamp: time(seconds),
  ...more,
})
export const stop = (transactionId: unknown, meterStop: number, seconds: number, more: object = {}) => ({
  transactionId,
  meterStop,
  timestamp: time(seconds),
  ...more,
})
export const meter = (transactionId: unknown, ...meterValue: object[]) => ({
  connectorId: 1,
  transactionId,
  meterValue,
})

export const idToken = { idToken: 'CARD', type: 'ISO14443' }
export const values2 = (wh: number, seconds: number, context = 'Sample.Periodic') => ({
  timestamp: time(seconds),
  sampledValue: [
    { value: wh, context, measurand: 'Energy.Active.Import.Register', unitOfMeasure: { unit: 'Wh' } },
    { value: 7000, context, measurand: 'Power.Active.Import', unitOfMeasure: { unit: 'W' } },
  ],
})
export const event = (
  eventType: string,
  seqNo: number,
  seconds: number,
  more: object = {},
  transactionId = 'tx-1',
) => ({
  eventType,
  seqNo,
  timestamp: time(seconds),
  triggerReason: 'MeterValuePeriodic',
  transactionInfo: { transactionId },
  ...more,
})

/** OCPP 1.6: begins a session, and gives its number. */
export async function begin(rig: SessionRig, meterStart: number, seconds: number, more: object = {}): Promise<unknown> {
  return (await rig.send('StartTransaction', start(meterStart, seconds, more), seconds))['transactionId']
}

/** A session of 200 Wh from 5000 Wh, with one value in between. */
export async function plainSession(rig: SessionRig, from = 5000, seconds = 0): Promise<unknown> {
  const id = await begin(rig, from, seconds)
  await rig.send('MeterValues', meter(id, values(from + 100, seconds + 60)), seconds + 60)
  await rig.send('StopTransaction', stop(id, from + 200, seconds + 120), seconds + 120)
  return id
}

export const plain = { place: 'CP1/1', driver: 'anna', wh: 200, completeness: 'complete', remarks: [] }

// What holds of every story: one begin and one end for each session, in the order of the register, and no watt-hour
// of the place in two sessions.
function checkSigned(t: ExecutionContext, rig: SessionRig, expected: Story['signed']): void {
  const places = new Set(rig.signed.map(({ place }) => place.connectorId))
  for (const connectorId of places) {
    const here = rig.signed.filter(({ place }) => place.connectorId === connectorId)
    const registers = here.map(({ registerWh }) => registerWh)
    t.deepEqual(
      registers,
      registers.toSorted((a, b) => Number(a - b)),
      'never falls',
    )
    const ends = here.filter(({ mark }) => mark !== 'interval')
    ends.forEach(({ mark, sessionId }, at) => {
      t.is(mark, at % 2 === 0 ? 'begin' : 'end')
      t.is(ends[at - (at % 2)]?.sessionId, sessionId)
    })
  }
  const pairs = rig.signed
    .filter(({ mark }) => mark === 'end')
    .map(({ sessionId, registerWh }) => {
      const first = rig.signed.find((one) => one.sessionId === sessionId && one.mark === 'begin')
      return [Number(first?.registerWh), Number(registerWh)]
    })
  t.deepEqual(pairs, expected as [number, number][])
}

/** Tells a story, and looks at what is known after it. */
export async function checkStory(t: ExecutionContext, story: Story): Promise<void> {
  const rig = makeSessionRig(t.teardown, { version: story.version ?? 'ocpp1.6' })
  await story.tell(rig)
  const lines = rig.lines()
  t.is(lines.length, story.lines.length)
  story.lines.forEach((expected, at) => {
    t.like(lines[at], expected)
  })
  checkSigned(t, rig, story.signed)
  t.deepEqual(
    rig.frames().flatMap(({ action, outcome }) => (outcome === 'quarantined' ? [action] : [])),
    story.quarantined ?? [],
  )
}
