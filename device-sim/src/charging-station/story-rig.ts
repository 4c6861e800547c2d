import type { OcppVersion } from './schemas.ts'
import { Rig, type RigOptions } from './station-rig.ts'

/** For tests of what all versions do. */
export const versions: readonly OcppVersion[] = ['1.6', '2.0.1', '2.1']
export const everyMinute = { MeterValueSampleInterval: '60', 'SampledDataCtrlr.TxUpdatedInterval': '60' }

/** A station that has booted, and samples each minute. */
export async function started(options: RigOptions = {}): Promise<Rig> {
  const rig = new Rig({ preset: everyMinute, ...options })
  rig.station.powerOn()
  await rig.run(2)
  return rig
}

/** A vehicle is plugged in, and a card shown. */
export async function begin(rig: Rig, card = 'CARD', evseId = 1): Promise<void> {
  rig.plugIn({}, evseId)
  await rig.run(1)
  void rig.station.presentCard(evseId, card)
  await rig.run(1)
}

/** The card is shown again, and the vehicle drives away. */
export async function leave(rig: Rig, card = 'CARD'): Promise<void> {
  void rig.station.presentCard(1, card)
  await rig.run(2)
  rig.station.unplug(1)
  await rig.run(2)
}

/** What was wrong with what the station has said. */
export const problems = (rig: Rig) => [
  ...rig.csms.heard
    .filter(({ problem }) => problem !== undefined)
    .map(({ action, problem }) => `${action}: ${problem}`),
  ...rig.csms.unsoundAnswers,
]
