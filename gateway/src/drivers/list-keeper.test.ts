import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatPublicKey, makeSigner } from '@wattline/protocol'
import test from 'ava'
import { KeptLog } from '../../test/csms-rig.ts'
import { driverFile, listSigner } from '../../test/drivers-rig.ts'
import { HandClock, makeTempFolder } from '../../test/signing-rig.ts'
import { openStore } from '../store/database.ts'
import { ListKeeper } from './list-keeper.ts'
import { signList } from './list-maker.ts'
import { applyOfflineRule } from './offline-rule.ts'

function rig(teardown: (action: () => void) => void) {
  const dataDir = makeTempFolder(teardown)
  const listFile = join(dataDir, 'drivers.list')
  const store = openStore(dataDir)
  teardown(() => store.close())
  const clock = new HandClock()
  const log = new KeptLog()
  const open = (signer = listSigner) =>
    new ListKeeper({ listFile, listKey: formatPublicKey(signer.publicKey), store, clock, log })
  const sign = (file = driverFile, nowMs = clock.nowMs, signer = listSigner) =>
    signList(file, signer, { path: listFile, nowMs, cost: 10 })
  const events = () => log.lines.map(({ event }) => event)
  return { dataDir, listFile, store, clock, log, open, sign, events }
}

test('SPEC-141: what the list says of each token', (t) => {
  const { open, sign, clock } = rig(t.teardown)
  sign()
  const keeper = open()
  const family = { groupIdToken: 'family', group: 'family' }
  const cases = [
    ['04AA11BB', { status: 'Accepted', driver: 'anna', ...family }],
    [' 04aa11bB ', { status: 'Accepted', driver: 'anna', ...family }],
    ['KID1', { status: 'Accepted', ...family }],
    ['WORKER', { status: 'Accepted', driver: 'company', groupIdToken: 'staff', group: 'staff' }],
    ['LOST', { status: 'Blocked' }],
    ['OLD', { status: 'Expired' }],
    ['PASTGROUP', { status: 'Expired' }],
    ['LATER', { status: 'Accepted', driver: 'lena', expiryDate: '2030-06-01T00:00:00.000Z' }],
    ['04AA11B', { status: 'Invalid' }],
    ['', { status: 'Invalid' }],
  ] as const
  for (const [token, answer] of cases) t.deepEqual(keeper.find(token), answer, token)
  t.is(keeper.find('CARDONLY').status, 'Accepted', 'OCPP 1.6 tells no type')
  t.is(keeper.find('CARDONLY', 'iso14443').status, 'Accepted')
  t.is(keeper.find('CARDONLY', 'KeyCode').status, 'Invalid', 'typed, not shown')
  t.deepEqual(
    ['anna', 'company', 'otto', 'paul', 'eve'].map((driver) => keeper.findDriver(driver).status),
    ['Accepted', 'Accepted', 'Invalid', 'Invalid', 'Invalid'],
  )
  clock.nowMs = Date.parse('2030-06-01T00:00:00Z')
  t.is(keeper.find('LATER').status, 'Expired')
})

test('the list holds no token, and another list has other hashes', (t) => {
  const { sign, listFile } = rig(t.teardown)
  const first = sign()
  const text = readFileSync(listFile, 'utf8')
  for (const { token } of driverFile.drivers) t.false(text.includes(token), token)
  const second = sign()
  t.true(second.serial > first.serial, 'newer, though no time has passed')
  const hashes = new Set([...first.drivers, ...second.drivers].map(({ hash }) => hash))
  t.is(hashes.size, 2 * driverFile.drivers.length)
})

test('SPEC-141: a list that is garbled, older, or signed by another changes nothing; the last good one stays, also over restarts', (t) => {
  const { open, sign, listFile, clock, events, log } = rig(t.teardown)
  sign()
  const good = readFileSync(listFile, 'utf8')
  clock.nowMs += 1000
  const onlyBob = { ...driverFile, drivers: driverFile.drivers.filter(({ driver }) => driver === 'bob') }
  sign(onlyBob)
  const newer = readFileSync(listFile, 'utf8')
  const keeper = open()
  const otherKey = makeSigner(new Uint8Array(32).fill(5))
  rmSync(listFile)
  sign(driverFile, clock.nowMs + 5000, otherKey)
  const foreign = readFileSync(listFile, 'utf8')
  const wrong = {
    older: good,
    foreign,
    garbled: newer.replace('"v":1', '"v":2'),
    cut: newer.slice(0, newer.length / 2),
    empty: '',
    changed: newer.replace(/"hash":"./, '"hash":"x'),
  }
  for (const [what, text] of Object.entries(wrong)) {
    writeFileSync(listFile, text)
    t.false(keeper.look(), what)
    t.is(events().at(-1), 'drivers.list.refused', what)
    for (const one of [keeper, open()]) {
      t.is(one.find('BOB12345').status, 'Accepted', what)
      t.is(one.find('04AA11BB').status, 'Invalid', what)
    }
  }
  rmSync(listFile)
  t.is(open().find('BOB12345').status, 'Accepted', 'no file at all')
  t.false(JSON.stringify(log.lines).includes('BOB12345'))
  const told = log.lines.length
  t.false(open().look())
  t.is(log.lines.length, told + 1, 'what has not changed is not told again')
})

test('a newer list comes into force without a restart; another key makes the old list worthless', (t) => {
  const { open, sign, listFile } = rig(t.teardown)
  const keeper = open()
  t.is(keeper.find('BOB12345').status, 'Invalid', 'no list yet')
  sign()
  t.true(keeper.look())
  t.false(keeper.look())
  t.is(keeper.find('BOB12345').status, 'Accepted')
  sign({ ...driverFile, drivers: [{ token: 'BOB12345', blocked: true }] })
  t.true(keeper.look())
  t.is(keeper.find('BOB12345').status, 'Blocked')
  const otherKey = makeSigner(new Uint8Array(32).fill(5))
  t.is(open(otherKey).find('BOB12345').status, 'Invalid')
  rmSync(listFile)
  sign(driverFile, 1, otherKey)
  t.is(open(otherKey).find('BOB12345').status, 'Accepted', 'the first list of a new key, whatever its serial')
})

test('what may be done while the ledger is out of reach, by rule', (t) => {
  const { open, sign } = rig(t.teardown)
  sign()
  const keeper = open()
  const rules = {
    list: ['Accepted', 'Accepted', 'Blocked', 'Expired', 'Invalid'],
    groups: ['Blocked', 'Accepted', 'Blocked', 'Expired', 'Invalid'],
    nobody: ['Blocked', 'Blocked', 'Blocked', 'Expired', 'Invalid'],
    anyone: ['Accepted', 'Accepted', 'Blocked', 'Expired', 'Accepted'],
  } as const
  for (const [whenOffline, expected] of Object.entries(rules)) {
    const rule = { whenOffline: whenOffline as keyof typeof rules, offlineGroups: ['Staff'] }
    const found = ['BOB12345', 'WORKER', 'LOST', 'OLD', 'XYZ'].map((token) =>
      applyOfflineRule(keeper.find(token), rule),
    )
    t.deepEqual(
      found.map(({ status }) => status),
      [...expected],
      whenOffline,
    )
    t.is(found.at(-1)?.driver, undefined, 'nobody pays for a stranger but the owner')
  }
})
