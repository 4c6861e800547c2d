import { execFileSync } from 'node:child_process'
import { cpSync, rmSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Line } from './line.ts'
const downs: (() => unknown)[] = []
const t: any = { teardown: (f: any) => downs.push(f) }
const start = performance.now()
const line = await Line.start(t)
const file = line.house.gatewayConfig
writeFileSync(file, readFileSync(file, 'utf8').replace(/(dataDir: [^\n]*)/, '$1\n  logLevel: debug').replace('logLevel: debug\n  logLevel', 'logLevel'))
const dataDir = join(dirname(file), 'gateway')
const slow = setInterval(() => {
  const ms = performance.now() - start
  if (ms > 30_000) { writeFileSync('/tmp/slow-' + process.pid + '.log', [...line.gateway.log.slice(-400).map((x: any) => JSON.stringify(x)), 'LEDGER', ...line.ledger.log.slice(-200).map((x: any) => JSON.stringify(x)), line.gateway.stderr].join('\n')); console.log('slow', process.pid, ms); }
}, 10_000)
const lap = (w: string) => console.log(process.pid, w, ((performance.now() - start) / 1000).toFixed(1))
await line.more(4); lap('more1'); await line.gateway.stop(); lap('stop')
const backup = dataDir + '-backup'
execFileSync('cp', ['-a', dataDir, backup])
await line.startGateway(); lap('start2'); await line.more(4); lap('more2'); await line.gateway.stop(); lap('stop2')
for (const rest of ['-wal', '-shm']) rmSync(join(dataDir, `gateway.db${rest}`), { force: true })
cpSync(join(backup, 'gateway.db'), join(dataDir, 'gateway.db'))
await line.startGateway(); lap('start3'); await line.more(4); lap('more3'); await line.gateway.stop(); lap('stop3')
const { drain } = await import('../src/demo/report.ts'); await drain(line.house, 30); lap('drain')
clearInterval(slow)
for (const d of downs.reverse()) await d()
