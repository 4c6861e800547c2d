import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WattError } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import { defaultProfileFolder, findProfile, loadProfiles } from './profiles.ts'

async function folderWith(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'wattline-profiles-'))
  t.teardown(() => rm(folder, { recursive: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  return folder
}

test('every profile that ships is loaded', (t) => {
  const profiles = loadProfiles(defaultProfileFolder())
  t.is(findProfile(profiles, 'eastron-sdm630').maxRegisters, 80)
  t.true(profiles.size >= 3)
  t.deepEqual([...profiles.broken.values()], [])
})

test('an unknown profile is answered with the nearest and all known ids', (t) => {
  const profiles = loadProfiles(defaultProfileFolder())
  const error = t.throws(() => findProfile(profiles, 'eastron-sdm63'), { instanceOf: WattError })
  t.is(error?.code, 'profile/unknown')
  t.regex(error?.message ?? '', /'eastron-sdm63'; did you mean 'eastron-sdm630'\? Known: .*eastron-sdm120/)
})

test('a broken file is told with all its problems, and stops nobody who does not need it', async (t) => {
  const good = await readFile(join(defaultProfileFolder(), 'eastron-sdm120.yaml'), 'utf8')
  const folder = await folderWith(t, {
    'eastron-sdm120.yaml': good,
    'broken.yaml': 'version: [1',
    'empty.yaml': 'version: 1',
    'other-name.yaml': good,
    'notes.txt': 'no profile',
  })
  await mkdir(join(folder, 'folder.yaml'))
  const profiles = loadProfiles(folder)
  t.is(findProfile(profiles, 'eastron-sdm120').brand, 'Eastron')
  t.deepEqual([...profiles.keys()], ['eastron-sdm120'])
  t.deepEqual([...profiles.broken.keys()], ['broken', 'empty', 'folder', 'other-name'])
  for (const id of profiles.broken.keys()) {
    const error = t.throws(() => findProfile(profiles, id), {
      instanceOf: WattError,
      message: new RegExp(`${id}.yaml`),
    })
    t.is(error?.code, 'profile/invalid')
  }
  const problems = profiles.broken.get('empty')?.message.split('\n') ?? []
  t.true(problems.length > 1, 'all problems of a file at once')
})

test('a folder without profiles, and none at all', async (t) => {
  const profiles = loadProfiles(await folderWith(t, {}))
  t.throws(() => findProfile(profiles, 'any'), { instanceOf: WattError, message: /there are no profiles/ })
  t.throws(() => loadProfiles('/nowhere'), { instanceOf: WattError, message: /\/nowhere: cannot be read/ })
})
