// Registers that tell what they are: each word is made of its unit, function, address and the moment at which the
// request for it reached the server. Whoever hands a value to the wrong request cannot hide it.

export interface RegisterPlace {
  readonly unitId: number
  readonly functionCode: number
  /** Zero-based PDU address. */
  readonly address: number
}

/** A read as whoever asked for it knows it. */
export interface AskedRead extends RegisterPlace {
  readonly count: number
  /** `nowTicks()` before it was asked for and after it was answered. */
  readonly askedAt: number
  readonly answeredAt: number
}

/** Quarter milliseconds of the clock that all processes of a machine share; they begin again after 16 s. */
export function nowTicks(): number {
  return Number((process.hrtime.bigint() / 250_000n) & 0xffffn)
}

/** The word in one place, for a request that came at that moment. */
export function describingWord(place: RegisterPlace, ticks: number): number {
  return (mix(place) + ticks) & 0xffff
}

/** Why the words are not those of the read, or undefined where they are. */
export function findForeignWords(words: readonly number[], read: AskedRead): string | undefined {
  if (words.length !== read.count) return `${words.length} words`
  const moments = words.map((word, i) => (word - mix({ ...read, address: read.address + i })) & 0xffff)
  const [moment = 0] = moments
  if (moments.some((other) => other !== moment)) return 'words of another place'
  const lasted = (read.answeredAt - read.askedAt) & 0xffff
  return ((moment - read.askedAt) & 0xffff) > lasted ? 'words of another moment' : undefined
}

function mix({ unitId, functionCode, address }: RegisterPlace): number {
  let mixed = Math.imul((unitId << 19) ^ (functionCode << 16) ^ address ^ 0x5bd1_e995, 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0xc2b2_ae35)
  return (mixed ^ (mixed >>> 16)) & 0xffff
}
