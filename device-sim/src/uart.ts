import type { LineSettings } from './line-timing.ts'

/** A piece of a line's signal: levels of equal length, with the line at rest before and behind. */
export interface Wave {
  readonly levels: Uint8Array
  readonly levelMs: number
  /** The level at rest. A line at rest is 1; with A and B swapped it reads 0. */
  readonly rest: 0 | 1
}

/** What a receiver makes of a signal. */
export interface Character {
  readonly byte: number
  readonly error?: 'parity' | 'framing' | 'break'
  /** When its stop bit is over, from the beginning of the wave. */
  readonly endMs: number
}

/** Puts bytes on the line: start bit, eight data bits with the lowest first, parity, stop bits. */
export function toWave(bytes: Uint8Array, { baudRate, parity, stopBits }: LineSettings): Wave {
  const levels: number[] = []
  for (const byte of bytes) {
    levels.push(0)
    for (let bit = 0; bit < 8; bit += 1) levels.push((byte >> bit) & 1)
    if (parity !== 'none') levels.push(parityBit(byte, parity))
    for (let bit = 0; bit < stopBits; bit += 1) levels.push(1)
  }
  return { levels: Uint8Array.from(levels), levelMs: 1000 / baudRate, rest: 1 }
}

/** A and B swapped: every level is the other one, also at rest. */
export function invert({ levels, levelMs, rest }: Wave): Wave {
  return { levels: levels.map((level) => level ^ 1), levelMs, rest: rest === 1 ? 0 : 1 }
}

/** Reflections and noise: each level is read wrong with that probability. */
export function addBitErrors(wave: Wave, rate: number, random: () => number): Wave {
  return { ...wave, levels: wave.levels.map((level) => (random() < rate ? level ^ 1 : level)) }
}

/** Listens as a UART does: a falling edge begins a character, and each bit is looked at in its middle. */
export function listen(wave: Wave, { baudRate, parity }: LineSettings): readonly Character[] {
  const bitMs = 1000 / baudRate
  const characters: Character[] = []
  const parityBits = parity === 'none' ? 0 : 1
  for (let at = fallingEdge(wave, 0); at !== undefined; ) {
    const startMs = at * wave.levelMs
    const bit = (number: number) => levelAt(wave, indexOf(wave, startMs + (number + 0.5) * bitMs))
    if (bit(0) === 1) {
      // A spike that is over in the middle of the start bit is none.
      at = fallingEdge(wave, at + 1)
      continue
    }
    let byte = 0
    for (let number = 0; number < 8; number += 1) byte |= bit(1 + number) << number
    const paritySound = parity === 'none' || bit(9) === parityBit(byte, parity)
    // Whatever the sender does, a receiver looks at the first stop bit only.
    const stop = 9 + parityBits
    const error = bit(stop) === 0 ? (byte === 0 ? 'break' : 'framing') : paritySound ? undefined : 'parity'
    characters.push({ byte, endMs: startMs + (stop + 1) * bitMs, ...(error === undefined ? {} : { error }) })
    at = fallingEdge(wave, indexOf(wave, startMs + (stop + 0.5) * bitMs) + 1)
  }
  return characters
}

/** Whether a receiver hears a sender as if they had the same settings. A second stop bit is only a pause. */
export function understands(sender: LineSettings, receiver: LineSettings): boolean {
  return sender.baudRate === receiver.baudRate && sender.parity === receiver.parity
}

function parityBit(byte: number, parity: 'even' | 'odd'): number {
  let ones = parity === 'odd' ? 1 : 0
  for (let bits = byte; bits > 0; bits >>= 1) ones += bits & 1
  return ones & 1
}

// A hair beyond, so that an edge that falls on a sampling point is decided the same way everywhere.
function indexOf({ levelMs }: Wave, ms: number): number {
  return Math.floor(ms / levelMs + 1e-6)
}

function levelAt({ levels, rest }: Wave, index: number): number {
  return index < 0 ? rest : (levels[index] ?? rest)
}

function fallingEdge(wave: Wave, from: number): number | undefined {
  for (let i = from; i <= wave.levels.length; i += 1) {
    if (levelAt(wave, i - 1) === 1 && levelAt(wave, i) === 0) return i
  }
  return undefined
}
