import { HandClock, openRig } from './signing-rig.ts'

// For tests: signs without end in a process of its own, so that it can be killed at any moment. Prints each record
// once it may leave. Arguments: the data folder, the pause between two records in ms.
const [dataDir = '', pauseMs = '1'] = process.argv.slice(2)
const clock = new HandClock()
clock.nowMs = Date.now()
const rig = openRig({ dataDir, clock })
process.stdout.write(`open ${rig.session.newEpochReason ?? ''}\n`)
let wh = 1_000
setInterval(() => {
  wh += 1
  const { epoch, sequence } = rig.sign(wh)
  process.stdout.write(`${epoch} ${sequence}\n`)
}, Number(pauseMs))
