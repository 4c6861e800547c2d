import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { type House, type HouseOptions, writeHouse } from '../src/demo/house.ts'
import { freePorts, Program, runCommand } from '../src/demo/programs.ts'
import { fetchStatus, type GatewayStatus } from '../src/demo/status.ts'

/** A folder that goes with the test. */
export function makeTestFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'wattline-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The demo's house with its programs running, for one test. */
export class Line {
  readonly house: House
  readonly mqttUrl: string
  sim: Program
  ledger: Program
  gateway: Program

  private constructor(house: House, mqttUrl: string, sim: Program, ledger: Program, gateway: Program) {
    this.house = house
    this.mqttUrl = mqttUrl
    this.sim = sim
    this.ledger = ledger
    this.gateway = gateway
  }

  static async start(t: ExecutionContext, options: HouseOptions = {}): Promise<Line> {
    const [modbus = 0, mqtt = 0, web = 0] = await freePorts(3)
    const house = writeHouse(makeTestFolder(t), { modbus, mqtt, web }, { intervalSeconds: 0.25, ...options })
    const sim = new Program('sim', ['--config', house.simConfig])
    t.teardown(() => sim.stop())
    await sim.event('sim.started')
    const ledger = new Program('ledger', ['--config', house.ledgerConfig])
    const gateway = new Program('gateway', ['--config', house.gatewayConfig])
    const line = new Line(house, options.brokerUrl ?? `mqtt://127.0.0.1:${mqtt}`, sim, ledger, gateway)
    t.teardown(async () => {
      await line.gateway.stop()
      await line.ledger.stop()
    })
    await ledger.event('ledger.started')
    await gateway.event('gateway.started')
    return line
  }

  async startGateway(): Promise<void> {
    this.gateway = new Program('gateway', ['--config', this.house.gatewayConfig])
    await this.gateway.event('gateway.started')
  }

  async startLedger(): Promise<void> {
    this.ledger = new Program('ledger', ['--config', this.house.ledgerConfig])
    await this.ledger.event('ledger.started')
  }

  /** Waits until the gateway's own word of itself is as wanted. */
  async until(wanted: (status: GatewayStatus) => boolean): Promise<GatewayStatus> {
    for (;;) {
      if (!this.gateway.running) throw new Error(`the gateway ended: ${this.gateway.stderr}`)
      const status = await fetchStatus(this.house.webUrl)
      if (status !== undefined && wanted(status)) return status
      await sleep(100)
    }
  }

  /** Waits until each metering point has signed so many more records, and has receipts for them. */
  async more(records: number): Promise<void> {
    const before = await this.until(({ points }) => points.every(({ lastSigned }) => lastSigned))
    const target = new Map(before.points.map(({ id, lastSigned }) => [id, (lastSigned?.sequence ?? 0) + records]))
    await this.until(({ points }) =>
      points.every(({ id, receipt }) => (receipt?.sequence ?? 0) >= (target.get(id) ?? Number.POSITIVE_INFINITY)),
    )
  }

  /** What the ledger has confirmed of one metering point, once there is a receipt for each. */
  async receiptOf(meter: string) {
    const { points } = await this.until(({ points }) => points.every(({ receipt }) => receipt))
    const receipt = points.find(({ id }) => id === meter)?.receipt
    if (receipt === undefined || receipt === null) throw new Error(`no receipt of ${meter}`)
    return receipt
  }

  async exported(meter: string): Promise<string[]> {
    const args = ['export', '--config', this.house.gatewayConfig, '--meter', meter]
    return (await runCommand('gateway', args)).stdout.split('\n').filter((text) => text !== '')
  }
}
