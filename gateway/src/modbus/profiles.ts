import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeMeterProfile, findContradictions, type MeterProfile, WattError } from '@wattline/protocol'
import { parseDocument } from 'yaml'

/** Meter profiles by id. */
export interface Profiles extends ReadonlyMap<string, MeterProfile> {
  /** What is wrong with the files that hold none, by the id that their name tells. */
  readonly broken: ReadonlyMap<string, WattError>
}

const extension = '.yaml'

/** Where the profiles lie: `hardware/meters` of the folder that this program was installed in. */
export function defaultProfileFolder(): string {
  // Run from source and as one bundled file, this module lies at different depths.
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const candidate = join(folder, 'hardware', 'meters')
    if (existsSync(candidate)) return candidate
    if (dirname(folder) === folder) {
      throw new WattError('profile/invalid', `no folder hardware/meters above ${fileURLToPath(import.meta.url)}`)
    }
  }
}

/**
 * Loads and checks every profile of a folder, each by itself and against what is known of the same meter. A broken file
 * stops nobody but the meters that need it: whoever asks for that profile is told, and a gateway in the field starts
 * although a file that it never uses is damaged.
 */
export function loadProfiles(folder: string): Profiles {
  const { profiles, broken } = readProfiles(folder)
  const own = [...profiles.values()]
  // What ships with the program counts also for profiles of another folder: they may lack a mark that it has.
  const shipped = folder === defaultProfileFolder() ? [] : readProfiles(defaultProfileFolder()).profiles.values()
  const known = [...own, ...shipped]
  for (const profile of own) {
    const problems = findContradictions(profile, known)
    if (problems.length === 0) continue
    const file = join(folder, `${profile.id}${extension}`)
    broken.set(profile.id, new WattError('profile/invalid', problems.map((one) => `${file}: ${one}`).join('\n')))
    profiles.delete(profile.id)
  }
  return Object.assign(profiles, { broken })
}

function readProfiles(folder: string): { profiles: Map<string, MeterProfile>; broken: Map<string, WattError> } {
  const profiles = new Map<string, MeterProfile>()
  const broken = new Map<string, WattError>()
  for (const file of listFiles(folder)) {
    try {
      const profile = loadProfile(join(folder, file))
      profiles.set(profile.id, profile)
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      broken.set(file.slice(0, -extension.length), error)
    }
  }
  return { profiles, broken }
}

/** The profile of that id, or an error that tells what is wrong with it, or names the nearest one and all there are. */
export function findProfile(profiles: Profiles, id: string): MeterProfile {
  const profile = profiles.get(id)
  if (profile !== undefined) return profile
  const problem = profiles.broken.get(id)
  if (problem !== undefined) throw problem
  const known = [...profiles.keys()].sort()
  const nearest = known.toSorted((a, b) => distance(a, id) - distance(b, id))[0]
  const hint = nearest === undefined ? 'there are no profiles' : `did you mean '${nearest}'? Known: ${known.join(', ')}`
  throw new WattError('profile/unknown', `no meter profile '${id}'; ${hint}`)
}

function listFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
      .filter((file) => file.endsWith(extension))
      .sort()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('profile/invalid', `${folder}: cannot be read: ${reason}`, { cause })
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WattError('profile/invalid', `${file}: cannot be read: ${reason}`, { cause })
  }
}

function loadProfile(file: string): MeterProfile {
  const document = parseDocument(readText(file))
  if (document.errors.length > 0) {
    throw new WattError('profile/invalid', document.errors.map(({ message }) => `${file}: ${message}`).join('\n'))
  }
  const profile = decodeMeterProfile(document.toJS(), file)
  if (file.endsWith(`${profile.id}${extension}`)) return profile
  throw new WattError('profile/invalid', `${file}: id: expected the file's name, got '${profile.id}'`)
}

// Levenshtein: how many letters to insert, remove or replace.
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      const replaced = (row[j] ?? 0) + (letter === b[j] ? 0 : 1)
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
