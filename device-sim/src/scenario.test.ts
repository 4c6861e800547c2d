import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { faultSchema } from './faults.ts'
import { loadSimConfig, mergeDocuments } from './scenario.ts'

const scenarios = fileURLToPath(new URL('../scenarios/', import.meta.url))
const house = join(scenarios, 'house.json')

const names = readdirSync(scenarios).filter((name) => name.endsWith('.json'))

for (const name of names) {
  test(`${name} is a config, or fits over the house`, (t) => {
    const { config } = name === 'house.json' ? loadSimConfig(house) : loadSimConfig(house, [join(scenarios, name)])
    t.is(config.name, name.replace('.json', ''))
    t.true(config.meters.length > 0)
  })
}

test('the table names every fault and every scenario', (t) => {
  const table = readFileSync(join(scenarios, 'README.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
  const named = (column: number) =>
    new Set(table.flatMap((line) => line.split('|')[column]?.match(/`[^`]+`/g) ?? []).map((name) => name.slice(1, -1)))
  const kinds = faultSchema.options.flatMap(({ entries: { kind } }) =>
    'options' in kind ? [...kind.options] : [kind.literal],
  )
  t.deepEqual([...named(1)].sort(), [...kinds].sort())
  t.deepEqual(
    [...named(4)].sort(),
    names
      .map((name) => name.replace('.json', ''))
      .filter((n) => n !== 'house')
      .sort(),
  )
})

test('things with an id are merged, faults are added, the rest is replaced', (t) => {
  const base = {
    version: 1,
    meters: [{ id: 'a', unitId: 1, seed: 1 }],
    faults: [{ at: 1 }],
    time: { speedUp: 1, startsAt: 'x' },
  }
  const over = { meters: [{ id: 'b' }, { id: 'a', seed: 2 }], faults: [{ at: 2 }], time: { speedUp: 9 }, name: 'n' }
  t.deepEqual(mergeDocuments(base, over), {
    version: 1,
    name: 'n',
    meters: [{ id: 'a', unitId: 1, seed: 2 }, { id: 'b' }],
    faults: [{ at: 1 }, { at: 2 }],
    time: { speedUp: 9, startsAt: 'x' },
  })
})

test('a file that is missing or no YAML is told by its path', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const broken = join(folder, 'broken.yaml')
  writeFileSync(broken, 'a: [')
  t.throws(() => loadSimConfig(join(folder, 'none.yaml')), { code: 'config/unreadable', message: /none\.yaml: ENOENT/ })
  t.throws(() => loadSimConfig(broken), { code: 'config/invalid', message: /broken\.yaml: / })
})

test('a profile of another folder is found there only', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sim-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'sim.yaml')
  const meter = '{ id: a, profile: eastron-sdm120, unitId: 1, tcp: { host: h, port: 0 }, curve: solar }'
  writeFileSync(path, `{ version: 1, profilesDir: "${folder}", meters: [ ${meter} ] }`)
  t.throws(() => loadSimConfig(path), { message: /meters\[0\]\.profile: no meter profile 'eastron-sdm120' in / })
  writeFileSync(join(folder, 'eastron-sdm120.yaml'), '{ version: 1 }')
  t.throws(() => loadSimConfig(path), { message: /meters\[0\]\.profile: .*eastron-sdm120\.yaml: maxRegisters: / })
})
