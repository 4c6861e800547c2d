// How many readings a second go the whole way from a gateway's outbox over MQTT to the ledger's receipt, once the ledger
// is what limits them: gateway and ledger are two processes, the broker is the ledger's own. Compared with the same
// line when the ledger verifies nothing.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { connectAsync } from 'mqtt'
import { stringify } from 'yaml'
import { percentile, printFigure } from '../../protocol/bench/figure.ts'
import { Device, fastVerifier, type Message } from '../test/rig.ts'
import { trustingVerifier } from './trusting-verifier.ts'

const rounds = 5
const readings = 12_000
const pointCount = 10
/** Readings under way without a receipt. */
const window = 2_000

const devices = Array.from({ length: pointCount }, (_, at) => new Device({ meter: `m${at}`, role: 'producer' }))
const certificates = devices.map((device) => device.certificateMessage())
const messages: readonly Message[] = Array.from({ length: readings / pointCount }, (_, at) =>
  devices.map((device) => {
    const registers = { export: BigInt(1_000_000 + 10 * at) }
    return at === 0 ? device.read(registers) : device.readFrame(registers)
  }),
).flat()

interface Measured {
  /** Readings per second until the last receipt. */
  readonly rate: number
  /** Of each reading, from its sending to the receipt that covers it. */
  readonly latenciesMs: readonly number[]
}

/** Sends everything, no more under way than the window. */
async function sendAll(url: string): Promise<Measured> {
  const client = await connectAsync(url, { clientId: 'bench' })
  if ('setNoDelay' in client.stream && typeof client.stream.setNoDelay === 'function') client.stream.setNoDelay(true)
  await client.subscribeAsync('wattline/v1/gw-1/+/receipt', { qos: 1 })
  const confirmed = new Map<string, number>()
  const enrolled = Promise.withResolvers<void>()
  const done = Promise.withResolvers<void>()
  let [sent, received] = [0, 0]
  const sentAtMs = new Map<string, number[]>()
  const latenciesMs: number[] = []
  const send = () => {
    for (; sent < messages.length && sent - received < window; sent++) {
      const { topic, payload } = messages[sent] as Message
      client.publish(topic, Buffer.from(payload), { qos: 1 })
      const times = sentAtMs.get(topic) ?? []
      times.push(performance.now())
      sentAtMs.set(topic, times)
    }
  }
  client.on('message', (topic, payload) => {
    const sequence = Number(/"sequence":(\d+)/.exec(payload.toString('latin1'))?.[1] ?? 0)
    const before = confirmed.get(topic) ?? 0
    received += Math.max(0, sequence - before)
    const times = sentAtMs.get(topic.replace(/receipt$/, 'record')) ?? []
    for (const atMs of times.slice(before, Math.max(before, sequence))) latenciesMs.push(performance.now() - atMs)
    confirmed.set(topic, Math.max(sequence, confirmed.get(topic) ?? 0))
    if (confirmed.size === devices.length) enrolled.resolve()
    if (received >= messages.length) done.resolve()
    else if (sent > 0) send()
  })
  for (const { topic, payload } of certificates) await client.publishAsync(topic, Buffer.from(payload), { qos: 1 })
  // A broker's acknowledgement says nothing of when the ledger has them; records that come before them must wait.
  await enrolled.promise
  const startMs = performance.now()
  send()
  await done.promise
  const seconds = (performance.now() - startMs) / 1000
  await client.endAsync()
  return { rate: messages.length / seconds, latenciesMs }
}

async function measure(verifierName: string): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), 'wattline-bench-'))
  const config = join(folder, 'ledger.yaml')
  const ledger = { dataDir: './ledger', enrolment: 'open' }
  writeFileSync(config, stringify({ version: 1, ledger, mqtt: { embedded: { host: '127.0.0.1', port: 0 } } }))
  const script = fileURLToPath(new URL('./bench-ledger.ts', import.meta.url))
  const child = spawn(process.execPath, [script, config, verifierName], { stdio: ['ignore', 'pipe', 'inherit'] })
  try {
    const [url] = await once(createInterface({ input: child.stdout }), 'line')
    return await sendAll(String(url))
  } finally {
    child.kill('SIGTERM')
    await once(child, 'exit')
    rmSync(folder, { recursive: true })
  }
}

const rates: { readonly checked: Measured; readonly unchecked: Measured }[] = []
for (let round = 0; round < rounds; round++) {
  rates.push({ checked: await measure(fastVerifier.name), unchecked: await measure(trustingVerifier.name) })
}
printFigure({
  name: `end-to-end-${fastVerifier.name}`,
  value: percentile(
    rates.map(({ checked }) => checked.rate),
    0.5,
  ),
  unit: 'readings/s',
  comparedWith: 'the same line without verification',
  reference: percentile(
    rates.map(({ unchecked }) => unchecked.rate),
    0.5,
  ),
  promise: 'ratio at least 0.6',
})
for (const share of [50, 99]) {
  const latency = (which: 'checked' | 'unchecked') => {
    return percentile(
      rates.flatMap((each) => each[which].latenciesMs),
      share / 100,
    )
  }
  printFigure({
    name: `end-to-end-receipt-p${share}-window-${window}`,
    value: latency('checked'),
    unit: 'ms',
    comparedWith: 'the same line without verification',
    reference: latency('unchecked'),
  })
}
