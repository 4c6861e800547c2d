import test from 'ava'
import { hashText } from './bytes.ts'
import { type ForeignVerifier, findForeignFlaw, foreignMeterOf, verifyForeignOcmf } from './foreign-ocmf.ts'

const spki = '3059301306072A8648CE3D020106082A8648CE3D030107034200'
/** Says what it is told to: the curves themselves are tested where they are known. */
const fake = (fits: boolean | undefined, curve: string | undefined = 'prime256v1'): ForeignVerifier => ({
  curveOf: () => curve,
  verify: () => fits,
})
const check = (text: string, key = spki, verifier = fake(true)) => {
  const verdict = verifyForeignOcmf(text, key, verifier)
  return verdict.verdict === 'valid' ? verdict.curve : verdict.reason
}

test('a record is as valid as its signature, its key and its curve', (t) => {
  const text = 'OCMF|{"MS":"a|b"}|{"SD":"3006020101020101"}'
  t.is(check(text), 'prime256v1')
  t.is(check(text, spki.replace(/(.{10})/g, '$1 \n')), 'prime256v1')
  t.is(check(text.replace('3006020101020101', 'MAYCAQECAQE=').replace('"SD"', '"SE":"base64","SD"')), 'prime256v1')
  t.is(check(text, Buffer.from(spki, 'hex').toString('base64')), 'prime256v1')
  t.is(check(text, spki, fake(false)), 'the signature does not fit the payload and the key')
  t.is(check(text, spki, fake(undefined)), 'the signature cannot be evaluated')
  t.is(check(text, spki, { ...fake(true), curveOf: () => undefined }), 'the public key is no SPKI in hex or base64')
  for (const key of ['', 'z', '§']) t.is(check(text, key), 'the public key is no SPKI in hex or base64')
  t.regex(check(text.replace('"SD"', '"SA":"ECDSA-secp384r1-SHA256","SD"')), /^the key is on prime256v1/)
})

test('what no key can make true is found without one', (t) => {
  const flaws: Readonly<Record<string, RegExp>> = {
    '': /three sections/,
    'OCMF|{}': /three sections/,
    'OCMF|{}|nonsense': /signature section is no JSON/,
    'OCMF|{}|7': /signature section is no JSON/,
    'OCMF|{}|{"SA":"RSA"}': /SA: unknown algorithm "RSA"/,
    'OCMF|{}|{"SA":7}': /SA: unknown algorithm 7/,
    'OCMF|{}|{"SD":"xyz"}': /SD: a DER signature/,
    'OCMF|{}|{"SD":7}': /SD: a DER signature/,
    'OCMF|{}|{"SD":""}': /SD: a DER signature/,
    'OCMF|{}|{"SD":"00","SE":"base85"}': /SD: a DER signature/,
    'OCMF|{}|{"SD":"00","SM":"text/plain"}': /SM: application\/x-der/,
    'OCMF|[]|{"SD":"00"}': /payload is no JSON object/,
    [`OCMF|{}|{"SD":"${hashText('{}')}"}`]: /bare hash/,
    [`OCMF|{}|{"SD":"${hashText('OCMF|{}')}"}`]: /bare hash/,
  }
  for (const [text, flaw] of Object.entries(flaws)) {
    t.regex(findForeignFlaw(text) ?? 'none', flaw, text)
    t.regex(check(text), flaw)
  }
  t.is(findForeignFlaw(`OCMF|{}|{"SD":"${hashText('other')}"}`), undefined)
  t.is(findForeignFlaw(`OCMF|{"é":1}|{"SD":"${hashText('other')}"}`), undefined)
})

test('a record names the meter that signed it, or the gateway in its place', (t) => {
  t.is(foreignMeterOf('OCMF|{"MS":"4711","GS":"1"}|{}'), '4711')
  t.is(foreignMeterOf('OCMF|{"MS":"","GS":"1"}|{}'), '1')
  for (const text of ['', 'OCMF|7|{}', 'OCMF|{"MS":7}|{}', 'OCMF|x|{}']) t.is(foreignMeterOf(text), '')
})
