import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeMeterProfile, idPattern, type MeterProfile, WattError } from '@wattline/protocol'
import { parse } from 'yaml'

const ownFolder = fileURLToPath(new URL('../../hardware/meters', import.meta.url))

/** Loads a meter profile by its id, from the project's own folder unless another is given. */
export function loadProfile(id: string, folder = ownFolder): MeterProfile {
  const path = resolve(folder, `${id}.yaml`)
  if (!idPattern.test(id) || !existsSync(path)) {
    throw new WattError('profile/unknown', `no meter profile '${id}' in ${folder}`)
  }
  const profile = decodeMeterProfile(parse(readFileSync(path, 'utf8')), path)
  if (profile.id !== id) throw new WattError('profile/invalid', `${path}: id: expected ${id}, got ${profile.id}`)
  return profile
}
