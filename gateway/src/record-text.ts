import { type ParsedOcmf, parseOcmfText, WattError } from '@wattline/protocol'

/**
 * Text as a record may carry it (SPEC-11). Whatever a meter or a profile has beyond that, be it a broken serial number,
 * stands in percent notation: always the same for the same text, so that another meter is still another meter.
 */
export function toRecordText(text: string): string {
  return encodeBeyond(text).slice(0, 200)
}

function encodeBeyond(text: string): string {
  return text.replace(/[^ !#-[\]-{}~]/gu, (character) =>
    [...new TextEncoder().encode(character)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  )
}

/** Takes a stored text apart, or gives undefined where the disk has damaged it. */
export function parseStoredText(text: string): ParsedOcmf | undefined {
  try {
    return parseOcmfText(text)
  } catch (error) {
    if (error instanceof WattError) return undefined
    throw error
  }
}
