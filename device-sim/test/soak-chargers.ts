// `make soak`: sessions at four chargers with 60 kills and cuts. `node device-sim/test/soak-chargers.ts [cuts] [seed]`.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stations } from './charger-line.ts'
import { runChargerLoop } from './charger-loop.ts'

const cuts = Number(process.argv[2] ?? 60)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const folder = mkdtempSync(join(tmpdir(), 'wattline-chargers-'))
const say = (line: string) => process.stdout.write(`${line}\n`)
say(`seed ${seed}, ${cuts} kills and cuts, files in ${folder}`)
const groups = stations.map(({ id }) => [id])
const report = await runChargerLoop({ folder, cuts, seed, groups, say })
say(JSON.stringify(report, null, 2))
process.exitCode = report.problems.length === 0 ? 0 : 1
