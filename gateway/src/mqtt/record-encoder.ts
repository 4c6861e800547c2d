import { encodeFrame, type ParsedOcmf, parseOcmfText, WattError } from '@wattline/protocol'

/** From here on a new base makes frames smaller again. */
const longestFrame = 80
/** And from time to time anyway, so that no receiver has to keep a base for ever. */
const framesPerBase = 4096

/**
 * Chooses between full text and compact frame for one metering point (SPEC-41). The stored text is never changed: a
 * frame is only sent where it rebuilds to that very text.
 */
export class RecordEncoder {
  #base: ParsedOcmf | undefined
  #frames = 0

  /** Makes the next record go out in full: after each connect, and for whatever is sent again. */
  reset(): void {
    this.#base = undefined
  }

  /**
   * What to publish for a record. A text that the disk has damaged goes out as it is: the ledger refuses it by name,
   * and the chain goes on without it (SPEC-32).
   */
  encode(text: string): string | Uint8Array {
    try {
      return this.#encodeSound(text)
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      this.reset()
      return text
    }
  }

  #encodeSound(text: string): string | Uint8Array {
    const frame = this.#base === undefined ? undefined : encodeFrame(text, this.#base)
    if (frame !== undefined && frame.length <= longestFrame && this.#frames < framesPerBase) {
      this.#frames++
      return frame
    }
    const parsed = parseOcmfText(text)
    // Only a record in context F can be a base (SPEC-40).
    if (parsed.record.context === 'F') this.#base = parsed
    this.#frames = 0
    return text
  }
}
