import { encodeEnergy, encodeQuantity, type MeterProfile, type Quantity } from '@wattline/protocol'
import { FakeScheduler } from '../modbus/fake-scheduler.ts'
import { defaultProfileFolder, findProfile, loadProfiles } from '../modbus/profiles.ts'
import type { SerialFormat } from '../modbus/rtu-framing.ts'
import { scanBus } from './scan.ts'
import type { ScanOptions, ScanResult } from './scan-result.ts'
import { type VirtualDevice, VirtualLine } from './virtual-line.ts'

export const profiles = loadProfiles(defaultProfileFolder())
export const commonFormat: SerialFormat = { baudRate: 9600, parity: 'none', stopBits: 1 }

/** How a virtual meter deviates from a sound one under load. */
export interface MeterTraits {
  readonly unitId: number
  readonly profile: string
  readonly format?: SerialFormat
  readonly shift?: number
  readonly swapped?: boolean
  readonly turnaroundMs?: number
  readonly serial?: number
  /** Per phase; 0.98 where nothing is said. */
  readonly powerFactors?: readonly number[]
}

const phaseNumbers = { L1: 0, L2: 1, L3: 2, N: 3 } as const
const amps = 5
const volts = 230.5

/** A meter under load, its registers laid out as its profile says. */
export function makeMeter(traits: MeterTraits): VirtualDevice {
  const { unitId, turnaroundMs, format = commonFormat, shift = 0 } = traits
  const profile = findProfile(profiles, traits.profile)
  const words = new Map<string, number>()
  const put = (functionCode: number, address: number, values: readonly number[]) =>
    values.forEach((word, i) => void words.set(`${functionCode}/${address + shift + i}`, word))
  for (const quantity of profile.quantities) {
    const order = quantity.wordOrder === 'big' ? 'little' : 'big'
    const own: Quantity = traits.swapped === true ? { ...quantity, wordOrder: order } : quantity
    put(own.functionCode, own.address, encode(own, profile, traits.powerFactors ?? []))
  }
  const { serial } = profile
  if (serial?.type === 'uint32') put(serial.functionCode, serial.address, [1, traits.serial ?? 4711])
  for (const { functionCode, address, words: fixed, wordIn = [] } of profile.fingerprints ?? []) {
    const hex = fixed ?? wordIn.slice(0, 1)
    put(
      functionCode,
      address,
      hex.map((word) => Number.parseInt(word, 16)),
    )
  }
  // As meters do, it shows 0 for a while around what its profile names, and refuses what is far away.
  const named = [...words.keys()].map((key) => key.split('/').map(Number))
  const isNear = (functionCode: number, address: number) =>
    named.some(([code = 0, at = 0]) => code === functionCode && Math.abs(at - address) < 40)
  return {
    unitId,
    format,
    wordAt: (code, address) => words.get(`${code}/${address}`) ?? (isNear(code, address) ? 0 : undefined),
    ...(turnaroundMs === undefined ? {} : { turnaroundMs }),
  }
}

function encode(quantity: Quantity, { phases }: MeterProfile, factors: readonly number[]): readonly number[] {
  const factor = factors[quantity.phase === undefined ? 0 : phaseNumbers[quantity.phase]] ?? factors[0] ?? 0.98
  const share = quantity.phase === undefined ? phases : 1
  switch (quantity.measurand) {
    case 'Voltage':
      return encodeQuantity(volts, quantity)
    case 'Frequency':
      return encodeQuantity(50.01, quantity)
    case 'Current.Import':
      return encodeQuantity(amps * share, quantity)
    case 'Power.Factor':
      return encodeQuantity(factor, quantity)
    case 'Power.Active.Import':
      return encodeQuantity(volts * amps * share * factor, quantity)
    default:
      return encodeEnergy({ numerator: 1_234_567n, denominator: 1n }, quantity)
  }
}

export interface VirtualScan {
  readonly devices: readonly VirtualDevice[]
  readonly options?: Partial<ScanOptions>
  /** Called with the line before the scan begins. */
  readonly prepare?: (line: VirtualLine, scheduler: FakeScheduler, abort: AbortController) => void
}

/** Scans a virtual line, as fast as the code runs. */
export async function scanVirtually({ devices, options = {}, prepare }: VirtualScan): Promise<{
  result: ScanResult
  line: VirtualLine
}> {
  const scheduler = new FakeScheduler()
  const line = new VirtualLine(scheduler, devices)
  const abort = new AbortController()
  prepare?.(line, scheduler, abort)
  const scanning = scanBus({
    bus: { id: 'line', serial: { path: '/dev/virtual', ...commonFormat } },
    settingsKnown: false,
    meters: [],
    profiles,
    quick: false,
    scheduler,
    abort: abort.signal,
    onProgress: () => {},
    connectAt: ({ serial }) => line.connectAt(serial ?? commonFormat),
    ...options,
  })
  let isOver = false
  const over = () => {
    isOver = true
  }
  scanning.then(over, over)
  while (!isOver) await scheduler.advance(1000)
  return { result: await scanning, line }
}

/** What the config would say of a meter. */
export function expect(unitId: number, profile: string, role: 'consumer' | 'producer' = 'consumer') {
  return { id: `m${unitId}`, unitId, role, profile: findProfile(profiles, profile) }
}
