// What checking, mending and storing a MeterValues costs beyond ocpp-rpc alone: 200 stations on real sockets, each with
// one message under way, as OCPP-J has it; every answer comes after the commit.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { RPCServer } from 'ocpp-rpc'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { connectStation, type RawStation, startCsms } from '../test/csms-rig.ts'

const rounds = 5
const stationCount = 200
const perStation = 20

const garbage: (() => unknown)[] = []
const later = (action: () => unknown) => void garbage.push(action)

const values = (n: number) => ({
  connectorId: 1,
  transactionId: 1,
  meterValue: [
    {
      timestamp: '2026-11-21T09:00:00Z',
      sampledValue: [
        { value: String(1000 + n), measurand: 'Energy.Active.Import.Register', unit: 'Wh' },
        ...['L1', 'L2', 'L3'].map((phase) => ({ value: '16.0', measurand: 'Current.Import', unit: 'A', phase })),
      ],
    },
  ],
})

async function connectAll(port: number, count: number): Promise<readonly RawStation[]> {
  const stations: RawStation[] = []
  for (let n = 0; n < count; n++) stations.push(await connectStation(`ws://127.0.0.1:${port}/CP${n}`))
  return stations
}

let sent = 0

async function run(stations: readonly RawStation[]): Promise<{ rate: number; cpuUs: number }> {
  const [start, cpu] = [process.hrtime.bigint(), process.cpuUsage()]
  await Promise.all(
    stations.map(async (station) => {
      for (let n = 0; n < perStation; n++) await station.call('MeterValues', values(sent++), String(sent))
    }),
  )
  const { user, system } = process.cpuUsage(cpu)
  const count = stations.length * perStation
  return { rate: (count * 1e9) / Number(process.hrtime.bigint() - start), cpuUs: (user + system) / count }
}

const bare = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true, pingIntervalMs: 0 })
bare.on('client', (client) => client.handle('MeterValues', async () => ({})))
const http = createServer()
http.on('upgrade', bare.handleUpgrade)
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
const rig = await startCsms(later, { messagesPerSecond: 10_000 })
const ours = await connectAll(rig.port, stationCount)
const theirs = await connectAll((http.address() as AddressInfo).port, stationCount)
for (const stations of [ours, theirs]) await run(stations)

const measured: { ours: Awaited<ReturnType<typeof run>>; bare: Awaited<ReturnType<typeof run>> }[] = []
for (let round = 0; round < rounds; round++) measured.push({ ours: await run(ours), bare: await run(theirs) })
const median = (pick: (one: (typeof measured)[number]) => number) => percentile(measured.map(pick), 0.5)
const comparedWith = 'ocpp-rpc in strict mode that stores nothing'
printFigure({
  name: 'ocpp-meter-values',
  value: median((one) => one.ours.rate),
  unit: 'messages/s',
  comparedWith,
  reference: median((one) => one.bare.rate),
  promise: 'ratio at least 0.5',
})
printFigure({
  name: 'ocpp-meter-values-cpu',
  value: median((one) => one.ours.cpuUs),
  unit: 'us/message, the station included',
  comparedWith,
  reference: median((one) => one.bare.cpuUs),
})
for (const station of [...ours, ...theirs]) station.socket.terminate()
http.closeAllConnections()
http.close()
for (const remove of garbage.toReversed()) await remove()
