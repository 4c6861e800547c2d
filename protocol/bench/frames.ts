// How long a frame is, on average, against the full text: a month of a grid meter with two registers, read each
// minute, with the base renewed every 4,096 records as a gateway does.
import { encodeFrame, makeTimestamp, type ParsedOcmf, parseOcmfText, signRecord } from '@wattline/protocol'
import { firstEpoch, roofRecord, signerOf } from '../test/arbitraries.ts'
import { printFigure } from './figure.ts'

const records = 43_200
const sampleEvery = 37
const rebaseEvery = 4096
const signer = signerOf(1)

function recordAt(sequence: number) {
  const minutes = BigInt(sequence)
  return signRecord(
    roofRecord(sequence, 'a'.repeat(64), {
      takenAt: makeTimestamp(firstEpoch + sequence * 60_000 + (sequence % 13)),
      registers: { import: 12_345_678n + 17n * minutes, export: 2_345_678n + 9n * minutes },
    }),
    signer,
  )
}

let base: ParsedOcmf | undefined
let frameBytes = 0
let textBytes = 0
let count = 0
for (let sequence = 1; sequence <= records; sequence += 1) {
  const rebase = sequence % rebaseEvery === 1
  if (!rebase && sequence % sampleEvery !== 0) continue
  const { text } = recordAt(sequence)
  if (rebase) base = parseOcmfText(text)
  const frame = base === undefined || rebase ? undefined : encodeFrame(text, base)
  // A full text stands for one record in 4,096, the sample for the others.
  if (frame === undefined) continue
  frameBytes += frame.length
  textBytes += text.length
  count += 1
}
const text = textBytes / count
const mean = (frameBytes / count) * (1 - 1 / rebaseEvery) + text / rebaseEvery
printFigure({
  name: 'frame-bytes-mean',
  value: mean,
  unit: 'bytes',
  comparedWith: 'full OCMF text',
  reference: text,
  promise: 'at most 80 bytes',
})
