import {
  formatPublicKey,
  isEquivocation,
  type PublicKey,
  parseOcmfText,
  type Signer,
  signRecord,
} from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import * as v from 'valibot'
import { keyAt, readKeys } from '../src/demo/key-history.ts'
import { readLedger } from '../src/demo/ledger-books.ts'
import { freePorts, runJson } from '../src/demo/programs.ts'
import { drain, makeReport } from '../src/demo/report.ts'
import { judges } from './judges.ts'
import { type KeyAuthority, type KeyPlace, OperatorAuthority, OwnerAuthority, printPapers } from './key-authority.ts'
import { certificatesOf, publishAsThief, readDeviceKey, rotateKey, rotateUnderFire } from './key-rotation.ts'
import { Line, makeTestFolder } from './line.ts'
import { Mosquitto } from './mosquitto.ts'

interface Comeback {
  readonly enrolment: 'open' | 'signed'
  readonly authorityOf: (line: Line) => KeyAuthority
}

const meters = ['house', 'roof', 'battery'] as const

async function comeBack(t: ExecutionContext, { enrolment, authorityOf }: Comeback): Promise<void> {
  t.timeout(170_000)
  const seed = Date.now() % 1_000_000
  t.log(`seed ${seed}`)
  const line = await Line.start(t, { enrolment })
  const authority = authorityOf(line)
  if (enrolment === 'signed') {
    const papers = await printPapers(line)
    for (const meter of meters) t.is(await authority.admit(meter, papers), 'done')
  }
  await line.more(2)
  const [old, before] = [readDeviceKey(line, 'roof'), await line.receiptOf('roof')]
  await rotateUnderFire({ line, meter: 'roof', rotations: 1, seed })
  await line.until(({ points }) => points.some(({ receipt }) => (receipt?.epoch ?? 0) > before.epoch))
  // The roof's key was copied; the battery's is withdrawn while records of it flow.
  const [first = ''] = await line.exported('roof')
  const lie = signRecord({ ...parseOcmfText(first).record, registers: { export: 7n } }, old).text
  t.true(isEquivocation({ publicKey: old.publicKey, first, second: lie }))
  t.is(await publishAsThief(line, 'roof', lie), 'record/equivocation')
  t.is(await authority.revoke('battery', await line.receiptOf('battery')), 'done')
  const stopped = (wanted: string) =>
    line.ledger.event(({ event, code }) => event === 'message.quarantined' && code === wanted)
  await Promise.all(['point/frozen', 'point/revoked'].map(stopped))
  const [frozen, house] = [await line.receiptOf('roof'), await line.receiptOf('house')]
  await line.until(({ points }) => points.some(({ receipt }) => (receipt?.sequence ?? 0) > house.sequence + 3))
  t.is((await line.receiptOf('roof')).sequence, frozen.sequence, 'it stands while another goes on')
  await line.gateway.stop()
  for (const meter of ['roof', 'battery']) await rotateKey(line, meter)
  const papers = await printPapers(line)
  if (enrolment === 'signed') {
    t.is(await new OperatorAuthority(line).admit('roof', papers), 'order/unsigned')
    t.is(await new OwnerAuthority(line, 8).admit('roof', papers), 'order/wrong-key')
  }
  for (const meter of ['roof', 'battery']) t.is(await authority.admit(meter, papers), 'done')
  await line.startGateway()
  await line.more(2)
  await line.gateway.stop()
  await drain(line.house, 60)
  const texts = await line.exported('roof')
  await checkKept(t, line, { texts, frozen })
  await judgeByEpoch(t, line, texts)
  t.deepEqual(await forge(line, texts, old), ['record/bad-signature', 'point/revoked'])
  const { balances, audit } = await readLedger(line.house.ledgerConfig)
  t.deepEqual(audit.faults, [])
  t.true(balances.balanced)
  const roof = balances.points.find(({ point }) => point === 'gw-1/roof')!
  t.is(roof.mintedWh, registerOf(texts.at(-1)!) - registerOf(first))
}

const title = 'a key goes while everything is killed, a frozen and a revoked point come back; every Wh is counted once'

test.serial(`SPEC-36, SPEC-93 to SPEC-95: ${title}, by the owner's signature and by nobody else's`, (t) =>
  comeBack(t, { enrolment: 'signed', authorityOf: (line) => new OwnerAuthority(line, 7) }),
)

const registerOf = (text: string) => parseOcmfText(text).record.registers.export ?? 0n

// `make soak` says how often.
const rotations = Number(process.env['ROTATIONS'] ?? 0)
if (rotations > 0) {
  test.serial(`SPEC-36, SPEC-95: ${title}, by the operator's word`, (t) =>
    comeBack(t, { enrolment: 'open', authorityOf: (line) => new OperatorAuthority(line) }),
  )

  test.serial('SPEC-95: keys go and come, whatever is killed around it, and the whole house balances', async (t) => {
    t.timeout(120_000 + rotations * 60_000)
    const seed = Date.now() % 1_000_000
    t.log(`seed ${seed}`)
    const [mqtt = 0] = await freePorts(1)
    const broker = new Mosquitto(makeTestFolder(t), mqtt)
    await broker.start()
    t.teardown(() => broker.kill())
    const line = await Line.start(t, { brokerUrl: broker.url })
    await line.more(2)
    await t.throwsAsync(rotateKey(line, 'roof'), { message: /ended with 75: .*in use/ }, 'the gateway runs')
    await rotateUnderFire({ line, meter: 'roof', rotations, seed })
    // Nothing flows any more, and each meter is read some more times: then the tree's books close exactly.
    line.sim.signal('SIGHUP')
    await line.more(3)
    await line.gateway.stop()
    await drain(line.house, 60)
    t.deepEqual((await makeReport(line.house)).problems, [])
  })
}

const keptSchema = v.object({
  records: v.array(v.object({ epoch: v.number(), sequence: v.number(), hash: v.string() })),
})
type Kept = v.InferOutput<typeof keptSchema>['records'][number]
const showRecord = ({ epoch, sequence, hash }: Kept) => `${epoch}/${sequence} ${hash.slice(0, 8)}`

/**
 * All that the gateway has signed is at the ledger, in its order and once; but for what came between the last record
 * before the freeze and the first that counts again, which is given up: the next register tells that energy too.
 */
async function checkKept(
  t: ExecutionContext,
  { house }: Line,
  { texts, frozen }: { readonly texts: readonly string[]; readonly frozen: KeyPlace },
): Promise<void> {
  const args = ['records', '--config', house.ledgerConfig, '--json', '--point', 'gw-1/roof']
  const { records } = v.parse(keptSchema, await runJson('ledger', args))
  const signed = texts
    .map((text) => parseOcmfText(text))
    .map(({ record, hash }) => ({ ...record, hash }))
    .toSorted((a, b) => a.epoch - b.epoch || a.sequence - b.sequence)
  const kept = new Set(records.map(({ hash }) => hash))
  const last = signed.findIndex(({ epoch, sequence }) => epoch === frozen.epoch && sequence === frozen.sequence)
  const next = signed.findIndex(({ hash }, at) => at > last && kept.has(hash))
  t.true(last >= 0 && next > last + 1)
  t.deepEqual(records.map(showRecord), [...signed.slice(0, last + 1), ...signed.slice(next)].map(showRecord))
}

/** What others say of the last record of each epoch: good by the key of its time, and by no other. */
async function judgeByEpoch(t: ExecutionContext, line: Line, texts: readonly string[]): Promise<void> {
  const keys = readKeys((await certificatesOf(line)).split('\n')).get('gw-1/roof')!
  const lasts = [...Map.groupBy(texts, (text) => parseOcmfText(text).record.epoch).values()].map((own) => own.at(-1)!)
  t.true(lasts.length > 1 && keys.keys.length > 1)
  const spki = (key: PublicKey) => formatPublicKey(key)
  const exhibits = lasts.flatMap((text) => keys.keys.map(({ key }) => ({ text, key: spki(key) })))
  const right = lasts.flatMap((text) => {
    const own = spki(keyAt(keys, parseOcmfText(text).record.epoch)!)
    return keys.keys.map(({ key }) => spki(key) === own)
  })
  const roadLabs = judges.find(({ name }) => name === '@road-labs/ocmf')!
  t.deepEqual(await roadLabs.judge(exhibits), right)
}

/** Signs on with a key that has gone: in an epoch of its own after the head, and in its old one after its last record. */
async function forge(line: Line, texts: readonly string[], old: Signer): Promise<string[]> {
  const parsed = texts.map(parseOcmfText)
  const head = parsed.at(-1)!
  const last = parsed.findLast(({ record }) => record.epoch === parsed[0]!.record.epoch)!
  const lies = [head, last].map(({ record, hash: previousHash }, at) => {
    const { sequence, pageNumber, registers } = record
    const next = { ...record, previousHash, sequence: sequence + 1, pageNumber: pageNumber + 1 }
    const more = { export: (registers.export ?? 0n) + 1000n }
    return signRecord({ ...next, registers: more, ...(at === 0 ? { epoch: record.epoch + 1 } : {}) }, old).text
  })
  const codes: string[] = []
  for (const lie of lies) codes.push(await publishAsThief(line, 'roof', lie))
  return codes
}
