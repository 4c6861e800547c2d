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
  t.is(profiles.size, 36)
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

// The EM24 as other programs have it: what is partial there is given as the total, and no mark warns.
const mistakenEm24 = `
version: 1
id: my-em24
brand: Carlo Gavazzi
models: [EM24]
phases: 3
transports: [rtu]
defaults: { unitId: 1 }
maxRegisters: 11
quantities:
  - { measurand: Energy.Active.Import.Register, functionCode: 4, address: 0x0042, type: int32, wordOrder: little, unit: kWh, scale: "0.1" }
notes: []
sources: {}
vectors:
  - { measurand: Energy.Active.Import.Register, words: ["303A", "0000"], value: "1234.6", registerWh: "1234600" }
`

test("the field's mistake: a partial counter given as the total is refused, in whatever folder the file lies", async (t) => {
  const profiles = loadProfiles(await folderWith(t, { 'my-em24.yaml': mistakenEm24 }))
  const error = t.throws(() => findProfile(profiles, 'my-em24'), { instanceOf: WattError })
  t.is(error?.code, 'profile/invalid')
  t.regex(
    error?.message ?? '',
    /my-em24\.yaml: .*0x0042 \(partial: never to be signed\) in cg-em24-rtu, the same meter$/,
  )
  const right = loadProfiles(await folderWith(t, { 'my-em24.yaml': mistakenEm24.replace('0x0042', '0x003E') }))
  t.is(findProfile(right, 'my-em24').brand, 'Carlo Gavazzi')
})

test("the field's mistake: swapped words are refused by the file's own vectors", async (t) => {
  const swapped = mistakenEm24.replace('0x0042', '0x003E').replace('wordOrder: little', 'wordOrder: big')
  const profiles = loadProfiles(await folderWith(t, { 'my-em24.yaml': swapped }))
  const message = /as int32, word order big: 303A 0000 is not 1234\.6 kWh/
  t.throws(() => findProfile(profiles, 'my-em24'), { instanceOf: WattError, message })
})
