import { type Anchor, noHash, type PublicKey, parseAnchor, type SignatureVerifier, WattError } from '@wattline/protocol'
import type { ProofFinding } from './check-proof.ts'

/** Checks a list of published anchors, oldest first: one ledger signed them, and each names the one before it (SPEC-99). */
export function checkAnchors(
  content: string,
  ledger: PublicKey | undefined,
  verifier?: SignatureVerifier,
): readonly ProofFinding[] {
  const findings: ProofFinding[] = []
  let [key, before]: [PublicKey | undefined, Anchor | undefined] = [ledger, undefined]
  for (const [at, line] of content.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    try {
      const anchor = parseAnchor(line.trim(), key, verifier)
      findings.push({ subject: nameOf(anchor), ok: true, text: describe(anchor, before) })
      ;[key, before] = [anchor.ledger, anchor]
    } catch (error) {
      if (!(error instanceof WattError)) throw error
      findings.push({ subject: `line ${at + 1}`, ok: false, code: error.code, text: error.message })
      break
    }
  }
  return findings
}

function nameOf({ day }: Anchor): string {
  return day === undefined ? 'a head' : `anchor of ${day}`
}

function describe({ day = '', previous, records, entries }: Anchor, before: Anchor | undefined): string {
  const fault = (message: string) => new WattError('anchor/invalid', message)
  const what = `fixes ${records.count} records and ${entries.count} journal entries`
  if (before === undefined) {
    if (previous !== noHash) return `${what}; the ones before it are not in the file`
    return `${what}; ${day === '' ? 'no day was anchored before it' : "it is the ledger's first"}`
  }
  if (previous !== before.hash) {
    throw fault(`it names ${previous.slice(0, 8)} as the anchor before it, ${before.hash.slice(0, 8)} stands there`)
  }
  if (day <= (before.day ?? '')) throw fault(`'${day}' does not come after '${before.day}'`)
  if (records.count < before.records.count || entries.count < before.entries.count)
    throw fault('it counts less than the one before it')
  return `${what}, ${records.count - before.records.count} and ${entries.count - before.entries.count} more than the one before it, which it names`
}
