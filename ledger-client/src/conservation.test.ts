import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier, type Message, openRig, startMs, tempDir } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'

const reading = fc.record({
  wh: fc.integer({ min: 0, max: 500 }),
  state: fc.oneof(
    { weight: 8, arbitrary: fc.constant('ok' as const) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        'no-answer' as const,
        'read-error' as const,
        'frozen' as const,
        'implausible-jump' as const,
      ),
    },
  ),
  frame: fc.boolean(),
  restart: fc.nat({ max: 12 }).map((n) => n === 0),
})

test('SPEC-80: whatever is lost, doubled, reordered and restarted, the mints are the last register less the first', (t) => {
  fc.assert(
    fc.property(
      fc.array(reading, { minLength: 2, maxLength: 30 }),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 5 })), { minLength: 5, maxLength: 60 }),
      fc.integer({ min: 1, max: 10 }),
      (readings, swaps, batch) => {
        const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice', key: 4711 })
        const { messages, texts, minted } = produce(roof, readings)
        // What the network does: messages swap places and come twice.
        const sent = [...messages]
        for (const [from, by] of swaps) {
          const [a, b] = [from % sent.length, (from + by) % sent.length]
          ;[sent[a], sent[b]] = [sent[b]!, sent[a]!]
          if (by === 0) sent.push(sent[a]!)
        }
        const teardowns: (() => void)[] = []
        const rigs = { teardown: (fn: () => void) => teardowns.push(fn) }
        try {
          const dataDir = tempDir(rigs)
          let { engine } = openRig(rigs, { dataDir })
          for (let i = 0; i < sent.length; i += batch) {
            engine.store(sent.slice(i, i + batch).map((each) => ({ gateway: 'gw-1', ...each })))
            // Cut between storing and processing: the next start goes on with what is stored.
            if (i % (3 * batch) === 0) engine = openRig(rigs, { dataDir }).engine
            engine.ingest([])
          }
          // A gateway sends again what no receipt answered, as full texts.
          engine.ingest([roof.certificateMessage(), ...texts])
          t.is(engine.registry.get(roof.id)?.head?.sequence, readings.length)
          t.is(engine.registry.get(roof.id)?.mintedWh, minted)
          t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
          t.is(engine.db.prepare<[], { n: number }>('SELECT count(*) AS n FROM held').get()?.n, 0)
        } finally {
          for (const fn of teardowns.toReversed()) fn()
        }
      },
    ),
    { numRuns: 60 },
  )
})

function produce(
  roof: Device,
  readings: readonly {
    wh: number
    state: 'ok' | 'no-answer' | 'read-error' | 'frozen' | 'implausible-jump'
    frame: boolean
    restart: boolean
  }[],
) {
  let wh = 1000n
  let first: bigint | undefined
  let last = 0n
  const messages: Message[] = [roof.certificateMessage()]
  for (const [index, each] of readings.entries()) {
    wh += BigInt(each.wh)
    if (each.restart && index > 0) {
      roof.restore()
      roof.base = undefined
    }
    const options = { state: each.state, takenAt: startMs + (index + 1) * 60_000 }
    messages.push(
      each.frame && roof.base?.record.registers.export !== undefined
        ? roof.readFrame({ export: wh }, options)
        : roof.read({ export: wh }, options),
    )
    if (each.state === 'ok') {
      first ??= wh
      last = wh
    }
  }
  return {
    messages,
    texts: roof.texts.map((text) => roof.message(text)),
    minted: first === undefined ? 0n : last - first,
  }
}
