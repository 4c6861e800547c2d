import { type PointId, type ReadingState, readingStateNames } from '@wattline/protocol'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { OtherValues } from './modbus/other-values.ts'
import type { UpstreamView } from './ocpp/upstream/upstream-view.ts'
import type { SiteView } from './smart-charging/controller.ts'
import { makeSiteMetrics } from './smart-charging/site-metrics.ts'
import { makeUpstreamFigures } from './upstream-metrics.ts'

/** What can only be asked for when somebody looks. */
export interface MetricSources {
  /** What was read beside the energy, where it is fresh. */
  values(): ReadonlyMap<PointId, OtherValues | undefined>
  waiting(): ReadonlyMap<PointId, number>
  databaseBytes(): number
  /** How charging stations stand upstream, by station. */
  upstream(): ReadonlyMap<string, UpstreamView>
  /** How the house's current is shared; undefined where it is not. */
  site?(): SiteView | undefined
}

/** The figures of a running gateway. */
export interface Metrics {
  reading(point: PointId, state: ReadingState): void
  sent(point: PointId): void
  acknowledged(point: PointId, records: number): void
  receipt(latencyMs: number): void
  busRead(bus: string, outcome: string, elapsedMs: number): void
  /** The Prometheus text format. */
  format(sources: MetricSources): Promise<string>
  readonly contentType: string
}

/** Makes the figures of one gateway, all at zero. */
export function makeMetrics(): Metrics {
  const registers = [new Registry()]
  const [registry = new Registry()] = registers
  const readings = new Counter({
    name: 'wattline_readings_total',
    help: 'Records signed, by state',
    labelNames: ['point', 'state'],
    registers,
  })
  const sent = new Counter({
    name: 'wattline_records_sent_total',
    help: 'Records that the broker took, resends included',
    labelNames: ['point'],
    registers,
  })
  const acknowledged = new Counter({
    name: 'wattline_records_acknowledged_total',
    help: 'Records that the ledger confirmed',
    labelNames: ['point'],
    registers,
  })
  const receipts = new Histogram({
    name: 'wattline_receipt_latency_seconds',
    help: 'From sending a record to its receipt',
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000],
    registers,
  })
  const busReads = new Histogram({
    name: 'wattline_bus_read_seconds',
    help: 'From asking a bus to its answer or error, by outcome',
    labelNames: ['bus', 'outcome'],
    buckets: [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10],
    registers,
  })
  const showValues = makeValueFigures(registers)
  const showUpstream = makeUpstreamFigures(registers)
  const { waiting, databaseBytes, memory } = makeStoreGauges(registers)
  const site = makeSiteMetrics(registry)
  const known = new Set<PointId>()
  return {
    reading: (point, state) => {
      // Every state is there from a point's first reading on: an alert cannot wait for what has no figure yet.
      if (!known.has(point)) for (const each of readingStateNames) readings.inc({ point, state: each }, 0)
      known.add(point)
      readings.inc({ point, state })
    },
    sent: (point) => sent.inc({ point }),
    acknowledged: (point, records) => acknowledged.inc({ point }, records),
    receipt: (latencyMs) => receipts.observe(latencyMs / 1000),
    busRead: (bus, outcome, elapsedMs) => busReads.observe({ bus, outcome }, elapsedMs / 1000),
    format: (sources) => {
      showValues(sources.values())
      for (const [point, count] of sources.waiting()) waiting.set({ point }, count)
      showUpstream(sources.upstream())
      site.set(sources.site?.())
      databaseBytes.set(sources.databaseBytes())
      memory.set(process.memoryUsage.rss())
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}

// Absent where they could not be read: the figures of the time before would be a lie.
function makeValueFigures(registers: Registry[]): (latest: ReadonlyMap<PointId, OtherValues | undefined>) => void {
  const values = new Gauge({
    name: 'wattline_meter_value',
    help: 'Voltages, currents and the like, in V, A, W, Hz or 1, energies in Wh; absent where they could not be read',
    labelNames: ['point', 'measurand', 'phase', 'tariff'],
    registers,
  })
  return (latest) => {
    values.reset()
    for (const [point, { list = [] } = {}] of latest) {
      for (const { measurand, phase = '', tariff = '', value } of list) {
        values.set({ point, measurand, phase, tariff }, value)
      }
    }
  }
}

function makeStoreGauges(registers: Registry[]) {
  return {
    waiting: new Gauge({
      name: 'wattline_records_waiting',
      help: 'Records that wait for a receipt',
      labelNames: ['point'],
      registers,
    }),
    databaseBytes: new Gauge({ name: 'wattline_database_bytes', help: 'What the database holds', registers }),
    memory: new Gauge({ name: 'process_resident_memory_bytes', help: 'Resident memory', registers }),
  }
}
