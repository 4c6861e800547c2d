import {
  type Anchor,
  formatPublicKey,
  fromHex,
  isConsistent,
  nobleVerifier,
  parseAnchor,
  type SignatureVerifier,
} from '@wattline/protocol'
import { checkProof, type ProofFinding, type ProofReport, type TrustedKeys } from './check-proof.ts'
import { attempt, Fault } from './fault.ts'
import { looksLikeConsistency, parseConsistency, parsePath } from './proof-file.ts'

// SPEC-185: whether one anchor extends another, shown by the two alone. Runs in a browser too.

/** Checks a file that `prove` or `consistency` has made. */
export function checkProofFile(content: string, keys?: TrustedKeys, verifier?: SignatureVerifier): ProofReport {
  return (looksLikeConsistency(content) ? checkConsistency : checkProof)(content, keys, verifier)
}

/** Checks that what one anchor fixes is the beginning of what the other fixes. Never throws for a bad file. */
export function checkConsistency(
  content: string,
  keys: TrustedKeys = {},
  verifier: SignatureVerifier = nobleVerifier,
): ProofReport {
  const findings: ProofFinding[] = []
  try {
    const file = attempt('file', () => parseConsistency(content))
    const from = attempt('earlier', () => parseAnchor(file.from, keys.ledger, verifier))
    const to = attempt('later', () => parseAnchor(file.to, from.ledger, verifier))
    const whose = keys.ledger === undefined ? 'the key that they name' : 'the ledger key that you gave'
    const signed = `${nameOf(from)} and ${nameOf(to)} are signed by ${whose}, ...${formatPublicKey(from.ledger).slice(-16)}`
    findings.push({ subject: 'ledger', ok: true, text: signed })
    for (const tree of ['records', 'entries'] as const) findings.push(checkTree(tree, from, to, file[tree]))
    return { ok: true, findings, notProven: leftOpen(from, to, keys) }
  } catch (error) {
    if (!(error instanceof Fault)) throw error
    findings.push({ subject: error.subject, ok: false, code: error.code, text: error.message })
    return { ok: false, findings, notProven: [] }
  }
}

function checkTree(tree: 'records' | 'entries', from: Anchor, to: Anchor, path: string): ProofFinding {
  const [before, after] = [from[tree], to[tree]]
  if (after.count < before.count) {
    throw new Fault(tree, 'anchor/invalid', `${after.count} under the later one are fewer than ${before.count}`)
  }
  if (after.count === before.count && after.root !== before.root) {
    const lie = `two documents of one key over the same ${after.count} exclude each other: the ledger has told two stories`
    throw new Fault(tree, 'anchor/invalid', lie)
  }
  const known = ({ count, root }: typeof before) => ({ count, root: fromHex(root) ?? new Uint8Array() })
  if (!isConsistent(known(before), known(after), parsePath(path))) {
    const text = 'it is not shown that the later tree begins with the earlier one: the path was altered, or it does not'
    throw new Fault(tree, 'proof/not-included', text)
  }
  const what = tree === 'records' ? 'records' : 'journal entries'
  const more = after.count - before.count
  const text = `all ${before.count} ${what} of the earlier one stand unaltered at their places in the later one, ${more} came after them`
  return { subject: tree, ok: true, text }
}

function nameOf({ day, hash }: Anchor): string {
  return `${day === undefined ? 'a head' : `the anchor of ${day}`} (${hash.slice(0, 16)}...)`
}

function leftOpen(from: Anchor, to: Anchor, keys: TrustedKeys): string[] {
  const whose = `whose the ledger's key is: compare it with the one that you know: ${formatPublicKey(from.ledger)}`
  return [
    ...(keys.ledger === undefined ? [whose] : []),
    `that the ledger shows everybody the same: compare both with what was published: ${from.hash} and ${to.hash}`,
    'what the records and entries say: that is for a proof of each',
  ]
}
