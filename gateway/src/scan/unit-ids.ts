import { WattError } from '@wattline/protocol'

/** Accepts unit ids as a person writes them: 1-16,40. */
export function parseUnitIds(text: string): readonly number[] {
  const unitIds = text.split(',').flatMap((part) => {
    const [, from, to = from] = /^(\d{1,3})(?:-(\d{1,3}))?$/.exec(part.trim()) ?? []
    return Array.from({ length: Math.max(0, Number(to) - Number(from) + 1) }, (_, i) => Number(from) + i)
  })
  if (unitIds.length > 0 && unitIds.every((unitId) => unitId >= 1 && unitId <= 247)) return unitIds
  throw new WattError('config/invalid', `expected unit ids between 1 and 247, such as 1-16,40, got '${text}'`)
}
