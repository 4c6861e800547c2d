export interface LineSettings {
  readonly baudRate: number
  readonly parity: 'none' | 'even' | 'odd'
  readonly stopBits: 1 | 2
}

/** How long things take on a serial line. */
export interface LineTiming {
  readonly characterMs: number
  /** The silence that ends a frame. */
  readonly silenceMs: number
}

/** Modbus over Serial Line V1.02 §2.5.1.1: 3.5 characters, and 1.75 ms above 19,200 baud. */
export function toLineTiming({ baudRate, parity, stopBits }: LineSettings): LineTiming {
  const bits = 1 + 8 + (parity === 'none' ? 0 : 1) + stopBits
  const characterMs = (1000 * bits) / baudRate
  return { characterMs, silenceMs: baudRate > 19_200 ? 1.75 : 3.5 * characterMs }
}
