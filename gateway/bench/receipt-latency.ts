// How long it takes from handing a reading to the gateway until its receipt is booked: judged, signed, stored, sent,
// stored, verified, minted, committed, answered, checked, booked. A ledger with an embedded broker must run in another
// process; the argument is the broker's URL. Compared with the bare round trip through the same broker.
import { setTimeout as sleep } from 'node:timers/promises'
import { formatHello, makeMeterId, type PointId } from '@wattline/protocol'
import { connectAsync } from 'mqtt'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { Uplink, type UplinkEvents } from '../src/mqtt/uplink.ts'
import { Readings } from '../src/readings.ts'
import type { AttestedRecord } from '../src/record-writer.ts'
import { makeTempFolder, observeExport, openRig, rigGatewayId } from '../test/signing-rig.ts'

const [url = ''] = process.argv.slice(2)
const bareTrips = 200
const unit = 'ms'
const garbage: (() => void)[] = []

/** Publish at QoS 1 to the own delivery. A greeting without metering points: the ledger has nothing to answer to it. */
async function measureBareTrips(): Promise<readonly number[]> {
  const client = await connectAsync(url, { clientId: 'bare' })
  if ('setNoDelay' in client.stream && typeof client.stream.setNoDelay === 'function') client.stream.setNoDelay(true)
  const topic = 'wattline/v1/bare/hello'
  const hello = formatHello({ gatewayVersion: 'bench', points: [] })
  const trips: number[] = []
  let arrived = () => {}
  client.on('message', () => arrived())
  await client.subscribeAsync(topic, { qos: 1 })
  for (let trip = 0; trip < bareTrips; trip++) {
    const delivery = new Promise<void>((resolve) => {
      arrived = resolve
    })
    const startMs = performance.now()
    client.publish(topic, hello, { qos: 1 })
    await delivery
    trips.push(performance.now() - startMs)
    await sleep(10) // the ledger sees the greeting too, and is to be done with it
  }
  await client.endAsync()
  return trips
}

interface Load {
  readonly meters: readonly string[]
  /** Records that may be under way without a receipt; so many readings are kept waiting for theirs. */
  readonly window: number
  readonly readings: number
}

/** Hands in a reading for each receipt that is booked, and gives the time that each reading took. */
class ClosedLoop {
  readonly latenciesMs: number[] = []
  readonly #load: Load
  readonly #rig: ReturnType<typeof openRig>
  readonly #readings: Readings
  readonly #uplink: Uplink
  /** When what is not confirmed yet was handed in, oldest first. */
  readonly #handedIn = new Map<PointId, number[]>()
  readonly #done = Promise.withResolvers<void>()
  #given = 0

  constructor(load: Load) {
    this.#load = load
    this.#rig = openRig({ dataDir: makeTempFolder((action) => garbage.push(action)), meters: load.meters })
    const { session, points, outbox, attestor } = this.#rig
    const { store, epochs } = session
    const config = { url, window: load.window }
    this.#uplink = new Uplink({
      config,
      gatewayId: rigGatewayId,
      points,
      store,
      outbox,
      epochs,
      events: this.#events(),
    })
    this.#readings = new Readings(attestor, {
      signed: (_records: readonly AttestedRecord[]) => this.#uplink.wake(),
      lost: (_count, error) => this.#done.reject(error),
    })
  }

  #events(): UplinkEvents {
    return {
      connected: () => {
        while (this.#given < this.#load.window) this.#give()
      },
      disconnected: (reason) => this.#done.reject(new Error(reason)),
      sent: () => {},
      settled: ({ point }, { confirmed = 0 }) => this.#confirm(point, confirmed),
      refusedMessage: this.#done.reject,
      ledgerMet: () => {},
      failed: this.#done.reject,
    }
  }

  #give(): void {
    const { clock, points } = this.#rig
    const { meters } = this.#load
    const at = this.#given++ % meters.length
    if (at === 0) clock.nowMs += 60_000
    const [meter, point] = [meters[at], points[at]]
    if (meter === undefined || point === undefined) throw new Error('no metering point')
    this.#handedIn.set(point, [...(this.#handedIn.get(point) ?? []), performance.now()])
    this.#readings.push({ meterId: makeMeterId(meter), seen: observeExport(1_000_000 + this.#given, clock) })
  }

  #confirm(point: PointId, count: number): void {
    const nowMs = performance.now()
    for (const handedInMs of this.#handedIn.get(point)?.splice(0, count) ?? []) {
      this.latenciesMs.push(nowMs - handedInMs)
      if (this.#given < this.#load.readings) this.#give()
    }
    if (this.latenciesMs.length >= this.#load.readings) this.#done.resolve()
  }

  async run(): Promise<readonly number[]> {
    this.#uplink.start()
    await this.#done.promise
    await this.#uplink.stop()
    this.#rig.close()
    // The first tenth meets a ledger that does not know the metering points, and code that is not warm.
    return this.latenciesMs.slice(this.#load.readings / 10)
  }
}

const bareMs = await measureBareTrips()
const reference = percentile(bareMs, 0.5)
const loads: readonly Load[] = [
  { meters: ['single'], window: 1, readings: 500 },
  { meters: Array.from({ length: 10 }, (_, at) => `m${at}`), window: 300, readings: 10_000 },
]
for (const load of loads) {
  const latenciesMs = await new ClosedLoop(load).run()
  for (const share of [50, 99]) {
    printFigure({
      name: `receipt-latency-p${share}-window-${load.window}`,
      value: percentile(latenciesMs, share / 100),
      unit,
      comparedWith: 'bare MQTT round trip through the same broker, p50',
      reference,
    })
  }
}
for (const remove of garbage) remove()
