import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runCommand } from '../src/demo/programs.ts'
import { startStationLine } from './ocpp-line.ts'

// What an installer does with stations that knock: a simulated station of each kind is adopted by command, and shows from
// then on what its security profile demands.

interface Adopted {
  readonly version?: string
  readonly steps: readonly { readonly ok: boolean; readonly words: string }[]
  readonly settings: readonly { readonly name: string; readonly outcome: string; readonly value?: string }[]
}

test('stations are adopted by command: open, with a password, with a certificate of the local authority', async (t) => {
  const tls = { port: 0, certFile: 'data/ocpp-ca/server.pem', keyFile: 'data/ocpp-ca/server.key' }
  const line = await startStationLine(
    t,
    {
      unknownStations: 'accept',
      tls: { ...tls, clientCaFile: 'data/ocpp-ca/ca.pem', publicHost: '127.0.0.1' },
      authority: {},
    },
    async (config) => {
      const made = await runCommand('gateway', ['ocpp', 'ca', 'init', '--host', '127.0.0.1', '--config', config])
      t.is(made.code, 0, made.stderr)
    },
  )
  const { tlsUrl } = await line.gateway.event('ocpp.started')
  const sim = await line.startSim([
    { id: 'OPEN', ocpp: '1.6', url: line.url },
    { id: 'BASIC', ocpp: '1.6', url: line.url },
    { id: 'CERT', ocpp: '1.6', url: String(tlsUrl), tls: { ca: join(line.folder, 'data/ocpp-ca/ca.pem') } },
    { id: 'MOVED', ocpp: '2.0.1', url: line.url },
  ])
  const adopt = async (id: string, profile: number): Promise<Adopted> => {
    await sim.event(({ event, station }) => event === 'sim.station.connection.accepted' && station === id)
    // What the command sends; the command itself is run for one of them below, and costs a second each time.
    const { ok, result, message } = await line.ask({ command: 'adopt', station: id, profile, waitSeconds: 60 })
    t.true(ok, `${id}: ${message}`)
    const adopted = result as Adopted
    t.true(
      adopted.steps.every((step) => step.ok),
      `${id}: ${JSON.stringify(adopted.steps)}`,
    )
    return adopted
  }
  const [open, basic, cert, moved] = await Promise.all([
    adopt('OPEN', 0),
    adopt('BASIC', 1),
    adopt('CERT', 3),
    adopt('MOVED', 3),
  ])
  const words = ({ steps }: Adopted) => steps.map((step) => step.words).join('\n')
  t.regex(words(open), /needs no password/)
  t.regex(words(basic), /has taken a new password.*security profile 1 is demanded from now on/s)
  t.regex(words(cert), /has a certificate until \d{4}.*security profile 3 is demanded from now on/s)
  t.regex(
    words(moved),
    /trusts this gateway's certificate.*to wss:\/\/127\.0\.0\.1:\d+ after a restart.*profile 3 is demanded/s,
  )
  for (const [report, name] of [
    [basic, 'MeterValueSampleInterval'],
    [moved, 'SampledDataCtrlr.TxUpdatedInterval'],
  ] as const) {
    t.like(
      report.settings.find((one) => one.name === name),
      { outcome: 'taken', value: '15' },
    )
    t.regex(words(report), /its clock is right/)
  }

  const inWords = await line.ocpp('adopt', 'OPEN', '--profile', '0')
  t.is(inWords.code, 0, inWords.stderr)
  t.regex(inWords.stdout, /^OPEN\n {2}its clock is right\n.* {2}MeterValueSampleInterval is '15'\n/s)

  // Somebody else who says that he is one of them.
  const known = ['BASIC', 'CERT', 'MOVED']
  const others = known.map((id) => ({ id, ocpp: id === 'MOVED' ? '2.0.1' : '1.6', url: line.url }))
  const impostors = await line.startSim(others, 'impostors')
  for (const id of known) {
    await line.gateway.event(({ event, station }) => event === 'ocpp.station.refused' && station === id)
  }
  await impostors.stop()
  const { stdout } = await line.ocpp('stations')
  t.regex(stdout, /BASIC: .*turned away .*no password was sent.*\(password-missing\)\n {4}Enter the password/)
  t.regex(stdout, /MOVED: .*turned away .*needs TLS.*\(tls-needed\)\n {4}Change the URL/)

  // Everything that was written on the way: no password and no private key in it.
  await sim.stop()
  const told = JSON.stringify([line.gateway.log, sim.log, open, basic, cert, moved, stdout])
  const state = JSON.parse(readFileSync(join(line.folder, 'stations/BASIC/state.json'), 'utf8'))
  const password: string = state.settings.password
  t.regex(password, /^[0-9a-f]{40}$/)
  for (const secret of [password, Buffer.from(password, 'hex').toString('base64'), 'PRIVATE KEY']) {
    t.false(told.includes(secret))
  }
  const database = readdirSync(join(line.folder, 'data')).filter((name) => name.startsWith('gateway.db'))
  t.false(database.some((name) => readFileSync(join(line.folder, 'data', name), 'latin1').includes(password)))
})
