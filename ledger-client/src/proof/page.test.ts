import { readFileSync } from 'node:fs'
import { createContext, runInContext } from 'node:vm'
import { formatPublicKey } from '@wattline/protocol'
import test from 'ava'
import { Device, fastVerifier, openRig, testSigner } from '../../test/rig.ts'
import { bundleVerifyScript } from '../../web/build-page.ts'
import { checkConsistency } from './check-consistency.ts'
import { checkProof, type ProofReport } from './check-proof.ts'
import { makeConsistency } from './make-consistency.ts'
import { makeProof } from './make-proof.ts'
import { parseProof } from './proof-file.ts'

type Verify = (bytes: Uint8Array, keys?: { ledger?: string; point?: string }) => ProofReport

/** The page's script where there is nothing but the language and what every browser has. */
async function loadPage(): Promise<Verify> {
  const context = createContext({ TextEncoder, TextDecoder })
  runInContext(await bundleVerifyScript(), context)
  return runInContext(
    '(bytes, keys) => wattlineVerify.verifyProofBytes(Uint8Array.from(bytes), keys)',
    context,
  ) as Verify
}

test('SPEC-181: the page in a browser gives the verdict of the program, without Node and without WebCrypto', async (t) => {
  const { engine } = openRig(t)
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'Zo\u00eb' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 1000n })])
  const signer = testSigner(970)
  const proof = makeProof(
    engine.db,
    { point: roof.id, epoch: roof.epoch, sequence: 2 },
    { signer, verifier: fastVerifier },
  )
  const verify = await loadPage()
  const bytes = Buffer.from(proof, 'latin1')
  const plain = (report: ProofReport) => JSON.parse(JSON.stringify(report)) as unknown
  t.deepEqual(plain(verify(bytes)), plain(checkProof(proof)))
  t.true(verify(bytes).ok)
  const { anchor } = parseProof(proof)
  const extended = makeConsistency(engine.db, { from: anchor, signer })
  t.deepEqual(plain(verify(Buffer.from(extended, 'latin1'))), plain(checkConsistency(extended)))
  const keys = { ledger: formatPublicKey(signer.publicKey), point: ` ${formatPublicKey(roof.signer.publicKey)}\n` }
  t.true(verify(bytes, keys).ok)
  const code = (altered: Buffer, known = {}) => verify(altered, known).findings.find(({ ok }) => !ok)?.code
  t.is(code(bytes, { ledger: formatPublicKey(testSigner(971).publicKey) }), 'anchor/invalid')
  t.is(code(bytes, { ledger: 'nonsense' }), 'key/unreadable')
  t.is(code(Buffer.from(proof.replace('RV\\":1.000', 'RV\\":1.001'), 'latin1')), 'record/bad-signature')
  t.is(code(Buffer.from(bytes).fill(0xff, 100, 101)), 'proof/malformed')
})

test('the page is one file: it loads nothing', (t) => {
  const html = readFileSync(new URL('../../web/verify/page.html', import.meta.url), 'utf8')
  t.notRegex(html, /\b(src|href)=/)
  t.regex(html, /default-src 'none'/)
})
