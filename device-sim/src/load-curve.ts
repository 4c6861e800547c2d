import { makeRandom, randomAt } from './random.ts'

/** Power in whole mW at a moment in Unix seconds; positive is import. Whole numbers keep sums exact. */
export type LoadCurve = (unixSeconds: number) => number

export type CurveName = 'solar' | 'household' | 'battery' | 'grid'
export type CurveChoice = CurveName | { readonly constant: { readonly powerW: number } }

export const defaultPeakW: Readonly<Record<CurveName, number>> = {
  solar: 8000,
  household: 6000,
  battery: 3000,
  grid: 0,
}

const secondsPerDay = 86_400

/** Makes the curve of one meter: the same seed gives the same power at the same moment, always. */
export function makeLoadCurve(choice: CurveChoice, options: { seed: number; peakW?: number | undefined }): LoadCurve {
  if (typeof choice === 'object') return () => Math.round(choice.constant.powerW * 1000)
  const peakW = options.peakW ?? defaultPeakW[choice]
  const unit = curveOf(choice, options.seed)
  return (unixSeconds) => Math.round(unit(unixSeconds) * peakW * 1000)
}

// Each gives a share of the peak power.
function curveOf(name: CurveName, seed: number): (unixSeconds: number) => number {
  switch (name) {
    case 'solar':
      return (t) => -solarShare(t, seed)
    case 'household':
      return makeHousehold(seed)
    case 'battery':
      return (t) => batteryShare(t, seed)
    case 'grid':
      return () => 0
  }
}

function hourOf(unixSeconds: number): number {
  return (unixSeconds % secondsPerDay) / 3600
}

function dayOf(unixSeconds: number): number {
  return Math.floor(unixSeconds / secondsPerDay)
}

// 1 at the summer solstice, -1 at the winter solstice, on the northern half of the earth.
function season(unixSeconds: number): number {
  const dayOfYear = dayOf(unixSeconds) % 365.2425
  return Math.cos((2 * Math.PI * (dayOfYear - 171)) / 365.2425)
}

function bell(hour: number, from: number, to: number): number {
  return hour <= from || hour >= to ? 0 : Math.sin((Math.PI * (hour - from)) / (to - from))
}

function solarShare(unixSeconds: number, seed: number): number {
  const summer = season(unixSeconds)
  const halfDay = 6 + 2 * summer
  const clear = bell(hourOf(unixSeconds), 12 - halfDay, 12 + halfDay) ** 1.2
  return clear * (0.65 + 0.35 * summer) * cloudShare(unixSeconds, seed)
}

// What clouds let through: a node every ten minutes, within what the day allows, joined by straight lines.
function cloudShare(unixSeconds: number, seed: number): number {
  const cloudiness = randomAt(seed, dayOf(unixSeconds)) * 0.8
  const node = unixSeconds / 600
  const before = Math.floor(node)
  const [a, b] = [randomAt(seed + 1, before), randomAt(seed + 1, before + 1)]
  return 1 - cloudiness * (a + (b - a) * (node - before))
}

interface Appliance {
  readonly share: number
  readonly seconds: number
  readonly perDay: number
  readonly fromHour: number
  readonly toHour: number
}

// Shares of a peak of 6 kW: kettle, dishwasher, washing machine, oven.
const appliances: readonly Appliance[] = [
  { share: 0.33, seconds: 240, perDay: 4, fromHour: 6, toHour: 21 },
  { share: 0.3, seconds: 2700, perDay: 1, fromHour: 12, toHour: 22 },
  { share: 0.33, seconds: 1800, perDay: 1, fromHour: 8, toHour: 18 },
  { share: 0.4, seconds: 2400, perDay: 1, fromHour: 17, toHour: 20 },
]

interface Run {
  readonly from: number
  readonly to: number
  readonly share: number
}

function makeHousehold(seed: number): (unixSeconds: number) => number {
  let planned: { day: number; runs: readonly Run[] } = { day: Number.NaN, runs: [] }
  const fridgeOffset = randomAt(seed, -1) * 2700
  return (t) => {
    const day = dayOf(t)
    if (planned.day !== day) planned = { day, runs: planDay(seed, day) }
    const fridge = (t + fridgeOffset) % 2700 < 900 ? 0.015 : 0
    const running = planned.runs.reduce((sum, run) => (t >= run.from && t < run.to ? sum + run.share : sum), 0)
    const hour = hourOf(t)
    return 0.025 + fridge + 0.07 * peak(hour, 7.25, 1) + 0.12 * peak(hour, 19, 2) + running
  }
}

function peak(hour: number, at: number, width: number): number {
  return Math.exp(-(((hour - at) / width) ** 2))
}

function planDay(seed: number, day: number): readonly Run[] {
  const random = makeRandom(Math.imul(seed, 0x9e3779b1) ^ day)
  return appliances.flatMap(({ share, seconds, perDay, fromHour, toHour }) =>
    Array.from({ length: perDay }, () => {
      const hour = fromHour + random() * (toHour - fromHour)
      const from = Math.floor(day * secondsPerDay + hour * 3600)
      return { from, to: from + seconds, share }
    }),
  )
}

// Charges around noon, gives 90 % of it back in the evening.
function batteryShare(unixSeconds: number, seed: number): number {
  const strength = 0.6 + 0.4 * randomAt(seed, dayOf(unixSeconds))
  const hour = hourOf(unixSeconds)
  return strength * (bell(hour, 10, 15) - 0.75 * bell(hour, 18, 24))
}
