import type { LineSettings } from './line-timing.ts'
import type { Character } from './uart.ts'

/** How a client has set its end of a pseudo-terminal, as the kernel tells it. */
export interface Termios {
  readonly iflag: number
  readonly cflag: number
  readonly speed: number
}

// asm-generic/termbits.h
const ignoreBreak = 0o1
const ignoreParityErrors = 0o4
const markParityErrors = 0o10
const checkParity = 0o20
const twoStopBits = 0o100
const oddParity = 0o1000
const markOrSpace = 0o10000000000

/**
 * The client's serial settings. A pty forgets at once whether parity was asked for, so it is guessed from the bait
 * that `pty.pl` lays: PARODD and CMSPAR. Programs of libmodbus and Go say by INPCK that they check parity; serialport
 * sets or clears PARODD for odd or even, and leaves it for none; pyserial and programs that begin from nothing clear
 * both for none. So with PARODD as bait even is told from none; odd looks like none, and the other way round without.
 */
export function toClientSettings({ iflag, cflag, speed }: Termios, bait: 'odd' | 'not-odd'): LineSettings {
  const isOdd = (cflag & oddParity) !== 0
  const settings = { baudRate: speed, stopBits: (cflag & twoStopBits) === 0 ? 1 : 2 } as const
  if ((iflag & checkParity) !== 0) return { ...settings, parity: isOdd ? 'odd' : 'even' }
  if ((cflag & markOrSpace) === 0 || isOdd === (bait === 'odd')) return { ...settings, parity: 'none' }
  return { ...settings, parity: isOdd ? 'odd' : 'even' }
}

/** The bytes that a terminal hands to its reader for one character, whole or not (termios(3): IGNPAR, PARMRK, INPCK). */
export function toInput({ byte, error }: Character, iflag: number): readonly number[] {
  const marks = (iflag & markParityErrors) !== 0
  if (error === 'break') return (iflag & ignoreBreak) !== 0 ? [] : marks ? [0xff, 0, 0] : [0]
  if (error === undefined || (iflag & checkParity) === 0) return [byte]
  if ((iflag & ignoreParityErrors) !== 0) return []
  return marks ? [0xff, 0, byte] : [0]
}
