import test from 'ava'
import { identify } from './identify.ts'
import { makeMeter, profiles } from './scan-rig.ts'
import type { TryRead } from './unit-reader.ts'

const readerOf = (profile: string, traits: { shift?: number; swapped?: boolean } = {}): TryRead => {
  const { wordAt } = makeMeter({ unitId: 1, profile, ...traits })
  return async (functionCode, address, count) => {
    if (address < 0) return undefined
    const words = Array.from({ length: count }, (_, i) => wordAt(functionCode, address + i))
    return words.some((word) => word === undefined) ? undefined : words.map((word) => word ?? 0)
  }
}
const all = [...profiles.values()]

for (const { id } of all.filter((profile) => profile.sunspec === undefined)) {
  test(`${id} is told by its registers, alone or among those that fit as well`, async (t) => {
    const found = await identify(readerOf(id), all)
    t.true([found?.profile.id, ...(found?.others ?? [])].includes(id), `${found?.profile.id}, ${found?.others}`)
    t.like(found, { shift: 0, swapped: false })
  })
}

test('what answers nothing that a profile knows is nobody known', async (t) => {
  t.is(await identify(async () => undefined, all), undefined)
  t.is(await identify(async (_, __, count) => Array.from({ length: count }, () => 0), all), undefined)
})

test('a profile of the config that fits is taken, and one that does not is not', async (t) => {
  const expected = profiles.get('eastron-sdm630')
  t.is((await identify(readerOf('eastron-sdm630'), all, expected))?.profile.id, 'eastron-sdm630')
  t.is((await identify(readerOf('abb-b21-b23'), all, expected))?.profile.id, 'abb-b21-b23')
  t.like(await identify(readerOf('eastron-sdm630', { swapped: true }), all, expected), { swapped: true })
})
