import test from 'ava'
import fc from 'fast-check'
import { makeTempFolder } from '../../../test/signing-rig.ts'
import { FakeUpstream, type Received, UpstreamRig } from '../../../test/upstream-rig.ts'
import type { OcppPayload } from '../transaction-sink.ts'

/** One thing that happens. */
type Step =
  | { readonly kind: 'say'; readonly again: boolean }
  | { readonly kind: 'cut' | 'heal' | 'kill' | 'wait' }
  /** The next request of a station meets this. */
  | { readonly kind: 'meets'; readonly fate: 'lost' | 'answer-lost' | 'killed-before-answer' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('say' as const),
      again: fc.integer({ max: 5, min: 0 }).map((n) => n === 0),
    }),
  },
  { weight: 4, arbitrary: fc.constantFrom<Step>({ kind: 'cut' }, { kind: 'heal' }, { kind: 'wait' }) },
  {
    weight: 4,
    arbitrary: fc.constantFrom<Step>(
      { kind: 'kill' },
      { kind: 'meets', fate: 'lost' },
      { kind: 'meets', fate: 'answer-lost' },
      { kind: 'meets', fate: 'killed-before-answer' },
    ),
  },
)

const stations = ['CP1', 'CP2'] as const
const time = (n: number) => new Date(Date.UTC(2027, 0, 15, 8, n)).toISOString()

interface Said {
  readonly action: string
  /** Which of the station's sessions, from 0. */
  readonly session: number
  readonly payload: Record<string, unknown>
}

/** What a station says next: sessions of a start, some values and a stop, one after the other. */
function nextMessage(stationId: string, n: number, ours: number | undefined): Said {
  const [session, part] = [Math.floor(n / 4), n % 4]
  const timestamp = time(n)
  if (stationId === 'CP2') {
    const eventType = part === 0 ? 'Started' : part === 3 ? 'Ended' : 'Updated'
    const triggerReason = 'MeterValuePeriodic'
    return {
      action: 'TransactionEvent',
      session,
      payload: {
        eventType,
        timestamp,
        triggerReason,
        seqNo: part,
        transactionInfo: { transactionId: `tx-${session}` },
      },
    }
  }
  if (part === 0)
    return { action: 'StartTransaction', session, payload: { connectorId: 1, idTag: 'CARD', meterStart: n, timestamp } }
  if (part === 3)
    return { action: 'StopTransaction', session, payload: { transactionId: ours, meterStop: n, timestamp } }
  const meterValue = [{ timestamp, sampledValue: [{ value: String(n) }] }]
  return { action: 'MeterValues', session, payload: { connectorId: 1, transactionId: ours, meterValue } }
}

test('whatever is cut, killed or said twice, upstream gets every message of every session: the same, in order, once', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      const cleanups: (() => unknown)[] = []
      const teardown = (action: () => unknown) => void cleanups.push(action)
      const csms = new FakeUpstream()
      const dataDir = makeTempFolder(teardown)
      let rig = open()
      const said = new Map<string, Said[]>(stations.map((id) => [id, []]))
      let ours: number | undefined
      let mustKill = false

      function open(): UpstreamRig {
        const opened = new UpstreamRig(teardown, { dial: csms.dial, dataDir })
        opened.upstream.connected('CP1', 'ocpp1.6')
        opened.upstream.connected('CP2', 'ocpp2.0.1')
        return opened
      }
      async function kill(): Promise<void> {
        rig.kill()
        csms.cut()
        csms.fate = () => undefined
        mustKill = false
        rig = open()
        await rig.advance(1)
      }
      // A station that gets no answer says it again.
      async function tell(stationId: string, { action, payload }: Omit<Said, 'session'>): Promise<OcppPayload> {
        const version = stationId === 'CP1' ? 'ocpp1.6' : 'ocpp2.0.1'
        try {
          return await rig.say(stationId, version, action, payload)
        } catch (error) {
          if (!mustKill) throw error
          await kill()
          return await tell(stationId, { action, payload })
        }
      }
      async function say(again: boolean): Promise<void> {
        for (const stationId of stations) {
          const list = said.get(stationId) ?? []
          const last = list.at(-1)
          const message = again && last !== undefined ? last : nextMessage(stationId, list.length, ours)
          if (message !== last) list.push(message)
          const answer = await tell(stationId, message)
          if (message.action === 'StartTransaction') ours = Number(answer['transactionId'])
        }
      }

      function meet(fate: 'lost' | 'answer-lost' | 'killed-before-answer'): void {
        csms.fate = () => {
          csms.fate = () => undefined
          if (fate !== 'killed-before-answer') return fate
          mustKill = true
          // Upstream has it, and nobody lives to hear so.
          rig.kill()
          return 'answer-lost'
        }
      }

      for (const one of steps) {
        if (one.kind === 'say') await say(one.again)
        else if (one.kind === 'kill') await kill()
        else if (one.kind === 'cut') {
          csms.isReachable = false
          csms.cut()
        } else if (one.kind === 'heal') csms.isReachable = true
        else if (one.kind === 'meets') meet(one.fate)
        await rig.advance(one.kind === 'wait' ? 400_000 : 1)
        if (mustKill) await kill()
      }
      csms.isReachable = true
      csms.fate = () => undefined
      for (let round = 0; round < 4; round++) await rig.advance(400_000)

      for (const stationId of stations) {
        const got = csms.received.filter(({ identity, action }) => identity === stationId && action !== 'Heartbeat')
        const firsts = firstOfEach(got)
        // Sent again is the same again, to the byte.
        for (const one of got) {
          t.deepEqual(
            one,
            firsts.find(({ messageId }) => messageId === one.messageId),
          )
        }
        const list = said.get(stationId) ?? []
        t.deepEqual(
          firsts.map(({ action, payload }) => [action, withoutIds(payload)]),
          list.map(({ action, payload }) => [action, withoutIds(payload)]),
        )
        checkNumbers(firsts)
      }
      t.like(rig.upstream.views().get('CP1'), { waiting: 0, aside: 0 })
      for (const cleanup of cleanups.toReversed()) await cleanup()

      // Every message of a session of OCPP 1.6 carries the number that upstream gave to its start.
      function checkNumbers(messages: readonly Received[]): void {
        let theirs: unknown
        for (const message of messages) {
          if (message.action === 'StartTransaction') theirs = csms.usualAnswer(message)['transactionId']
          else if (message.identity === 'CP1') t.is(message.payload['transactionId'], theirs)
        }
      }
    }),
    { numRuns: 12, seed: 4_7, endOnFailure: true },
  )
})

function firstOfEach(messages: readonly Received[]): readonly Received[] {
  return [...new Map(messages.toReversed().map((one) => [one.messageId, one])).values()].toReversed()
}

function withoutIds({ transactionId: _, offline: __, ...rest }: Record<string, unknown>): Record<string, unknown> {
  return rest
}
