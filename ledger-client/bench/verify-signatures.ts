// What a signature costs: each verifier against libsecp256k1 called directly; a range that is authenticated by hash
// from its last signature; and whether a second thread would pay.
import { hash } from 'node:crypto'
import { asciiToBytes, nobleVerifier, parseOcmfText, type SignatureVerifier } from '@wattline/protocol'
import { compareRates, percentile, printFigure } from '../../protocol/bench/figure.ts'
import { loadLibrary, makeNativeVerifier } from '../src/verifiers/native-verifier.ts'
import { makeNodeVerifier } from '../src/verifiers/node-verifier.ts'
import { authenticateRange } from '../src/verifiers/range.ts'
import { TwoThreads } from '../src/verifiers/two-threads.ts'
import { Device } from '../test/rig.ts'

const rounds = 7
/** What the ledger takes for one commit. */
const batch = 500

const library = await loadLibrary()
if (library === undefined) throw new Error('no libsecp256k1 for this machine')
const native = makeNativeVerifier(library)
const device = new Device({ meter: 'roof', role: 'producer' })
const { publicKey } = device.signer
const texts = Array.from({ length: 20_000 }, (_, n) => device.sign({ registers: { export: BigInt(10 * n) } }))
const signed = texts.slice(0, 2000).map((text) => {
  const { payload, signature } = parseOcmfText(text)
  const bytes = asciiToBytes(payload)
  return { bytes, signature, digest: hash('sha256', bytes, 'buffer') }
})

function compareVerifier(verifier: SignatureVerifier, count: number): void {
  const some = signed.slice(0, count)
  const fail = () => {
    throw new Error(`${verifier.name}: a signature is not valid`)
  }
  const [rate, direct] = compareRates(
    rounds,
    count,
    () => {
      for (const { bytes, signature } of some) if (!verifier.verify(bytes, signature, publicKey)) fail()
    },
    () => {
      for (const { signature, digest } of some) if (!library?.ecdsaVerify(signature, digest, publicKey)) fail()
    },
  )
  printFigure({
    name: `verify-${verifier.name}`,
    value: rate,
    unit: 'signatures/s',
    comparedWith: 'libsecp256k1 called directly',
    reference: direct,
    ...(verifier.name === 'native' ? { promise: 'ratio at least 0.8' } : {}),
  })
}

compareVerifier(native, 2000)
compareVerifier(makeNodeVerifier(), 1000)
compareVerifier(nobleVerifier, 100)

// By the processor's time: how many one core does, whatever else runs on the machine.
const rangeRates = Array.from({ length: rounds }, () => {
  const before = process.cpuUsage()
  const { faults, signatures } = authenticateRange(texts, publicKey, native)
  const { user, system } = process.cpuUsage(before)
  if (faults.length > 0 || signatures !== 1) throw new Error(`a sound range: ${faults.length} faults`)
  return (texts.length * 1e6) / (user + system)
})
printFigure({
  name: 'range-verification',
  value: percentile(rangeRates, 0.5),
  unit: 'records/s per core',
  comparedWith: 'the promised rate',
  reference: 100_000,
  promise: 'at least 100,000',
})

/** Seconds for all batches, each foreseen as the ledger does with a backlog, and then asked for. */
function verifyWithTwo(two: TwoThreads, batches: number): number {
  const startMs = performance.now()
  for (let n = 0; n < batches; n++) {
    const some = signed.slice(0, batch)
    two.foresee(some.map(({ bytes, signature }) => ({ payload: bytes, signature, publicKey })))
    for (const { bytes, signature } of some) {
      if (!two.verify(bytes, signature, publicKey)) throw new Error('a signature is not valid')
    }
  }
  return (performance.now() - startMs) / 1000
}

function verifyAlone(batches: number): number {
  const startMs = performance.now()
  for (let n = 0; n < batches; n++) {
    for (const { bytes, signature } of signed.slice(0, batch)) native.verify(bytes, signature, publicKey)
  }
  return (performance.now() - startMs) / 1000
}

const two = new TwoThreads(native, 'native', (error) => {
  throw error
})
while (!two.isShared) {
  verifyWithTwo(two, 1)
  await new Promise((resolve) => setImmediate(resolve))
}
const pairs = Array.from({ length: rounds }, () => [verifyWithTwo(two, 10), verifyAlone(10)] as const)
await two.close()
const rateOf = (at: 0 | 1) => {
  return percentile(
    pairs.map((pair) => (10 * batch) / pair[at]),
    0.5,
  )
}
printFigure({
  name: 'verify-two-threads',
  value: rateOf(0),
  unit: 'signatures/s',
  comparedWith: 'one thread',
  reference: rateOf(1),
})
