// From a card to "accepted" with the ledger out of reach: what a driver waits for besides the station itself. Each card
// of a list for the first time, when its slow hash is made, and again.
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { signList } from '../src/drivers/list-maker.ts'
import { listSigner, startDrivers } from '../test/drivers-rig.ts'

const drivers = 400
const cards = 300

const garbage: (() => unknown)[] = []
const rig = await startDrivers((action) => void garbage.push(action))
const token = (n: number) => `04${n.toString(16).padStart(12, '0')}`
const file = {
  version: 1 as const,
  groups: [],
  drivers: Array.from({ length: drivers }, (_, n) => ({ token: token(n), driver: `driver-${n}` })),
}
signList(file, listSigner, { path: rig.listFile, nowMs: rig.clock.nowMs + 1 })
await rig.now.scheduler.advance(5_000)
rig.now.isOnline = false
const station = await rig.station()

async function time(ask: (n: number) => Promise<Record<string, unknown>>): Promise<readonly number[]> {
  const times: number[] = []
  for (let n = 0; n < cards; n++) {
    const start = performance.now()
    const { idTagInfo } = await ask(n)
    times.push(performance.now() - start)
    if (JSON.stringify(idTagInfo) !== '{"status":"Accepted"}')
      throw new Error(`card ${n}: ${JSON.stringify(idTagInfo)}`)
  }
  return times
}

const timestamp = '2027-01-15T08:00:00Z'
const first = await time((n) => station.ask('Authorize', { idTag: token(n) }))
const start = await time((n) =>
  station.ask('StartTransaction', { connectorId: 1, idTag: token(n), meterStart: n, timestamp }),
)
const promise = { comparedWith: 'what a person notices', reference: 100 }
printFigure({ name: 'card-to-accepted-p99', value: percentile(first, 0.99), unit: 'ms', ...promise })
printFigure({ name: 'start-to-accepted-p99', value: percentile(start, 0.99), unit: 'ms, stored', ...promise })
station.raw.socket.terminate()
for (const remove of garbage.toReversed()) await remove()
