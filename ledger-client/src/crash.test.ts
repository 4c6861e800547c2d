import { copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { connectGateway, type GatewayClient } from '../test/gateway-client.ts'
import { freePort, runCommand, startProgram, writeConfig } from '../test/programs.ts'
import { Device, fastVerifier, openRig, tempDir } from '../test/rig.ts'
import { auditLedger } from './audit/audit.ts'
import { databaseFile } from './store/database.ts'

test('a database copied in the middle of a transaction opens, goes on, and stands every check', (t) => {
  const copies: string[] = []
  let calls = 0
  const source: { dir: string } = { dir: '' }
  const verifier = {
    name: 'copying',
    verify: (...args: Parameters<typeof fastVerifier.verify>) => {
      // Signatures are checked inside the transaction, so this is what a power cut would leave behind.
      if (++calls % 17 === 0) copies.push(copy(source.dir, tempDir(t)))
      return fastVerifier.verify(...args)
    },
  }
  const { engine, dataDir } = openRig(t, { verifier })
  source.dir = dataDir
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const house = new Device({ meter: 'house', role: 'bidirectional', owner: 'alice' })
  engine.ingest([roof.certificateMessage(), house.certificateMessage()])
  for (let n = 0n; n < 60n; n++) {
    engine.ingest([roof.read({ export: 7n * n }), house.read({ import: 5n * n, export: 2n * n })])
  }
  t.true(copies.length >= 5)
  for (const dir of copies) {
    const { engine: reopened } = openRig(t, { dataDir: dir })
    t.is(reopened.db.quickCheck(), undefined)
    reopened.ingest([])
    t.deepEqual(auditLedger(reopened.db, fastVerifier).faults, [])
    reopened.ingest([roof.certificateMessage(), ...roof.texts.map((text) => roof.message(text))])
    t.is(reopened.registry.get(roof.id)?.mintedWh, 7n * 59n)
  }
})

function copy(from: string, to: string): string {
  for (const suffix of ['', '-wal']) {
    const name = `${databaseFile}${suffix}`
    if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name))
  }
  return to
}

/** Sends what has no receipt yet, again and again, as a gateway's outbox does. */
async function sendUntil(gateway: GatewayClient, device: Device, upTo: number): Promise<void> {
  const reached = () =>
    Math.max(0, ...gateway.receipts.filter(({ point }) => point === device.id).map(({ sequence }) => sequence))
  while (reached() < upTo) {
    const from = reached()
    const window = device.texts.slice(from, from + 40).map((text) => device.message(text))
    await Promise.race([gateway.send(device.certificateMessage(), ...window), pause(500)])
    await Promise.race([gateway.receipt(({ point, sequence }) => point === device.id && sequence > from), pause(300)])
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

test('killed again and again while records stream in, the ledger loses nothing and doubles nothing', async (t) => {
  const config = writeConfig(t, { port: await freePort() })
  let random = 20_261_121
  const next = (below: number) => {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31
    return random % below
  }
  let program = await startProgram(t, config.path)
  const devices = ['roof', 'house'].map((meter) => new Device({ meter, role: 'producer', owner: 'alice' }))
  for (const device of devices) for (let n = 0; n < 400; n++) device.sign({ registers: { export: BigInt(13 * n) } })
  const gateway = await connectGateway(t, program.url, { ledgerKey: program.publicKey })
  const done = Promise.all(devices.map((device) => sendUntil(gateway, device, 400)))
  let finished = false
  void done.then(() => {
    finished = true
  })
  for (let kills = 0; kills < 5 && !finished; kills++) {
    await pause(20 + next(250))
    await program.kill('SIGKILL')
    program = await startProgram(t, config.path)
  }
  await done
  t.is(await program.kill('SIGTERM'), 0)
  const verified = await runCommand(['verify', '--config', config.path, '--json'])
  t.is(verified.code, 0, verified.stdout)
  t.like(JSON.parse(verified.stdout), { ok: true, counts: { points: 2, records: 800 } })
  const balances = JSON.parse((await runCommand(['balances', '--config', config.path, '--json'])).stdout)
  t.like(balances, { mintedWh: 2 * 13 * 399, supplyWh: 2 * 13 * 399, balanced: true })
})
