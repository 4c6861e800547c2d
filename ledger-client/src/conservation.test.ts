import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier, type Message, openRig, startMs, tempDir } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import type { LedgerEngine } from './engine.ts'
import { readBalances } from './reports.ts'

const reading = fc.record({
  wh: fc.integer({ min: 0, max: 500 }),
  backWh: fc.integer({ min: 0, max: 500 }),
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

const swaps = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 5 })), { minLength: 5, maxLength: 60 })
const batches = fc.integer({ min: 1, max: 10 })

test('SPEC-80: whatever is lost, doubled, reordered and restarted, the mints are the last register less the first', (t) => {
  fc.assert(
    fc.property(fc.array(reading, { minLength: 2, maxLength: 30 }), swaps, batches, (readings, moved, batch) => {
      const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice', key: 4711 })
      const produced = produce(roof, readings)
      deliver(roof, produced, { moved, batch }, (engine) => {
        t.is(engine.registry.get(roof.id)?.head?.sequence, readings.length)
        t.is(engine.registry.get(roof.id)?.mintedWh, produced.exportWh)
        t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
        t.is(engine.db.prepare<[], { n: number }>('SELECT count(*) AS n FROM held').get()?.n, 0)
      })
    }),
    { numRuns: 60 },
  )
})

test('SPEC-83: likewise a storage has what its registers differ by, in and out, and no WATT', (t) => {
  fc.assert(
    fc.property(fc.array(reading, { minLength: 2, maxLength: 30 }), swaps, batches, (readings, moved, batch) => {
      const battery = new Device({ meter: 'battery', role: 'storage', owner: 'alice', key: 4712 })
      const { importWh: chargedWh, exportWh: dischargedWh, ...produced } = produce(battery, readings)
      deliver(battery, produced, { moved, batch }, (engine) => {
        const { storages, mintedWh, burnedWh } = readBalances(engine.db)
        const storedWh = chargedWh - dischargedWh
        t.deepEqual(storages, [{ point: battery.id, chargedWh, dischargedWh, storedWh }])
        t.deepEqual([mintedWh, burnedWh], [0n, 0n])
        t.deepEqual(auditLedger(engine.db, fastVerifier).faults, [])
      })
    }),
    { numRuns: 25 },
  )
})

interface Produced {
  readonly messages: readonly Message[]
  readonly texts: readonly Message[]
}

/** Sends what a meter has signed over a network that loses order and doubles, to a ledger that is cut again and again. */
function deliver(
  device: Device,
  { messages, texts }: Produced,
  { moved, batch }: { readonly moved: readonly (readonly [number, number])[]; readonly batch: number },
  check: (engine: LedgerEngine) => void,
): void {
  // What the network does: messages swap places and come twice.
  const sent = [...messages]
  for (const [from, by] of moved) {
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
    engine.ingest([device.certificateMessage(), ...texts])
    check(engine)
  } finally {
    for (const fn of teardowns.toReversed()) fn()
  }
}

function produce(
  meter: Device,
  readings: readonly {
    wh: number
    backWh: number
    state: 'ok' | 'no-answer' | 'read-error' | 'frozen' | 'implausible-jump'
    frame: boolean
    restart: boolean
  }[],
): Produced & { readonly importWh: bigint; readonly exportWh: bigint } {
  let now = { import: 5000n, export: 1000n }
  let first: typeof now | undefined
  let last = now
  const messages: Message[] = [meter.certificateMessage()]
  for (const [index, each] of readings.entries()) {
    now = { import: now.import + BigInt(each.backWh), export: now.export + BigInt(each.wh) }
    if (each.restart && index > 0) {
      meter.restore()
      meter.base = undefined
    }
    const options = { state: each.state, takenAt: startMs + (index + 1) * 60_000 }
    messages.push(
      each.frame && meter.base?.record.registers.export !== undefined
        ? meter.readFrame(now, options)
        : meter.read(now, options),
    )
    if (each.state === 'ok') {
      first ??= now
      last = now
    }
  }
  const { import: importWh, export: exportWh } = first ?? last
  return {
    messages,
    texts: meter.texts.map((text) => meter.message(text)),
    importWh: last.import - importWh,
    exportWh: last.export - exportWh,
  }
}
