import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, type PublicKey, parseOcmfText, signRecord } from '@wattline/protocol'
import test from 'ava'
import { runVerify } from '../test/programs.ts'
import { Device, fastVerifier, tempDir, testSigner } from '../test/rig.ts'
import { type KnownKeys, verifyFile } from './verify-file.ts'

function makeRoof(count = 6): Device {
  const roof = new Device({ meter: 'roof', role: 'producer' })
  for (let n = 0; n < count; n++) roof.read({ export: BigInt(1000 + 10 * n) })
  return roof
}

const noKeys: KnownKeys = { byMeter: new Map() }

function check(lines: readonly string[], keys: KnownKeys = noKeys) {
  return verifyFile(lines.join('\n'), keys, fastVerifier)
}

function byMeter(device: Device): KnownKeys {
  return { byMeter: new Map<string, PublicKey>([[device.id.split('/')[1] ?? '', device.signer.publicKey]]) }
}

test('a complete export is proven, with the key of its certificate, of a list, or a given one', (t) => {
  const roof = makeRoof()
  const [finding, ...more] = check([roof.certificate.text, ...roof.texts, ''])
  t.deepEqual(more, [])
  t.true(finding?.ok)
  t.is(finding?.subject, 'gw-1 roof')
  t.regex(
    finding?.text ?? '',
    /^complete from 1 to 6: 6 records, it begins at its certificate, signed by the key of the certificate in the file, \.\.\.[0-9A-F]{16}; export register from 1\.000 to 1\.050 kWh$/,
  )
  t.true(check(roof.texts, byMeter(roof))[0]?.ok)
  t.regex(check(roof.texts, byMeter(roof))[0]?.text ?? '', /signed by the given key/)
  t.true(check(roof.texts, { ...noKeys, any: formatPublicKey(roof.signer.publicKey) })[0]?.ok)
  t.regex(
    check(roof.texts.slice(2), byMeter(roof))[0]?.text ?? '',
    /^complete from 3 to 6: .*what came before 3 is not in the file/,
  )
})

test('SPEC-95: an export over a change of keys is proven to whoever knows one of them', (t) => {
  const roof = makeRoof(3)
  const old = byMeter(roof)
  const documents = [roof.certificate.text, ...roof.rotate(9300)]
  const early = [...roof.texts]
  for (let n = 0; n < 3; n++) roof.read({ export: BigInt(2000 + n) })
  const whole = [...documents, ...roof.texts]
  for (const keys of [old, byMeter(roof), noKeys]) {
    const [finding] = check(whole, keys)
    t.true(finding?.ok, finding?.text)
    t.regex(finding?.text ?? '', /^complete from 1 to 6/)
  }
  // Anybody can make a key, and let it name the known one: only a record of the known one vouches for those before.
  t.regex(check([...documents, ...early], byMeter(roof))[0]?.text ?? '', /nothing proven: the last is signed by/)
  t.true(check([...documents, ...early], old)[0]?.ok)
  const { text } = signRecord(parseOcmfText(roof.texts.at(-1)!).record, testSigner(9301))
  t.false(check([...whole.slice(0, -1), text], old)[0]?.ok)
  t.false(check(roof.texts, old)[0]?.ok, 'without the words of the old one')
})

test('SPEC-95: what a key has signed after it had gone is refused', (t) => {
  const roof = makeRoof(3)
  const [known, stolen, first] = [byMeter(roof), roof.signer, roof.certificate.text]
  const words = roof.rotate(9310)
  roof.signer = stolen
  roof.read({ export: 9999n })
  t.false(check([first, ...words, ...roof.texts], known)[0]?.ok)
  t.true(check([first, ...roof.texts], known)[0]?.ok, 'nothing in the file says that it had gone')
})

test('without a key nothing is proven, and one that cannot be read is told as it was given', (t) => {
  t.throws(() => check(makeRoof().texts, { ...noKeys, any: 'zz' }), {
    code: 'key/unreadable',
    message: /^--key: .* got 'zz'$/,
  })
  t.regex(check(makeRoof().texts)[0]?.text ?? '', /nothing proven: no key/)
})

test('several points in one file are told apart', (t) => {
  const roof = makeRoof()
  const house = new Device({ meter: 'house', role: 'consumer' })
  house.read({ import: 1n })
  house.read({ import: 2n })
  const mixed = [
    roof.certificate.text,
    house.certificate.text,
    ...roof.texts.slice(0, 3),
    ...house.texts,
    ...roof.texts.slice(3),
  ]
  t.deepEqual(
    check(mixed).map(({ subject, ok }) => [subject, ok]),
    [
      ['gw-1 roof', true],
      ['gw-1 house', true],
    ],
  )
})

const faults: readonly (readonly [name: string, edit: (texts: string[]) => string[], expected: RegExp])[] = [
  ['a missing record', (texts) => texts.toSpliced(2, 1), /line 4, where record 3 is expected: .*chain\/missing/],
  ['a missing first record', (texts) => texts.slice(1), /begins|what came before 2/],
  [
    'swapped records',
    (texts) => [...texts.slice(0, 2), texts[3]!, texts[2]!, ...texts.slice(4)],
    /line 4, .*chain\/reordered/,
  ],
  ['a doubled record', (texts) => texts.toSpliced(3, 0, texts[2]!), /line 5, .*chain\/duplicate/],
  ['a flipped digit', (texts) => texts.with(2, texts[2]!.replace('1.020', '1.021')), /line 4, .*record\/bad-signature/],
  ['a damaged text', (texts) => texts.with(2, texts[2]!.replace('"FV"', '"fv"')), /line 4, .*record\/malformed/],
]
for (const [name, edit, expected] of faults) {
  test(`${name} is found, with its line`, (t) => {
    const roof = makeRoof()
    const findings = check([roof.certificate.text, ...edit([...roof.texts])])
    t.regex(findings.map(({ text }) => text).join('\n'), expected)
  })
}

test('a chain that does not begin at the certificate in the file is found', (t) => {
  const roof = makeRoof()
  const other = new Device({ meter: 'roof', role: 'producer', owner: 'else', key: 31 })
  const own = new Device({ meter: 'roof', role: 'producer', key: 31 })
  own.read({ export: 1n })
  t.false(check([other.certificate.text, ...own.texts])[0]?.ok)
  t.false(check([other.certificate.text, ...roof.texts])[0]?.ok, 'another key')
})

test('SPEC-36: equivocation across lines is told', (t) => {
  const roof = makeRoof(3)
  const { record } = parseOcmfText(roof.texts[1]!)
  const lie = signRecord({ ...record, registers: { export: 9000n } }, roof.signer).text
  const findings = check([roof.certificate.text, ...roof.texts, lie])
  t.true(
    findings.some(
      ({ ok, text }) => !ok && /signed two different records .*: lines 3 and 5 \(record\/equivocation\)/.test(text),
    ),
  )
})

test('a key that is known by the name of another meter proves nothing', (t) => {
  const roof = makeRoof()
  const keys = { byMeter: new Map([['house', roof.signer.publicKey]]) }
  t.false(check(roof.texts, keys)[0]?.ok)
})

test('a new epoch and a new certificate of the same point are followed', (t) => {
  const roof = makeRoof(3)
  roof.restore()
  roof.read({ export: 2000n })
  t.regex(check([roof.certificate.text, ...roof.texts])[0]?.text ?? '', /^complete from 1 to 4/)
})

const published = new URL('../../../shared/vectors/ocmf-public.json', import.meta.url)

test('the program says what is proven and ends with 0, 1, 64 or 65', async (t) => {
  const folder = tempDir(t)
  const write = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const roof = makeRoof()
  const keys = write('keys', `roof ${formatPublicKey(roof.signer.publicKey)}\n`)
  const good = await runVerify([write('good', `${roof.texts.join('\n')}\n`), '--keys', keys])
  t.deepEqual([good.code, good.stdout.slice(0, 42)], [0, 'proven  gw-1 roof: complete from 1 to 6: 6'], good.stderr)
  const bad = await runVerify([write('bad', `${roof.texts.toSpliced(1, 1).join('\n')}\n`), '--keys', keys])
  t.is(bad.code, 1)
  t.regex(bad.stdout, /^FAULT {3}gw-1 roof: not complete: line 2/)
  t.is((await runVerify([])).code, 64)
  t.is((await runVerify([join(folder, 'good'), '--key', 'nonsense'])).code, 64)
  t.is((await runVerify([join(folder, 'nowhere')])).code, 65)
  t.is((await runVerify([write('empty', '\n')])).code, 65)
  if (!existsSync(published)) return
  const { records } = JSON.parse(readFileSync(published, 'utf8')) as {
    records: { record: string; publicKey: string; verdict: string }[]
  }
  const valid = records.find(({ verdict, record }) => verdict === 'valid' && !record.includes('\n'))!
  const foreign = await runVerify([write('foreign', valid.record), '--key', valid.publicKey])
  t.is(foreign.code, 0, foreign.stdout + foreign.stderr)
  t.regex(foreign.stdout, /another maker is valid/)
  const damaged = write('damaged', valid.record.replace('"FV"', '"FX"'))
  t.is((await runVerify([damaged, '--key', valid.publicKey])).code, 1)
})
