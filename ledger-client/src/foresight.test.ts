import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier, type Message, openRig, quarantined } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import type { Signed } from './verifiers/shared-batch.ts'
import type { ForesightedVerifier } from './verifiers/two-threads.ts'

/** Counts what it is asked without having been told. */
class Foretold implements ForesightedVerifier {
  readonly name = 'foretold'
  readonly #told = new Set<string>()
  foreseen = 0
  surprises = 0

  foresee(items: readonly Signed[]): void {
    this.#told.clear()
    for (const item of items) this.#told.add(keyOf(item))
    this.foreseen += items.length
  }

  verify(...[payload, signature, publicKey]: Parameters<ForesightedVerifier['verify']>): boolean {
    if (!this.#told.has(keyOf({ payload, signature, publicKey }))) this.surprises++
    return fastVerifier.verify(payload, signature, publicKey)
  }
}

function keyOf({ payload, signature, publicKey }: Signed): string {
  return [payload, signature, publicKey].map((bytes) => Buffer.from(bytes).toString('base64')).join()
}

const roof = new Device({ meter: 'roof', role: 'producer' })
const house = new Device({ meter: 'house', role: 'consumer' })
const certificates = [roof.certificateMessage(), house.certificateMessage()]
const firsts = [roof.read({ export: 0n }), house.read({ import: 0n })]
const sound: readonly Message[] = Array.from({ length: 60 }, (_, n) => [
  // Full texts in between, and frames that refer to one of the same batch.
  n % 20 === 10 ? roof.read({ export: BigInt(n) }) : roof.readFrame({ export: BigInt(n) }),
  n % 7 === 3 ? house.read({ import: BigInt(n) }) : house.readFrame({ import: BigInt(n) }),
]).flat()

test('SPEC-56: what a sound backlog will ask is foreseen, all of it and nothing else', (t) => {
  const verifier = new Foretold()
  const { engine } = openRig(t, { verifier })
  engine.ingest([...certificates, ...firsts])
  const before = verifier.surprises
  t.is(engine.ingest(sound).accepted, sound.length)
  t.is(verifier.surprises, before)
  const { foreseen } = verifier
  t.true(foreseen >= sound.length) // again where the time for one commit was up in between
  t.is(engine.ingest(sound).replayed, sound.length)
  t.is(verifier.foreseen, foreseen, 'what was accepted already is not checked again')
})

test('SPEC-56: foresight changes nothing of what becomes of messages that are lost, doubled, damaged or out of order', (t) => {
  const change = fc.record({
    at: fc.nat({ max: sound.length - 1 }),
    what: fc.constantFrom('lose', 'double', 'swap', 'flip'),
  })
  fc.assert(
    fc.property(fc.array(change, { maxLength: 12 }), fc.integer({ min: 1, max: 130 }), (changes, step) => {
      const messages = changes.reduce(apply, [...firsts, ...sound])
      const [plain, looking] = [fastVerifier, new Foretold()].map((verifier) => {
        const ends: (() => void)[] = []
        const { engine } = openRig({ teardown: (end) => ends.push(end) }, { verifier })
        engine.ingest(certificates)
        const outcomes = []
        for (let at = 0; at < messages.length; at += step) outcomes.push(engine.ingest(messages.slice(at, at + step)))
        const heads = engine.registry.all().map(({ head, mintedWh, burnedWh }) => ({ head, mintedWh, burnedWh }))
        const result = { outcomes, heads, quarantine: quarantined(engine), ok: auditLedger(engine.db, verifier).ok }
        for (const end of ends.toReversed()) end()
        return result
      })
      t.deepEqual(looking, plain)
      t.true(looking?.ok)
    }),
    { numRuns: 6 },
  )
})

function apply(messages: Message[], { at, what }: { at: number; what: string }): Message[] {
  const [one, next] = [messages[at % messages.length]!, messages[(at + 2) % messages.length]!]
  if (what === 'lose') return messages.toSpliced(at, 1)
  if (what === 'double') return messages.toSpliced(at, 0, one)
  if (what === 'swap') return messages.with(at % messages.length, next).with((at + 2) % messages.length, one)
  const payload = Buffer.from(one.payload)
  const last = payload.length - 7
  payload[last] = payload[last] === 0x31 ? 0x32 : 0x31
  return messages.with(at % messages.length, { ...one, payload })
}
