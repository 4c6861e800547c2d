/** mulberry32: a small generator with 32 bits of state, the same sequence for the same seed everywhere. */
export function makeRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The value between 0 and 1 that belongs to one index of one seed, without going through those before. */
export function randomAt(seed: number, index: number): number {
  return makeRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index, 0x85ebca6b))()
}
