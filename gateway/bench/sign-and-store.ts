// What judging, signing and storing one reading costs beyond the signature alone: a hundred metering points, their
// readings in one commit each second as they come from the buses, and one commit for each.
import { makeMeterId, parseOcmfText, signRecord } from '@wattline/protocol'
import { compareRates, printFigure } from '../../protocol/bench/figure.ts'
import { makeTempFolder, observeExport, openRig } from '../test/signing-rig.ts'

const rounds = 5
const pointCount = 100

const garbage: (() => void)[] = []
const meters = Array.from({ length: pointCount }, (_, at) => `m${at}`)
const rig = openRig({ dataDir: makeTempFolder((action) => garbage.push(action)), meters })
let registerWh = 1_000_000

/** What all meters show a minute later. */
function readAll() {
  rig.clock.nowMs += 60_000
  registerWh += 10
  return meters.map((meter) => ({ meterId: makeMeterId(meter), seen: observeExport(registerWh, rig.clock) }))
}

function attestTogether(seconds: number): void {
  for (let second = 0; second < seconds; second++) rig.attestor.attest(readAll())
}

function attestOneByOne(seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    for (const observation of readAll()) rig.attestor.attest([observation])
  }
}

attestTogether(3)
const [setup] = rig.setups
const records = rig.points.flatMap((point) => rig.texts(point)).map((text) => parseOcmfText(text).record)
if (setup === undefined) throw new Error('no metering point')

function signAlone(seconds: number): void {
  for (let at = 0; at < seconds * pointCount; at++) {
    const record = records[at % records.length]
    if (record !== undefined && setup !== undefined) signRecord(record, setup.signer)
  }
}

function compare(name: string, seconds: number, attest: (seconds: number) => void): void {
  const [value, reference] = compareRates(
    rounds,
    seconds * pointCount,
    () => attest(seconds),
    () => signAlone(seconds),
  )
  printFigure({ name, value, unit: 'records/s', comparedWith: 'signing the same records alone', reference })
}

compare('sign-and-store', 8, attestTogether)
compare('sign-and-store-one-by-one', 4, attestOneByOne)
rig.close()
for (const remove of garbage) remove()
