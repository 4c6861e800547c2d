import test from 'ava'
import type { OcppVersion } from './schemas.ts'
import { Rig, type RigOptions } from './station-rig.ts'

const versions: readonly OcppVersion[] = ['1.6', '2.0.1', '2.1']

async function started(options: RigOptions = {}): Promise<Rig> {
  const rig = new Rig(options)
  rig.station.powerOn()
  await rig.run(2)
  return rig
}

for (const version of versions) {
  test(`${version}: a driver plugs in, charges and leaves; every message is sound and the energy adds up`, async (t) => {
    const rig = await started({
      version,
      preset: { MeterValueSampleInterval: '60', 'SampledDataCtrlr.TxUpdatedInterval': '60' },
    })
    rig.plugIn()
    await rig.run(1)
    void rig.station.presentCard(1, 'CARD')
    await rig.run(600)
    const before = rig.registerWh()
    t.true(before > 2500)
    void rig.station.presentCard(1, 'CARD')
    await rig.run(5)
    rig.station.unplug(1)
    await rig.run(5)
    t.deepEqual(
      rig.csms.heard.filter(({ problem }) => problem !== undefined),
      [],
    )
    t.is(rig.station.queueLength, 0)
  })
}
