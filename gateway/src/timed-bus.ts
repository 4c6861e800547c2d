import { WattError } from '@wattline/protocol'
import type { RegisterBus } from './modbus/bus.ts'

/** The same bus, with each read's outcome and duration told. */
export function timeBus(bus: RegisterBus, observe: (outcome: string, elapsedMs: number) => void): RegisterBus {
  return {
    get connections() {
      return bus.connections
    },
    read: async (request) => {
      const startedMs = performance.now()
      try {
        const words = await bus.read(request)
        observe('ok', performance.now() - startedMs)
        return words
      } catch (error) {
        observe(error instanceof WattError ? error.code : 'bug', performance.now() - startedMs)
        throw error
      }
    },
    cost: (unitId) => bus.cost(unitId),
    close: () => bus.close(),
  }
}
