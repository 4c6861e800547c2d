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

/** A model that was looked for, with the common model in front of it: that one names the part it belongs to. */
export interface FoundSunSpecModel extends SunSpecModel {
  readonly common?: SunSpecModel
}

// SunSpec Information Model Specification 1.9 §6.2: the map begins at one of these, with "SunS".
const baseAddresses = [40_000, 0, 50_000] as const
const marker = [0x5375, 0x6e53] as const
const endModelId = 0xffff
// A device with more models than this has a broken chain.
const maxModels = 128
const commonModel = { id: 1, length: 66 } as const

/**
 * Walks a device's SunSpec map, model by model. A chain that has no end, or leads nowhere, throws where it breaks:
 * whoever found what he wanted before has left.
 */
export async function* walkSunSpec(read: ReadRegisters): AsyncGenerator<SunSpecModel, void> {
  let address = (await findBase(read)) + marker.length
  for (let count = 0; count < maxModels; count++) {
    const [id, length] = await readHeader(read, address)
    if (id === endModelId) return
    yield { id, address, length }
    address += 2 + length
    if (address > 0xfffe) throw broken(`at ${address}, behind the last register`)
  }
  throw broken(`at ${address}, after ${maxModels} models without an end`)
}

/** Finds the `instance`th model of that kind in a device's map, or tells what was found instead. */
export async function findSunSpecModel(read: ReadRegisters, modelId: number, instance = 1): Promise<FoundSunSpecModel> {
  const seen: number[] = []
  let common: SunSpecModel | undefined
  try {
    for await (const model of walkSunSpec(read)) {
      if (model.id === commonModel.id) common = model
      seen.push(model.id)
      if (model.id !== modelId || seen.filter((id) => id === modelId).length < instance) continue
      return { ...model, ...(common === undefined || common === model ? {} : { common }) }
    }
  } catch (error) {
    if (!(error instanceof WattError) || error.retryable) throw error
    throw missing(modelId, instance, seen, `: ${error.message}`)
  }
  throw missing(modelId, instance, seen, '')
}

function missing(modelId: number, instance: number, seen: readonly number[], why: string): WattError {
  const wanted = instance === 1 ? `SunSpec model ${modelId}` : `SunSpec model ${modelId} number ${instance}`
  const found = seen.length === 0 ? 'none' : seen.join(', ')
  return new WattError('reading/not-implemented', `${wanted} expected in the map, found ${found}${why}`)
}

function broken(where: string): WattError {
  return new WattError('reading/not-implemented', `the chain of SunSpec models breaks off ${where}`)
}

async function findBase(read: ReadRegisters): Promise<number> {
  for (const base of baseAddresses) {
    const words = await readOrRefused(read, base)
    if (words !== undefined && words[0] === marker[0] && words[1] === marker[1]) return base
  }
  throw new WattError('reading/not-implemented', `no SunSpec marker at ${baseAddresses.join(', ')}`)
}

// A device answers an exception where it has no registers: that is a no, not a failure.
async function readOrRefused(read: ReadRegisters, address: number): Promise<readonly number[] | undefined> {
  try {
    return await read(3, address, 2)
  } catch (error) {
    if (error instanceof WattError && error.code === 'bus/exception' && !error.retryable) return undefined
    throw error
  }
}

async function readHeader(read: ReadRegisters, address: number): Promise<[id: number, length: number]> {
  const [id, length] = (await readOrRefused(read, address)) ?? []
  if (id === undefined || length === undefined) throw broken(`at ${address}, where no model begins`)
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
