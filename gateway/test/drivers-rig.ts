import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeWith, formatPublicKey, makeOneTimeCode, makeSigner, oneTimeCodeSlot } from '@wattline/protocol'
import type { DriverFile } from '../src/drivers/driver-file.ts'
import { type Drivers, openDrivers } from '../src/drivers/drivers.ts'
import { driversShape } from '../src/drivers/drivers-config.ts'
import { signList } from '../src/drivers/list-maker.ts'
import { FakeScheduler } from '../src/modbus/fake-scheduler.ts'
import { Csms } from '../src/ocpp/csms.ts'
import { ocppShape } from '../src/ocpp/ocpp-config.ts'
import { SessionSink } from '../src/sessions/session-sink.ts'
import { openStore, type Store } from '../src/store/database.ts'
import type { Permit } from '../src/store/permits.ts'
import { connectStation, KeptLog, type RawStation } from './csms-rig.ts'
import { HandClock, makeTempFolder } from './signing-rig.ts'

export const listSigner = makeSigner(new Uint8Array(32).fill(9))

/** Anna with two cards, Bob, and others. */
export const driverFile: DriverFile = {
  version: 1,
  groups: [{ id: 'family' }, { id: 'staff', driver: 'company' }, { id: 'past', until: '2020-01-01T00:00:00Z' }],
  drivers: [
    { token: '04AA11BB', driver: 'anna', group: 'family' },
    { token: '04AA22BB', driver: 'anna' },
    { token: 'KID1', group: 'family' },
    { token: 'BOB12345', driver: 'bob' },
    { token: 'WORKER', group: 'staff' },
    { token: 'CARDONLY', driver: 'carl', type: 'ISO14443' },
    { token: 'LOST', driver: 'anna', blocked: true },
    { token: 'OLD', driver: 'otto', until: '2026-12-31T00:00:00Z' },
    { token: 'LATER', driver: 'lena', until: '2030-06-01T00:00:00Z' },
    { token: 'PASTGROUP', driver: 'paul', group: 'past' },
  ],
}

type AsyncTeardown = (action: () => unknown) => void

export interface DriversRig {
  readonly dataDir: string
  readonly listFile: string
  readonly clock: HandClock
  readonly log: KeptLog
  /** These are others after `restart`. */
  readonly now: { store: Store; csms: Csms; drivers: Drivers; scheduler: FakeScheduler; url: string; isOnline: boolean }
  /** The gateway ends and begins anew on its data. */
  restart(): Promise<void>
  station(version?: string, answers?: StationAnswers, id?: string): Promise<AnsweringStation>
}

export type StationAnswers = Readonly<Record<string, object>>

/** A station that answers the gateway's requests by a table, and keeps them. */
export interface AnsweringStation {
  readonly raw: RawStation
  readonly asked: { action: string; payload: Record<string, unknown> }[]
  answers: StationAnswers
  /** Sends a request and gives the payload of its answer. */
  ask(action: string, payload: object): Promise<Record<string, unknown>>
}

let messageId = 0

async function connectAnswering(url: string, version: string, answers: StationAnswers): Promise<AnsweringStation> {
  const raw = await connectStation(url, [version])
  const waiting = new Map<string, (payload: Record<string, unknown>) => void>()
  const station: AnsweringStation = {
    raw,
    asked: [],
    answers,
    ask: (action, payload) => {
      messageId += 1
      const id = `m${messageId}`
      raw.socket.send(JSON.stringify([2, id, action, payload]))
      return new Promise((resolve) => waiting.set(id, resolve))
    },
  }
  raw.socket.on('message', (data: Buffer) => {
    const [type, id, ...rest] = JSON.parse(data.toString())
    if (type === 2) {
      const [action, payload] = rest
      station.asked.push({ action, payload })
      const answer = station.answers[action] ?? { status: 'Accepted' }
      raw.socket.send(JSON.stringify([3, id, answer]))
    } else waiting.get(id)?.(type === 3 ? rest[0] : { error: rest })
  })
  return station
}

/** For tests: drivers, reservations and the stations' server over real sockets, with time that is moved by hand. */
export async function startDrivers(teardown: AsyncTeardown, config: object = {}): Promise<DriversRig> {
  const dataDir = makeTempFolder(teardown)
  const listFile = join(dataDir, 'drivers.list')
  const clock = new HandClock()
  const log = new KeptLog()
  signList(driverFile, listSigner, { path: listFile, nowMs: clock.nowMs, cost: 10 })
  const driversConfig = decodeWith(
    driversShape,
    { listFile, listKey: formatPublicKey(listSigner.publicKey), ...config },
    'test',
    'config/invalid',
  )
  const ocpp = decodeWith(ocppShape, { host: '127.0.0.1', port: 0 }, 'test', 'config/invalid')
  const start = async () => {
    const store = openStore(dataDir)
    const scheduler = new FakeScheduler()
    const state = { isOnline: true }
    const drivers = openDrivers({
      config: driversConfig,
      store,
      clock,
      log,
      scheduler,
      link: {
        stations: () => csms.stations(),
        call: (stationId, action, payload) => csms.call(stationId, action, payload),
      },
      isOnline: () => now.isOnline,
    })
    const { authorizer, checkCall } = drivers
    const sink = new SessionSink({ store, clock, authorizer, signer: { sign: () => {} } })
    const observers = [drivers]
    const csms: Csms = new Csms({ config: ocpp, store, clock, log, sink, authorizer, checkCall, observers })
    await csms.start()
    return { store, csms, drivers, scheduler, url: `ws://127.0.0.1:${csms.ports[0]}`, ...state }
  }
  const end = async () => {
    now.drivers.stop()
    await now.csms.stop()
    now.store.close()
  }
  const now: DriversRig['now'] = await start()
  teardown(end)
  return {
    dataDir,
    listFile,
    clock,
    log,
    now,
    restart: async () => {
      await end()
      Object.assign(now, await start())
    },
    station: (version = 'ocpp1.6', answers = {}, id = 'CP1') => connectAnswering(`${now.url}/${id}`, version, answers),
  }
}

/** The code that opens a reservation now, or some intervals later or earlier. */
export function codeOf({ code }: Pick<Permit, 'code'>, clock: HandClock, shift = 0): string {
  if (code === undefined) throw new Error('no code opens it')
  return makeOneTimeCode(code, oneTimeCodeSlot(clock.now(), code) + shift)
}

/** Puts something else where the list lies. */
export function writeList({ listFile }: DriversRig, text: string): void {
  writeFileSync(listFile, text)
}
