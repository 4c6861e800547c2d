// How many readings a ledger takes from bytes to receipt in this process, each stored, verified, recorded, minted and
// committed, against the same with a verifier that says yes to everything: what is left of the pipeline's speed once
// every signature is checked.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nobleVerifier, type SignatureVerifier } from '@wattline/protocol'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { openLedger } from '../src/engine.ts'
import { makeNodeVerifier } from '../src/verifiers/node-verifier.ts'
import { Device, fastVerifier, type Message, TestClock } from '../test/rig.ts'
import { trustingVerifier } from './trusting-verifier.ts'

const rounds = 5
const pointCount = 10
/** What the ledger takes from the broker for one commit. */
const batch = 500

const devices = Array.from({ length: pointCount }, (_, at) => new Device({ meter: `m${at}`, role: 'producer' }))
const certificates = devices.map((device) => device.certificateMessage())

/** What a gateway sends of all its points: texts first and then frames, or texts only. */
function makeMessages(readings: number, form: 'frame' | 'text'): readonly Message[] {
  return Array.from({ length: readings / pointCount }, (_, at) =>
    devices.map((device) => {
      const registers = { export: BigInt(1_000_000 + 10 * at) }
      return form === 'text' || at === 0 ? device.read(registers) : device.readFrame(registers)
    }),
  ).flat()
}

/** Readings per second of a new ledger. */
function takeAll(messages: readonly Message[], verifier: SignatureVerifier): number {
  const dataDir = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
  const engine = openLedger({ dataDir, clock: new TestClock(), verifier, enrolment: 'open' })
  try {
    engine.ingest(certificates)
    let accepted = 0
    const startMs = performance.now()
    for (let at = 0; at < messages.length; at += batch)
      accepted += engine.ingest(messages.slice(at, at + batch)).accepted
    const seconds = (performance.now() - startMs) / 1000
    if (accepted !== messages.length) throw new Error(`${accepted} of ${messages.length} readings were accepted`)
    return accepted / seconds
  } finally {
    engine.close()
    rmSync(dataDir, { recursive: true })
  }
}

function compare(name: string, messages: readonly Message[], verifier: SignatureVerifier): void {
  const pairs = Array.from(
    { length: rounds },
    () => [takeAll(messages, verifier), takeAll(messages, trustingVerifier)] as const,
  )
  printFigure({
    name,
    value: percentile(
      pairs.map(([checked]) => checked),
      0.5,
    ),
    unit: 'readings/s',
    comparedWith: 'the same pipeline without verification',
    reference: percentile(
      pairs.map(([, unchecked]) => unchecked),
      0.5,
    ),
  })
}

const frames = makeMessages(6000, 'frame')
takeAll(frames, fastVerifier)
compare(`verify-pipeline-${fastVerifier.name}`, frames, fastVerifier)
compare('verify-pipeline-node', frames, makeNodeVerifier())
compare('verify-pipeline-noble', frames.slice(0, 600), nobleVerifier)
