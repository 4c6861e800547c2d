import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { makeOneTimeCode, makeTimestamp, type OneTimeCodeKey, oneTimeCodeSlot } from '@wattline/protocol'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { type CommandResult, freePorts, Program, runCommand } from '../src/demo/programs.ts'

function makeFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'reservation-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Reply {
  readonly result?: object
  readonly code?: string
}

/** One command to the running gateway, as `wattline-gateway ocpp` gives it. */
async function tell(folder: string, command: object): Promise<Reply> {
  const socket = connect(join(folder, 'data/control.sock'))
  socket.write(`${JSON.stringify(command)}\n`)
  return JSON.parse(await text(socket))
}

function codeNow(made: object | undefined): string {
  const { code } = made as { code: OneTimeCodeKey }
  return makeOneTimeCode(code, oneTimeCodeSlot(makeTimestamp(Date.now()), code))
}

function start(t: ExecutionContext, name: 'gateway' | 'sim', config: string): Program {
  const program = new Program(name, ['--config', config])
  t.teardown(() => program.stop('SIGKILL'))
  return program
}

/** Two reserved stations, a stranger's card at both, and the holders; the gateway is killed in between. */
test('SPEC-142: two simulated stations keep their places for the holders of a code and of a card, over kill -9 of the gateway', async (t) => {
  const folder = makeFolder(t)
  const path = (name: string) => join(folder, name)
  const gateway = async (...args: string[]): Promise<CommandResult> => await runCommand('gateway', args)
  const key = (await gateway('drivers', 'key', '--key', path('list.key'))).stdout.trim()
  const drivers = '[{ token: ANNACARD, driver: anna, group: family }, { token: BOBSCARD, driver: bob }]'
  const file = `version: 1\ngroups: [{ id: family }]\ndrivers: ${drivers}\n`
  writeFileSync(path('drivers.yaml'), file, { mode: 0o600 })
  const signing = ['--file', path('drivers.yaml'), '--key', path('list.key'), '--out', path('drivers.list')]
  t.is((await gateway('drivers', 'sign', ...signing)).code, 0)

  const [port = 0] = await freePorts(1)
  const config = path('gateway.yaml')
  writeFileSync(
    config,
    `version: 1
gateway: { id: gw-1, dataDir: ./data }
buses: [{ id: lan, tcp: { host: 127.0.0.1, port: 9 } }]
meters: [{ id: roof, bus: lan, unitId: 1, profile: eastron-sdm630, role: producer }]
ocpp: { host: 127.0.0.1, port: ${port} }
drivers: { listFile: ./drivers.list, listKey: ${key} }
`,
  )
  // Bob comes first. Anna comes again and again: while the gateway is away, nobody lets her in.
  const visit = 'evse: 1, staySeconds: 3, leaves: cable'
  writeFileSync(
    path('sim.yaml'),
    `version: 1
meters: [{ id: m, profile: eastron-sdm630, unitId: 1, tcp: { host: 127.0.0.1, port: 0 }, curve: household }]
stations:
  - id: CP1
    ocpp: "1.6"
    url: "ws://127.0.0.1:${port}"
    settings: { ConnectionTimeOut: "3600" }
    steps: [{ at: 5, do: present-card, idToken: BOBSCARD }, { at: 6, do: plug-in }, { at: 7, do: present-card, idToken: BOBSCARD }]
  - id: CP2
    ocpp: "2.0.1"
    url: "ws://127.0.0.1:${port}"
    drivers:
      - { idToken: BOBSCARD, firstAt: 4, ${visit} }
      - { idToken: ANNACARD, firstAt: 9, everySeconds: 7, sessions: 100, ${visit} }
`,
  )

  const first = start(t, 'gateway', config)
  await first.event('ocpp.started')
  const reserve = { command: 'reserve', connector: 1, minutes: 60, driver: 'anna' }
  const made = await tell(folder, { ...reserve, station: 'CP1', withCode: true })
  t.like(made.result, { number: 1, station: 'not-told-yet' })
  await tell(folder, { ...reserve, station: 'CP2', withCode: false })
  start(t, 'sim', path('sim.yaml'))
  const isTold = (id: string) => (line: { event?: string; station?: unknown }) =>
    line.event === 'reservation.told' && line.station === id
  await first.event(isTold('CP1'))
  await first.event(isTold('CP2'))
  await first.stop('SIGKILL')

  const second = start(t, 'gateway', config)
  await second.event((line) => line.event === 'ocpp.station.connected' && line['station'] === 'CP1')
  const bob = await gateway('ocpp', 'start', 'CP1', '1', '--token', 'BOBSCARD', '--config', config)
  t.is(bob.code, 69)
  t.regex(bob.stderr, /CP1 connector 1 is reserved for somebody else/)
  const payload = { idTag: 'BOBSCARD', connectorId: 1 }
  const request = await tell(folder, { command: 'call', station: 'CP1', action: 'RemoteStartTransaction', payload })
  t.is(request.code, 'place/reserved')
  const by = { code: codeNow(made.result) }
  const begin = { command: 'start', station: 'CP1', connector: 1, by }
  t.regex(JSON.stringify(await tell(folder, begin)), /CP1 connector 1: accepted/)
  t.is((await tell(folder, begin)).code, 'driver/refused', 'a second time')
  // Begun by the code, and by Anna's card.
  const isUsed = (id: string) => (line: { event?: string; station?: unknown }) =>
    line.event === 'reservation.used' && line.station === id
  await second.event(isUsed('CP1'))
  await second.event(isUsed('CP2'))
  const stopped = await tell(folder, { command: 'stop', station: 'CP1', connector: 1 })
  t.regex(JSON.stringify(stopped), /CP1 connector 1: accepted; session \d+ ends/)
  await second.stop()
  const frames = new Database(join(path('data'), 'gateway.db'), { readonly: true })
    .prepare("SELECT frame FROM ocpp_frames WHERE action IN ('StartTransaction', 'TransactionEvent')")
    .pluck()
    .all()
    .map(String)
  t.true(frames.some((frame) => frame.includes('ANNACARD')))
  t.false(
    frames.some((frame) => frame.includes('BOBSCARD')),
    'nothing ever began with his card',
  )
})
