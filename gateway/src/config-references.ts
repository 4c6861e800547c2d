import { siteDefaults } from './smart-charging/site-config.ts'

/** One problem of a configuration, as valibot takes it. */
export interface ReferenceProblem {
  readonly message: string
  readonly path: [PathItem, ...PathItem[]]
}

interface PathItem {
  readonly type: 'unknown'
  readonly origin: 'value'
  readonly input: unknown
  readonly key: string | number
  readonly value: unknown
}

/**
 * What no single field can tell: ids given twice, buses and parents that do not exist, two meters at one address,
 * a ring of parents. Looks at the input as it is, so that these problems are told together with those of shape.
 */
export function checkReferences(input: unknown): readonly ReferenceProblem[] {
  const buses = listOf(input, 'buses')
  const meters = listOf(input, 'meters')
  const busIds = buses.map((bus) => textOf(bus, 'id'))
  const meterIds = meters.map((meter) => textOf(meter, 'id'))
  const addresses = meters.map((meter) => {
    const [bus, unitId] = [fieldOf(meter, 'bus'), fieldOf(meter, 'unitId')]
    if (typeof bus !== 'string' || typeof unitId !== 'number') return undefined
    // One SunSpec device may hold several meters, which are told apart by model and number.
    const instance = fieldOf(meter, 'sunspecInstance')
    const part = typeof instance === 'number' ? `${textOf(meter, 'profile')} ${instance} of ` : ''
    return `${part}unit ${unitId} on bus '${bus}'`
  })
  return [
    ...repeated(busIds).map((at) => problem(`id '${busIds[at]}' is given twice`, 'buses', at, 'id')),
    ...repeated(meterIds).map((at) => problem(`id '${meterIds[at]}' is given twice`, 'meters', at, 'id')),
    ...repeated(addresses).map((at) => problem(`${addresses[at]} is given twice`, 'meters', at, 'unitId')),
    ...unknown(meters, 'bus', busIds),
    ...unknown(meters, 'behind', meterIds),
    ...unknownOfStations(listOf(fieldOf(input, 'ocpp'), 'stations'), meterIds),
    ...rings(meters),
    ...siteProblems(input, meters),
  ]
}

function repeated(values: readonly (string | undefined)[]): readonly number[] {
  return [...values.keys()].filter((at) => values[at] !== undefined && values.indexOf(values[at]) < at)
}

function unknown(meters: readonly unknown[], key: 'bus' | 'behind', known: readonly (string | undefined)[]) {
  const kind = key === 'bus' ? 'bus' : 'meter'
  return [...meters.entries()].flatMap(([at, meter]) => {
    const name = textOf(meter, key)
    return name === undefined || known.includes(name) ? [] : [problem(`no ${kind} '${name}'`, 'meters', at, key)]
  })
}

// A charging point hangs on meters of this gateway, and nothing hangs on it: so it can be in no ring.
function unknownOfStations(stations: readonly unknown[], known: readonly (string | undefined)[]) {
  const places = stations.flatMap((station, at) => [
    { place: station, path: ['stations', at] },
    ...listOf(station, 'connectors').map((place, connector) => ({
      place,
      path: ['stations', at, 'connectors', connector],
    })),
  ])
  return places.flatMap(({ place, path }) =>
    (['behind', 'feederMeter'] as const).flatMap((key) => {
      const name = textOf(place, key)
      return name === undefined || known.includes(name) ? [] : [problemAt(`no meter '${name}'`, 'ocpp', ...path, key)]
    }),
  )
}

function rings(meters: readonly unknown[]): readonly ReferenceProblem[] {
  // Of an id given twice the first counts; the second is a problem of its own.
  const parents = new Map(meters.toReversed().map((meter) => [textOf(meter, 'id'), textOf(meter, 'behind')]))
  return [...meters.entries()].flatMap(([at, meter]) => {
    const start = textOf(meter, 'id')
    const seen = new Set<string>()
    let next = textOf(meter, 'behind')
    while (next !== undefined && !seen.has(next)) {
      if (next === start) return [problem(`'${start}' stands behind itself`, 'meters', at, 'behind')]
      seen.add(next)
      next = parents.get(next)
    }
    return []
  })
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}

function textOf(value: unknown, key: string): string | undefined {
  const field = fieldOf(value, key)
  return typeof field === 'string' ? field : undefined
}

function listOf(value: unknown, key: string): readonly unknown[] {
  const field = fieldOf(value, key)
  return Array.isArray(field) ? field : []
}

interface Named {
  readonly name: string | undefined
  readonly path: readonly [string, ...(string | number)[]]
}

// What is shared by what meters show needs these meters, and needs them often.
function siteProblems(input: unknown, meters: readonly unknown[]): readonly ReferenceProblem[] {
  const site = fieldOf(input, 'site')
  if (site === undefined) return []
  const inList = (list: string): readonly Named[] =>
    [...listOf(site, list).entries()].map(([at, one]) => ({
      name: textOf(one, 'meter'),
      path: ['site', list, at, 'meter'],
    }))
  const named: readonly Named[] = [{ name: textOf(site, 'meter'), path: ['site', 'meter'] }]
  const maxAge = Number(fieldOf(site, 'maxAgeSeconds') ?? siteDefaults.maxAgeSeconds)
  const problems = [...named, ...inList('feeders'), ...inList('stations')].flatMap(({ name, path }) => {
    if (name === undefined) return []
    const meter = meters.find((one) => textOf(one, 'id') === name)
    if (meter === undefined) return [problemAt(`no meter '${name}'`, ...path)]
    const every = Number(fieldOf(meter, 'valuesIntervalSeconds') ?? Number.NaN)
    if (every > 0 && 2 * every <= maxAge) return []
    const needed = `valuesIntervalSeconds of at most half of maxAgeSeconds, which is ${maxAge}`
    return [problemAt(`meter '${name}' needs a ${needed}`, ...path)]
  })
  if (fieldOf(input, 'ocpp') !== undefined) return problems
  return [problemAt('stations are served by ocpp, which is missing', 'site'), ...problems]
}

function problem(message: string, list: 'buses' | 'meters', at: number, key: string): ReferenceProblem {
  return problemAt(message, list, at, key)
}

function problemAt(message: string, ...[first, ...rest]: readonly [string, ...(string | number)[]]): ReferenceProblem {
  const item = (key: string | number): PathItem => ({
    type: 'unknown',
    origin: 'value',
    input: undefined,
    key,
    value: undefined,
  })
  return { message, path: [item(first), ...rest.map(item)] }
}
