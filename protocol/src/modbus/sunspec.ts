import { WattError } from '../errors.ts'

/** Reads `count` registers from a zero-based PDU address. */
export type ReadRegisters = (functionCode: 3 | 4, address: number, count: number) => Promise<readonly number[]>

/** Where a SunSpec model stands in a device. */
export interface SunSpecModel {
  readonly id: number
  /** PDU address of the model's ID register; the length register and the data follow. */
  readonly address: number
  /** Registers of data, without ID and length. */
  readonly length: number
}

// SunSpec Information Model Specification 1.9 §6.2: the map begins at one of these, with "SunS".
const baseAddresses = [40_000, 0, 50_000] as const
const marker = [0x5375, 0x6e53] as const
const endModelId = 0xffff
// A device with more models than this has a broken chain.
const maxModels = 128
const commonModel = { id: 1, length: 66 } as const

/** Finds a model in a device's SunSpec map, or tells what was found instead. */
export async function findSunSpecModel(read: ReadRegisters, modelId: number): Promise<SunSpecModel> {
  const base = await findBase(read)
  const seen: number[] = []
  let address = base + marker.length
  while (address <= 0xfffe && seen.length < maxModels) {
    const [id, length] = await readHeader(read, address)
    if (id === endModelId) break
    if (id === modelId) return { id, address, length }
    seen.push(id)
    address += 2 + length
  }
  throw new WattError(
    'reading/not-implemented',
    `SunSpec model ${modelId} expected in the map at ${base}, found ${seen.length === 0 ? 'none' : seen.join(', ')}`,
  )
}

async function findBase(read: ReadRegisters): Promise<number> {
  for (const base of baseAddresses) {
    const words = await readOrRefused(read, base)
    if (words !== undefined && words[0] === marker[0] && words[1] === marker[1]) return base
  }
  throw new WattError('reading/not-implemented', `no SunSpec marker at ${baseAddresses.join(', ')}`)
}

// A device answers an exception where it has no registers: that is a no, not a failure.
async function readOrRefused(read: ReadRegisters, base: number): Promise<readonly number[] | undefined> {
  try {
    return await read(3, base, marker.length)
  } catch (error) {
    if (error instanceof WattError && error.code === 'bus/exception') return undefined
    throw error
  }
}

async function readHeader(read: ReadRegisters, address: number): Promise<[id: number, length: number]> {
  const [id, length] = await read(3, address, 2)
  if (id === undefined || length === undefined) {
    throw new WattError('reading/short', `SunSpec model header at ${address}: 2 words expected`)
  }
  return [id, length]
}

/** Builds the words of a SunSpec map from its base address on: marker, models, end. */
export function encodeSunSpecMap(models: readonly { id: number; data: readonly number[] }[]): number[] {
  return [...marker, ...models.flatMap(({ id, data }) => [id, data.length, ...data]), endModelId, 0]
}

/** Builds the data of model 1, which names the device. */
export function encodeCommonModel(device: { manufacturer: string; model: string; version: string; serial: string }): {
  id: number
  data: number[]
} {
  const data = [
    ...encodeText(device.manufacturer, 16),
    ...encodeText(device.model, 16),
    ...encodeText('', 8),
    ...encodeText(device.version, 8),
    ...encodeText(device.serial, 16),
  ]
  // Device address and the pad register: not implemented, as SunSpec writes it.
  return { id: commonModel.id, data: [...data, 0xffff, 0x8000] }
}

/** Encodes ASCII, two characters a word, padded with NUL. */
export function encodeText(text: string, words: number): number[] {
  const at = (i: number) => (i < text.length ? text.charCodeAt(i) & 0x7f : 0)
  return Array.from({ length: words }, (_, i) => (at(2 * i) << 8) | at(2 * i + 1))
}
