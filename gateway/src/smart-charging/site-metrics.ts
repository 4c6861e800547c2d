import { Gauge, type Registry } from 'prom-client'
import type { SiteView } from './controller.ts'

/** The figures of how the house's current is shared. */
export interface SiteMetrics {
  /** Takes the latest; all of them are absent where nothing is shared. */
  set(view: SiteView | undefined): void
}

/** Makes them, without any value. */
export function makeSiteMetrics(registry: Registry): SiteMetrics {
  const make = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] })
  const measured = make(
    'wattline_site_measured',
    '1 while the house is measured, 0 while chargers are held at the safe current',
    'site',
  )
  const limit = make('wattline_site_limit_amperes', 'What all chargers together may take, by limit', 'limit')
  const promised = make(
    'wattline_site_promised_amperes',
    'What they may take at most by what they were told, by limit',
    'limit',
  )
  const offered = make('wattline_charger_offered_amperes', 'The current that a charger was told and took', 'charger')
  const most = make('wattline_charger_most_amperes', 'What it may be taking, whatever was lost on the way', 'charger')
  const drawn = make('wattline_charger_drawn_amperes', 'What its vehicle draws, as far as is known', 'charger', 'phase')
  const state = make('wattline_charger_state', '1 for the state that a charger is in', 'charger', 'state')
  return {
    set: (view) => {
      for (const gauge of [measured, limit, promised, offered, most, drawn, state]) gauge.reset()
      if (view === undefined) return
      measured.set({ site: 'house' }, view.measured ? 1 : 0)
      for (const { name, limitA, promisedA } of view.limits) {
        limit.set({ limit: name }, limitA)
        promised.set({ limit: name }, promisedA)
      }
      for (const { key: charger, offeredA, mostA, drawnA, state: word } of view.chargers) {
        offered.set({ charger }, offeredA)
        most.set({ charger }, mostA)
        state.set({ charger, state: word }, 1)
        for (const [at, ampere] of drawnA.entries()) drawn.set({ charger, phase: `L${at + 1}` }, ampere)
      }
    },
  }
}
