// What checking, mending, storing and counting a MeterValues costs beyond ocpp-rpc alone: 200 stations on real sockets,
// each with a session that runs and one message under way, as OCPP-J has it; every answer comes after the commit.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeWith } from '@wattline/protocol'
import { RPCServer } from 'ocpp-rpc'
import * as v from 'valibot'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { connectStation, type RawStation, startCsms } from '../test/csms-rig.ts'

const rounds = 9
const stationCount = 200
const perStation = 20

const garbage: (() => unknown)[] = []
const later = (action: () => unknown) => void garbage.push(action)

const values = (n: number, transactionId: number) => ({
  connectorId: 1,
  transactionId,
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

interface Charging {
  readonly station: RawStation
  readonly transactionId: number
}

const start = { connectorId: 1, idTag: 'CARD', meterStart: 1000, timestamp: '2026-11-21T08:59:00Z' }

async function connectAll(port: number, count: number): Promise<readonly Charging[]> {
  const stations: Charging[] = []
  for (let n = 0; n < count; n++) {
    const station = await connectStation(`ws://127.0.0.1:${port}/CP${n}`)
    const [, , answer] = await station.call('StartTransaction', start, 'start')
    const { transactionId } = decodeWith(startShape, answer, 'StartTransaction', 'config/invalid')
    stations.push({ station, transactionId })
  }
  return stations
}

const startShape = v.looseObject({ transactionId: v.number() })

let sent = 0

async function run(stations: readonly Charging[]): Promise<{ rate: number; cpuUs: number }> {
  const [begun, cpu] = [process.hrtime.bigint(), process.cpuUsage()]
  await Promise.all(
    stations.map(async ({ station, transactionId }) => {
      for (let n = 0; n < perStation; n++)
        await station.call('MeterValues', values(sent++, transactionId), String(sent))
    }),
  )
  const { user, system } = process.cpuUsage(cpu)
  const count = stations.length * perStation
  return { rate: (count * 1e9) / Number(process.hrtime.bigint() - begun), cpuUs: (user + system) / count }
}

const bare = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true, pingIntervalMs: 0 })
bare.on('client', (client) => {
  client.handle('StartTransaction', async () => ({ transactionId: 1, idTagInfo: { status: 'Accepted' } }))
  client.handle('MeterValues', async () => ({}))
})
const http = createServer()
http.on('upgrade', bare.handleUpgrade)
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
const rig = await startCsms(later, { messagesPerSecond: 10_000 })
const ours = await connectAll(rig.port, stationCount)
const theirs = await connectAll((http.address() as AddressInfo).port, stationCount)
for (const stations of [ours, theirs]) await run(stations)

// One straight after the other, so that both have the machine in the same state; the round in the middle counts.
const measured: { ours: Awaited<ReturnType<typeof run>>; bare: Awaited<ReturnType<typeof run>> }[] = []
for (let round = 0; round < rounds; round++) measured.push({ ours: await run(ours), bare: await run(theirs) })
const middle = (ratio: (one: (typeof measured)[number]) => number) => {
  const wanted = percentile(measured.map(ratio), 0.5)
  return measured.find((one) => ratio(one) === wanted)
}
const comparedWith = 'ocpp-rpc in strict mode that stores nothing'
const rates = middle((one) => one.ours.rate / one.bare.rate)
printFigure({
  name: 'ocpp-meter-values',
  value: rates?.ours.rate ?? 0,
  unit: 'messages/s',
  comparedWith,
  reference: rates?.bare.rate ?? 0,
  promise: 'ratio at least 0.5',
})
const cpu = middle((one) => one.ours.cpuUs / one.bare.cpuUs)
printFigure({
  name: 'ocpp-meter-values-cpu',
  value: cpu?.ours.cpuUs ?? 0,
  unit: 'us/message, the station included',
  comparedWith,
  reference: cpu?.bare.cpuUs ?? 0,
})
for (const { station } of [...ours, ...theirs]) station.socket.terminate()
http.closeAllConnections()
http.close()
for (const remove of garbage.toReversed()) await remove()
