import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, cpSync, mkdirSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseOcmfText, verifyRange } from '@wattline/protocol'
import test from 'ava'
import {
  HandClock,
  makeTempFolder,
  openRig,
  type RigOptions,
  type SigningRig,
  type Teardown,
} from '../../test/signing-rig.ts'

const sh = (command: string) => execFileSync('/bin/sh', ['-c', command])

/** Opens, signs some records and closes. */
function session(options: RigOptions, records = 3): { reason: string | undefined; epochs: readonly number[] } {
  const rig = openRig(options)
  const signed = Array.from({ length: records }, (_, n) => rig.sign(1_000 + n))
  rig.close()
  return { reason: rig.session.newEpochReason, epochs: signed.map(({ epoch }) => epoch) }
}

function start(teardown: Teardown) {
  const folder = makeTempFolder(teardown)
  const options = { dataDir: join(folder, 'data'), clock: new HandClock() }
  return { folder, options, dataDir: options.dataDir, backup: join(folder, 'backup') }
}

/** The whole chain verifies, whatever epochs it has. */
function isWhole(rig: SigningRig): boolean {
  const key = rig.setups[0]?.signer.publicKey
  return verifyRange(rig.texts(), { pointText: 'gw-1 roof', keyOf: () => key, firstSequence: 1 }).ok
}

test('SPEC-32: a start after a clean stop goes on in the same epoch', (t) => {
  const { options } = start(t.teardown)
  const first = session(options)
  const second = session(options)
  t.is(second.reason, undefined)
  t.deepEqual(new Set([...first.epochs, ...second.epochs]).size, 1)
})

test('SPEC-32: a machine that was started anew opens a new epoch, and the chain goes on', (t) => {
  const { options } = start(t.teardown)
  const first = session(options)
  const rig = openRig({ ...options, bootId: 'boot-2' })
  t.teardown(() => rig.close())
  t.regex(rig.session.newEpochReason ?? '', /started anew/)
  const record = rig.sign(2_000)
  t.true(record.epoch > (first.epochs[0] ?? 0))
  t.is(record.sequence, 4)
  t.true(isWhole(rig))
})

test('SPEC-32: a machine that cannot name its run opens a new epoch at each start', (t) => {
  const { options } = start(t.teardown)
  session({ ...options, bootId: '' })
  t.not(session({ ...options, bootId: '' }).reason, undefined)
})

const copies: Record<string, (from: string, to: string) => void> = {
  'cp -a': (from, to) => sh(`rm -rf ${to} && cp -a ${from} ${to}`),
  'cp -r': (from, to) => sh(`rm -rf ${to} && cp -r ${from} ${to}`),
  'cp -a over it': (from, to) => sh(`mkdir -p ${to} && cp -a ${from}/. ${to}/`),
  tar: (from, to) => sh(`rm -rf ${to} && mkdir ${to} && tar -C ${from} -cf - . | tar -C ${to} -xpf -`),
  'tar over it': (from, to) => sh(`mkdir -p ${to} && tar -C ${from} -cf - . | tar -C ${to} -xpf -`),
}

for (const [how, copy] of Object.entries(copies)) {
  test(`SPEC-32: a folder restored with ${how} opens a new epoch`, (t) => {
    const { options, dataDir, backup } = start(t.teardown)
    session(options)
    copy(dataDir, backup)
    session(options)
    copy(backup, dataDir)
    const rig = openRig(options)
    t.teardown(() => rig.close())
    t.not(rig.session.newEpochReason, undefined)
    t.is(rig.sign(5_000).sequence, 4, 'it goes on from what it remembers')
    t.true(isWhole(rig))
  })

  test(`SPEC-32: a folder copied with ${how} while the gateway runs, and restored in the same session, opens a new epoch`, (t) => {
    const { options, dataDir, backup } = start(t.teardown)
    const rig = openRig(options)
    rig.sign(1_000)
    copy(dataDir, backup)
    rig.sign(1_001)
    rig.close()
    copy(backup, dataDir)
    t.not(session(options).reason, undefined)
  })
}

test('SPEC-32: a copy that is run beside the original signs in another epoch, and the original goes on', (t) => {
  const { options, folder, dataDir } = start(t.teardown)
  const first = session(options)
  sh(`cp -a ${dataDir} ${folder}/twin`)
  const twin = session({ ...options, dataDir: join(folder, 'twin') })
  const original = session(options)
  t.not(twin.reason, undefined)
  t.is(original.reason, undefined)
  t.is(original.epochs[0], first.epochs[0])
  t.not(twin.epochs[0], original.epochs[0])
})

test('a folder that is only moved is still the same', (t) => {
  const { options, folder, dataDir } = start(t.teardown)
  session(options)
  renameSync(dataDir, join(folder, 'moved'))
  t.is(session({ ...options, dataDir: join(folder, 'moved') }).reason, undefined)
})

const databaseFiles = (folder: string, withLog: boolean) =>
  readdirSync(folder).filter((name) => name === 'gateway.db' || (withLog && name.startsWith('gateway.db-')))

for (const withLog of [true, false]) {
  const which = withLog ? 'with its log' : 'without its log'
  test(`SPEC-32: the database alone, restored ${which} from an earlier session, opens a new epoch`, (t) => {
    const { options, dataDir, backup } = start(t.teardown)
    session(options)
    cpSync(dataDir, backup, { recursive: true })
    session(options)
    for (const name of databaseFiles(backup, withLog)) cpSync(join(backup, name), join(dataDir, name))
    t.not(session(options).reason, undefined)
  })

  test(`SPEC-32: the database alone, restored ${which} from earlier in the same session, opens a new epoch`, (t) => {
    const { options, dataDir, backup } = start(t.teardown)
    const rig = openRig(options)
    rig.sign(1_000)
    rig.session.store.db.pragma('wal_checkpoint(TRUNCATE)')
    rig.sign(1_001)
    cpSync(dataDir, backup, { recursive: true })
    const last = rig.sign(1_002)
    rig.close()
    for (const name of databaseFiles(dataDir, true)) rmSync(join(dataDir, name))
    for (const name of databaseFiles(backup, withLog)) cpSync(join(backup, name), join(dataDir, name))
    const restored = openRig(options)
    t.teardown(() => restored.close())
    t.not(restored.session.newEpochReason, undefined)
    const next = restored.sign(9_000)
    t.true(next.sequence <= last.sequence, 'numbers come again')
    t.not(next.epoch, last.epoch, 'in another epoch')
  })
}

test('SPEC-32: the same backup restored twice gives two epochs, even when the clock stands still or runs back', (t) => {
  const { options, dataDir, backup } = start(t.teardown)
  session(options)
  sh(`cp -a ${dataDir} ${backup}`)
  const epochs = [0, 0, -3_600_000].map((step) => {
    options.clock.nowMs += step
    for (const name of databaseFiles(dataDir, true)) rmSync(join(dataDir, name))
    for (const name of databaseFiles(backup, true)) cpSync(join(backup, name), join(dataDir, name))
    return session({ ...options, bootId: 'boot-1' }).epochs[0] ?? 0
  })
  t.is(new Set(epochs).size, 3)
  t.deepEqual(epochs, epochs.toSorted())
})

const disturbances: Record<string, (dataDir: string) => void> = {
  'the marker is gone': (dir) => rmSync(join(dir, 'lineage')),
  'the witness is gone': (dir) => rmSync(join(dir, 'witness')),
  'the witness is torn': (dir) => writeFileSync(join(dir, 'witness'), '12'),
  'the marker says something else': (dir) => writeFileSync(join(dir, 'lineage'), 'x'),
  "the marker's times were set": (dir) => utimesSync(join(dir, 'lineage'), 1, 1),
  "the marker's mode was set": (dir) => chmodSync(join(dir, 'lineage'), 0o600),
}
for (const [what, disturb] of Object.entries(disturbances)) {
  test(`SPEC-32: a new epoch is opened where ${what}`, (t) => {
    const { options, dataDir } = start(t.teardown)
    session(options)
    disturb(dataDir)
    t.not(session(options).reason, undefined)
    t.is(session(options).reason, undefined, 'once')
  })
}

test('killed between marker and database: at worst one needless epoch, and never the same one twice', (t) => {
  const { options, folder, dataDir } = start(t.teardown)
  session(options)
  // What a kill at that place leaves: the files of the new session, the database of the old one.
  mkdirSync(join(folder, 'before'))
  for (const name of databaseFiles(dataDir, true)) cpSync(join(dataDir, name), join(folder, 'before', name))
  openRig(options).close()
  for (const name of databaseFiles(dataDir, true)) rmSync(join(dataDir, name))
  for (const name of readdirSync(join(folder, 'before'))) cpSync(join(folder, 'before', name), join(dataDir, name))
  t.not(session(options).reason, undefined)
  t.is(session(options).reason, undefined)
})

test('kill -9 at any moment and a start in the same run of the machine go on in the same epoch', async (t) => {
  t.timeout(120_000)
  const { dataDir } = start(t.teardown)
  const script = fileURLToPath(new URL('../../test/killable-rig.ts', import.meta.url))
  const seen: string[] = []
  for (let round = 0; round < 6; round++) {
    const child = spawn(process.execPath, [script, dataDir, '1'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const lines = createInterface({ input: child.stdout })
    const wanted = seen.length + 5 + round * 3
    for await (const line of lines) {
      if (line.startsWith('open')) t.is(line, 'open ')
      else seen.push(line)
      if (seen.length === wanted) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  t.is(new Set(seen.map((line) => line.split(' ')[0])).size, 1)
  t.is(new Set(seen).size, seen.length, 'no number was given twice')
  const rig = openRig({ dataDir })
  t.teardown(() => rig.close())
  t.true(isWhole(rig))
  // Whatever had left the process is still there: a commit is durable before it is told.
  const stored = new Set(rig.texts().map((text) => parseOcmfText(text).record.sequence))
  t.true(seen.every((line) => stored.has(Number(line.split(' ')[1]))))
})
