import test from 'ava'
import { check, makeTown } from '../../test/town.ts'
import { formatProof, type ProofFile, parseProof } from './proof-file.ts'

/** Which code an altered byte of a field must give, by the field's path. */
function expectedCodes(place: string): readonly string[] {
  if (place.startsWith('anchor')) return ['anchor/invalid', 'key/unreadable']
  if (place.startsWith('certificates')) return ['certificate/invalid', 'key/unreadable']
  if (/^(record|from|between)(\.text|\.\d+)/.test(place)) return ['record/malformed', 'record/bad-signature']
  if (/^(entry|terms)\.content/.test(place)) return ['proof/not-included', 'proof/malformed']
  if (place === 'point') return ['certificate/invalid', 'proof/mismatch']
  return ['proof/not-included']
}

/** The fields of a file in the order of its bytes, each with where its value begins and ends. */
function fieldsOf(content: string): { place: string; begin: number; end: number }[] {
  const fields: { place: string; begin: number; end: number }[] = []
  let at = 0
  const visit = (value: unknown, place: string) => {
    if (typeof value === 'object' && value !== null) {
      for (const [name, each] of Object.entries(value)) visit(each, place === '' ? name : `${place}.${name}`)
      return
    }
    const text = JSON.stringify(value)
    const begin = content.indexOf(text, at)
    at = begin + text.length
    const inset = typeof value === 'string' ? 1 : 0
    fields.push({ place, begin: begin + inset, end: at - inset })
  }
  visit(JSON.parse(content), '')
  return fields
}

test('SPEC-181: altered in any byte, a proof fails with the right reason', (t) => {
  const town = makeTown(t)
  town.anchor()
  const proof = town.prove(`gw-1/roof#${town.roof.epoch}/6`)
  const fields = fieldsOf(proof)
  t.true(
    [
      'anchor',
      'entry.content',
      'terms.path',
      'point',
      'record.index',
      'from.text',
      'between.0',
      'certificates.0',
    ].every((name) => fields.some(({ place }) => place === name)),
  )
  const bytes = Buffer.from(proof, 'latin1')
  // PROOF_STEP=1 visits every byte; by default a sample goes through each field.
  const step = Number(process.env['PROOF_STEP'] ?? 53)
  const seen = new Map<string, number>()
  for (let at = 0; at < bytes.length; at += step) {
    const altered = Buffer.from(bytes)
    altered[at] = (altered[at] ?? 0) ^ (1 << (at % 7))
    const report = check(altered.toString('latin1'))
    const fault = report.findings.find(({ ok }) => !ok)
    const { place = 'form' } = fields.find(({ begin, end }) => begin <= at && at < end) ?? {}
    const codes =
      place === 'form' || place === 'wattline' || place === 'v'
        ? ['proof/malformed']
        : [...expectedCodes(place), 'proof/malformed']
    t.true(!report.ok && codes.includes(fault?.code ?? ''), `byte ${at} in ${place}: ${fault?.code} ${fault?.text}`)
    seen.set(fault?.code ?? '', (seen.get(fault?.code ?? '') ?? 0) + 1)
  }
  for (const code of [
    'anchor/invalid',
    'certificate/invalid',
    'record/bad-signature',
    'proof/not-included',
    'proof/malformed',
  ]) {
    t.true((seen.get(code) ?? 0) > 0, code)
  }
})

test('SPEC-181: whole fields of another sound proof do not fit either', (t) => {
  const town = makeTown(t)
  town.anchor()
  const epoch = town.roof.epoch
  const [proof, other, foreign] = [`roof#${epoch}/2`, `roof#${epoch}/3`, `house#${epoch}/2`].map((name) =>
    parseProof(town.prove(`gw-1/${name}`)),
  )
  const codeOf = (change: Partial<ProofFile>, without?: keyof ProofFile) => {
    const { [without ?? 'wattline']: _left, ...rest } = { ...proof!, ...change }
    const report = check(formatProof({ ...rest, wattline: 'proof' } as ProofFile))
    return report.findings.find(({ ok }) => !ok)?.code
  }
  t.is(codeOf({}), undefined)
  t.is(codeOf({ entry: other!.entry! }), 'proof/mismatch')
  t.is(codeOf({ record: other!.record! }), 'proof/mismatch')
  t.is(codeOf({ from: other!.from! }), 'chain/missing')
  t.is(codeOf({ from: other!.record! }), 'chain/missing')
  t.is(codeOf({ terms: foreign!.terms! }), 'proof/mismatch')
  t.is(codeOf({ terms: proof!.entry! }), 'proof/mismatch')
  t.is(codeOf({ certificates: foreign!.certificates! }), 'proof/mismatch')
  t.is(codeOf({ point: 'gw-1/house' }), 'proof/mismatch')
  t.is(codeOf({}, 'from'), 'proof/mismatch')
  t.is(codeOf({}, 'terms'), 'proof/mismatch')
  t.is(codeOf({}, 'record'), 'proof/malformed')
  t.is(codeOf({}, 'point'), 'proof/malformed')
  t.is(codeOf({ record: { ...proof!.record!, index: 10_000 } }), 'proof/not-included')
})
