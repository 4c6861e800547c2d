// From a card to "accepted" while the ledger is out of reach, and while it is there: what a driver waits for besides the
// station itself. Each card of a list for the first time, when its slow hash is made, and again with the start.
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { signList } from '../src/drivers/list-maker.ts'
import { listSigner, startDrivers } from '../test/drivers-rig.ts'

const cards = 300

const garbage: (() => unknown)[] = []
const rig = await startDrivers((action) => void garbage.push(action))
const token = (n: number) => `04${n.toString(16).padStart(12, '0')}`
const file = {
  version: 1 as const,
  groups: [],
  drivers: Array.from({ length: 2 * cards }, (_, n) => ({ token: token(n), driver: `driver-${n}` })),
}
signList(file, listSigner, { path: rig.listFile, nowMs: rig.clock.nowMs + 1 })
await rig.now.scheduler.advance(5_000)
const station = await rig.station()

async function time(action: string, request: { readonly idTag: string }): Promise<number> {
  const begun = performance.now()
  const { idTagInfo } = await station.ask(action, request)
  const ms = performance.now() - begun
  if (JSON.stringify(idTagInfo) !== '{"status":"Accepted"}') throw new Error(`${request.idTag} was not accepted`)
  return ms
}

// Every other card while the line is down: both see the machine in the same mood.
async function timeBoth(ask: (n: number) => Promise<number>): Promise<{ up: number; down: number }> {
  const times = { up: [] as number[], down: [] as number[] }
  for (let n = 0; n < 2 * cards; n++) {
    rig.now.isOnline = n % 2 === 0
    times[rig.now.isOnline ? 'up' : 'down'].push(await ask(n))
  }
  return { up: percentile(times.up, 0.99), down: percentile(times.down, 0.99) }
}

const timestamp = '2027-01-15T08:00:00Z'
const first = await timeBoth((n) => time('Authorize', { idTag: token(n) }))
const start = await timeBoth((n) => {
  const request = { connectorId: 1, idTag: token(n), meterStart: n, timestamp }
  return time('StartTransaction', request)
})
const against = { comparedWith: 'the same while the line is up', promise: 'at most 100 ms, which nobody notices' }
printFigure({ name: 'card-to-accepted-p99', value: first.down, unit: 'ms', reference: first.up, ...against })
printFigure({ name: 'start-to-accepted-p99', value: start.down, unit: 'ms, stored', reference: start.up, ...against })
station.raw.socket.terminate()
for (const remove of garbage.toReversed()) await remove()
