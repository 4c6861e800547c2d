import { asciiToBytes, parseOcmfText, type WattError } from '@wattline/protocol'
import test from 'ava'
import fc from 'fast-check'
import { Device, fastVerifier } from '../../test/rig.ts'
import type { Signed } from './shared-batch.ts'
import { startVerifier, type ThreadOptions, TwoThreads } from './two-threads.ts'

interface Teardown {
  teardown(fn: () => unknown): void
}

const device = new Device({ meter: 'roof', role: 'producer' })
const signed: readonly Signed[] = Array.from({ length: 300 }, (_, n) => {
  const { payload, signature } = parseOcmfText(device.sign({ registers: { export: BigInt(n) } }))
  return { payload: asciiToBytes(payload), signature, publicKey: device.signer.publicKey }
})

function start(t: Teardown, options: ThreadOptions = {}) {
  const lost: string[] = []
  const verifier = new TwoThreads(fastVerifier, 'auto', ({ code }: WattError) => lost.push(code), options)
  t.teardown(() => verifier.close())
  return { verifier, lost }
}

function verdicts(verifier: typeof fastVerifier, items: readonly Signed[]): boolean[] {
  return items.map(({ payload, signature, publicKey }) => verifier.verify(payload, signature, publicKey))
}

/** Until the other thread has taken part. */
async function warm(verifier: TwoThreads): Promise<void> {
  while (!verifier.isShared) {
    verifier.foresee(signed)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('SPEC-56: two threads give the verdicts of one, whatever they are told beforehand', async (t) => {
  const { verifier, lost } = start(t)
  await warm(verifier)
  const item = fc.tuple(
    fc.nat({ max: signed.length - 1 }),
    fc.constantFrom('sound', 'payload', 'signature', 'key', 'cut'),
  )
  const items = fc.array(item.map(spoil), { maxLength: 60 })
  fc.assert(
    fc.property(items, items, (foreseen, asked) => {
      verifier.foresee(foreseen)
      t.deepEqual(verdicts(verifier, [...asked, ...foreseen]), verdicts(fastVerifier, [...asked, ...foreseen]))
    }),
    { numRuns: 30 },
  )
  t.deepEqual(lost, [])
})

function spoil([at, what]: [number, string]): Signed {
  const { payload, signature, publicKey } = signed[at] as Signed
  if (what === 'payload') return { payload: Buffer.concat([payload, Buffer.from(' ')]), signature, publicKey }
  if (what === 'signature') return { payload, signature: signed[(at + 1) % signed.length]!.signature, publicKey }
  if (what === 'key')
    return { payload, signature, publicKey: new Device({ meter: 'x', role: 'producer' }).signer.publicKey }
  if (what === 'cut') return { payload, signature: signature.subarray(1), publicKey: publicKey.subarray(at % 2) }
  return { payload, signature, publicKey }
}

test('SPEC-56: a verdict is given for the very bytes that were checked and for no others', async (t) => {
  const { verifier } = start(t)
  await warm(verifier)
  const [one, other] = signed as readonly [Signed, Signed]
  verifier.foresee([one])
  t.true(verifier.verify(one.payload, one.signature, one.publicKey))
  t.false(verifier.verify(other.payload, one.signature, one.publicKey))
  const longer = Buffer.alloc(2 * 1024 * 1024)
  verifier.foresee([{ ...one, payload: longer }, ...signed, ...signed, ...signed, ...signed])
  t.deepEqual(new Set(verdicts(verifier, signed)), new Set([true]))
  t.false(verifier.verify(longer, one.signature, one.publicKey))
})

for (const how of ['ends', 'hangs']) {
  test(`SPEC-56: a second thread that ${how} is told with its code, and one thread goes on`, async (t) => {
    const worker = new URL(`../../test/failing-worker.ts?${how}`, import.meta.url)
    const { verifier, lost } = start(t, { worker, patienceMs: 100 })
    while (lost.length === 0) {
      verifier.foresee(signed)
      t.deepEqual(new Set(verdicts(verifier, signed)), new Set([true]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const bad = { ...signed[0]!, payload: signed[1]!.payload }
    verifier.foresee([bad, ...signed])
    t.deepEqual(verdicts(verifier, [bad, ...signed.slice(0, 2)]), [false, true, true])
    t.deepEqual(lost, ['verifier/thread-lost'])
  })
}

test('one thread is the verifier itself', async (t) => {
  const { verifier, close } = await startVerifier('auto', 1, () => t.fail())
  t.false('foresee' in verifier)
  await close()
})
