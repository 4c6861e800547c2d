import type { WattError } from '@wattline/protocol'
import type { Logger } from 'pino'
import { type RunningBroker, startBroker } from './broker.ts'
import { energyNodesOf, Stations } from './charging-station/stations.ts'
import type { CheckedConfig } from './decode-config.ts'
import { Ports } from './ports.ts'
import { type FaultEdge, Simulation } from './simulation.ts'
import { realTimers } from './timers.ts'

export interface RunningSim {
  /** Logs the true registers of all meters at this moment. */
  logRegisters(): void
  /** Lets nothing flow any more. */
  hold(): void
  stop(): Promise<void>
}

/** Opens all ports, starts the simulated time, and plays the faults. */
export async function runSim(
  checked: CheckedConfig,
  log: Logger,
  onLost: (error: WattError) => void,
): Promise<RunningSim> {
  const { config } = checked
  const timers = realTimers
  const nodes = energyNodesOf(config.stations, (station, evse) => stations.secondOf(station, evse))
  const simulation = new Simulation(checked, timers, nodes)
  const stations: Stations = new Stations({
    configs: config.stations,
    timers,
    log,
    advance: () => simulation.advance(),
    flowOf: (node) => simulation.flowOf(node),
    isDark: (node) => simulation.isDark(node),
  })
  const ports = new Ports({ config, simulation, timers, onLost })
  const broker = config.broker && (await startBroker(config.broker))
  try {
    await ports.open()
  } catch (error) {
    await ports.close()
    throw error
  }
  simulation.start()
  stations.start()
  // A long time that nobody looked would otherwise be made up for in one go, while a request waits.
  const heartbeat = setInterval(() => simulation.advance(), 1000)
  const cancels = simulation.edges.map((edge) => timers.after(edge.atSeconds * 1000, () => void play(edge)))
  log.info({
    event: 'sim.started',
    ports: ports.describe(),
    ...describeBroker(config.broker, broker),
    time: config.time,
  })

  async function play({ fault, edge }: FaultEdge): Promise<void> {
    simulation.advance()
    log.info({ event: `sim.fault.${edge}`, fault })
    if (fault.kind === 'unplugged') await ports.setPlugged(fault, edge === 'ended').catch(onLost)
  }
  const logRegisters = () => {
    for (const report of simulation.report()) log.info({ event: 'sim.meter.registers', ...report })
    stations.logRegisters()
  }
  return {
    logRegisters,
    hold() {
      simulation.hold()
      log.info({ event: 'sim.held' })
    },
    async stop() {
      clearInterval(heartbeat)
      for (const cancel of cancels) cancel()
      logRegisters()
      stations.stop()
      await ports.close()
      await broker?.stop()
      log.info({ event: 'sim.stopped' })
    },
  }
}

function describeBroker(config: CheckedConfig['config']['broker'], broker: RunningBroker | undefined): object {
  return config === undefined || broker === undefined ? {} : { broker: { host: config.host, port: broker.port } }
}
