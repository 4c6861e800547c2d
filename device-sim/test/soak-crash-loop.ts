// `make soak`: the crash loop with 60 kills. `node device-sim/test/soak-crash-loop.ts [kills] [seed]`.
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCrashLoop } from './crash-loop.ts'

const kills = Number(process.argv[2] ?? 60)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const folder = mkdtempSync(join(tmpdir(), 'wattline-crash-'))
const say = (line: string) => process.stdout.write(`${line}\n`)
say(`seed ${seed}, ${kills} kills, files in ${folder}`)
const report = await runCrashLoop({ folder, kills, seed, say })
say(JSON.stringify(report, null, 2))
process.exitCode = report.balanced ? 0 : 1
