import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseOcmfText } from '@wattline/protocol'
import test from 'ava'
import { readLedger } from '../src/demo/ledger-books.ts'
import { runJson } from '../src/demo/programs.ts'
import { drain } from '../src/demo/report.ts'
import { Line } from './line.ts'

const registerOf = (text: string) => parseOcmfText(text).record.registers.export ?? 0n
const dataDirOf = (line: Line) => join(dirname(line.house.gatewayConfig), 'gateway')

/** What the ledger itself holds of a metering point, in its order. */
async function readAccepted(line: Line, point: string): Promise<string[]> {
  const answer = (await runJson('ledger', ['records', '--config', line.house.ledgerConfig, '--json'])) as {
    records: { point: string; text: string }[]
  }
  return answer.records.filter((record) => record.point === point).map(({ text }) => text)
}

const restores: Record<string, (backup: string, dataDir: string) => void> = {
  'the database file alone': (backup, dataDir) => {
    for (const rest of ['-wal', '-shm']) rmSync(join(dataDir, `gateway.db${rest}`), { force: true })
    cpSync(join(backup, 'gateway.db'), join(dataDir, 'gateway.db'))
  },
  'the whole folder': (backup, dataDir) => {
    rmSync(dataDir, { recursive: true })
    execFileSync('cp', ['-a', backup, dataDir])
  },
}

for (const [what, restore] of Object.entries(restores)) {
  test.serial(
    `SPEC-32: a gateway restored from a backup of ${what} opens a new epoch, goes on, and counts every Wh once`,
    async (t) => {
      t.timeout(120_000)
      const line = await Line.start(t)
      await line.more(4)
      await line.gateway.stop()
      const backup = `${dataDirOf(line)}-backup`
      execFileSync('cp', ['-a', dataDirOf(line), backup])
      const remembered = await line.exported('roof')
      await line.startGateway()
      await line.more(4)
      await line.gateway.stop()
      // What was signed last may not have left yet: that is forgotten for good, and its energy is in the next reading.
      const forgotten = (await readAccepted(line, 'gw-1/roof')).filter((text) => !remembered.includes(text))
      t.true(forgotten.length >= 4)
      restore(backup, dataDirOf(line))
      await line.startGateway()
      await line.more(4)
      await line.gateway.stop()
      await drain(line.house, 30)

      const records = (await line.exported('roof')).map(parseOcmfText)
      const first = records[remembered.length]!
      t.true(first.record.epoch > records[0]!.record.epoch)
      t.is(first.record.previousHash, records[remembered.length - 1]!.hash, 'names the head that is remembered')
      t.deepEqual(
        records.map(({ record }) => record.sequence),
        records.map((_, i) => i + 1),
      )
      const accepted = await readAccepted(line, 'gw-1/roof')
      for (const text of forgotten) t.true(accepted.includes(text), 'what the gateway forgot, the ledger keeps')
      const { balances, audit, quarantine } = await readLedger(line.house.ledgerConfig)
      t.deepEqual(audit.faults, [])
      t.is(quarantine.total, 0)
      const roof = balances.points.find(({ point }) => point === 'gw-1/roof')!
      t.is(roof.mintedWh, registerOf((await line.exported('roof')).at(-1)!) - registerOf(remembered[0]!))
    },
  )
}
