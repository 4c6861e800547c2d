import { makeRandom } from '../random.ts'
import type { StationConfig, StationStep } from './config.ts'

// Between the plug and the card, and between the card and pulling the plug.
const handlingSeconds = 1

/** Everything that happens at a station, in order: its steps and what its drivers do, the same for the same seed. */
export function toSteps({ steps, drivers, seed }: Pick<StationConfig, 'steps' | 'drivers' | 'seed'>): StationStep[] {
  const random = makeRandom(seed)
  const driven = drivers.flatMap((driver) =>
    Array.from({ length: driver.sessions }, (_, i): StationStep[] => {
      const at = driver.firstAt + i * driver.everySeconds + random() * driver.jitterSeconds
      const leaves = at + driver.staySeconds + random() * driver.jitterSeconds
      const { idToken, evse, vehicle } = driver
      const card = (when: number): StationStep => ({ at: when, do: 'present-card', evse, idToken })
      return [
        { at, do: 'plug-in', evse, vehicle },
        card(at + handlingSeconds),
        ...(driver.leaves === 'card' ? [card(leaves)] : []),
        { at: leaves + handlingSeconds, do: 'unplug', evse },
      ]
    }).flat(),
  )
  return [...steps, ...driven].sort((a, b) => a.at - b.at)
}
