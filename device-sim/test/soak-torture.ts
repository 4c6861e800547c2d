// `node device-sim/test/soak-torture.ts [requests] [seed]`: devices that answer late, twice, spoiled, byte by byte or
// never, read as shipped and then by plain modbus-serial. Ends with 1 where one of our values was another request's, or
// where the plain client had none such: then the devices were too well-mannered to prove anything.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runTorture } from './torture.ts'

const requests = Number(process.argv[2] ?? 100_000)
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000)
const folder = mkdtempSync(join(tmpdir(), 'wattline-torture-'))
const say = (report: object) => process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
process.stdout.write(`seed ${seed}, ${requests} requests\n`)
try {
  const options = { folder, lines: 48, seed, pace: 'shipped' } as const
  const ours = await runTorture({ ...options, client: 'bus', requests })
  say({ client: 'bus', ...ours })
  const plain = await runTorture({ ...options, client: 'modbus-serial', requests: 2000 })
  say({ client: 'modbus-serial', ...plain })
  process.exitCode = ours.wrong === 0 && ours.right > requests / 2 && plain.wrong > 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true })
}
