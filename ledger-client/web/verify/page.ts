// The page that checks a proof in a browser, from a file:// address too: nothing is loaded, nothing is sent.
import { type PublicKey, parsePublicKey, WattError } from '@wattline/protocol'
import { checkProofFile } from '../../src/proof/check-consistency.ts'
import type { ProofReport, TrustedKeys } from '../../src/proof/check-proof.ts'
import { readProofBytes } from '../../src/proof/proof-file.ts'

/** Checks the bytes of a proof file; for the page, and for whoever embeds it. */
export function verifyProofBytes(bytes: Uint8Array, keys: { ledger?: string; point?: string } = {}): ProofReport {
  try {
    const trusted: TrustedKeys = {
      ...(keys.ledger ? { ledger: readKey("the ledger's key", keys.ledger) } : {}),
      ...(keys.point ? { point: readKey("the metering point's key", keys.point) } : {}),
    }
    return checkProofFile(readProofBytes(bytes), trusted)
  } catch (error) {
    if (!(error instanceof WattError)) throw error
    return {
      ok: false,
      findings: [{ subject: 'file', ok: false, code: error.code, text: error.message }],
      notProven: [],
    }
  }
}

function readKey(name: string, text: string): PublicKey {
  try {
    return parsePublicKey(text.trim())
  } catch (cause) {
    throw new WattError('key/unreadable', `${name}: SPKI in hex expected`, { cause })
  }
}

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (!(found instanceof type)) throw new TypeError(`#${id} is not in the page`)
  return found
}

function show(name: string, report: ProofReport): void {
  const result = element('result', HTMLElement)
  result.replaceChildren()
  const title = document.createElement('h2')
  title.textContent = report.ok ? `${name}: proven` : `${name}: not proven`
  title.className = report.ok ? 'good' : 'bad'
  result.append(
    title,
    list(
      report.findings.map(({ ok, subject, text, code }) => ({
        mark: ok ? '\u2713' : '\u2717',
        className: ok ? 'good' : 'bad',
        subject,
        text: code === undefined ? text : `${text} (${code})`,
      })),
    ),
  )
  if (report.notProven.length === 0) return
  const open = document.createElement('h2')
  open.textContent = 'What this file does not prove'
  result.append(open, list(report.notProven.map((text) => ({ mark: '?', className: 'open', subject: 'open', text }))))
}

interface Line {
  readonly mark: string
  readonly className: string
  readonly subject: string
  readonly text: string
}

function list(lines: readonly Line[]): HTMLElement {
  const items = document.createElement('ul')
  for (const { mark, className, subject, text } of lines) {
    const item = document.createElement('li')
    item.className = className
    const sign = document.createElement('span')
    sign.textContent = mark
    sign.className = 'mark'
    const strong = document.createElement('b')
    strong.textContent = subject
    const words = document.createElement('span')
    words.textContent = text
    item.append(sign, strong, words)
    items.append(item)
  }
  return items
}

function start(): void {
  const input = element('file', HTMLInputElement)
  const [ledger, point] = [element('ledger', HTMLInputElement), element('point', HTMLInputElement)]
  let chosen: { readonly name: string; readonly bytes: Uint8Array } | undefined
  const check = () => {
    if (chosen === undefined) return
    show(chosen.name, verifyProofBytes(chosen.bytes, { ledger: ledger.value, point: point.value }))
  }
  const take = async (file: File | undefined) => {
    if (file === undefined) return
    chosen = { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) }
    check()
  }
  input.addEventListener('change', () => void take(input.files?.[0]))
  for (const key of [ledger, point]) key.addEventListener('input', check)
  document.addEventListener('dragover', (event) => event.preventDefault())
  document.addEventListener('drop', (event) => {
    event.preventDefault()
    void take(event.dataTransfer?.files[0])
  })
}

// Embedded elsewhere, or in a test, there is no page.
if (typeof document !== 'undefined' && document.getElementById('file') !== null) start()
