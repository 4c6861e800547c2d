import type { MeterConfig } from './config.ts'
import { type LineSettings, type LineTiming, toLineTiming } from './line-timing.ts'
import type { Answer } from './pdu.ts'
import { makeRandom } from './random.ts'
import { encodeRtuFrame } from './rtu-frame.ts'
import { type AnswerFrame, RtuServer } from './rtu-server.ts'
import { toInput } from './termios.ts'
import { TimerSet, type Timers } from './timers.ts'
import { addBitErrors, type Character, invert, listen, toWave, understands } from './uart.ts'
import type { MeterWiring, Wiring } from './wiring.ts'

export interface SerialLineOptions {
  readonly wiring: Wiring
  /** What a meter answers, if it hears the request. */
  readonly answer: (meterId: string, pdu: Uint8Array) => Answer | undefined
  readonly timers: Timers
  /** Hands bytes to the client, who is to have them at that moment. */
  readonly write: (bytes: Uint8Array, atMs: number) => void
  /** So much earlier are they handed over; a carrier that cannot hold them back has no use for it. */
  readonly leadMs?: number
}

/** The client's end: its UART, and what its terminal does with characters that came broken. */
export interface ClientPort {
  readonly settings: LineSettings
  readonly iflag: number
}

interface Hearing {
  readonly server: RtuServer
  /** Whose settings the bytes have that are being heard. */
  from: LineSettings
}

// A pseudo-terminal or a socket delivers late when the machine is busy; a shorter silence would cut frames apart.
const shortestSilenceMs = 5
// Bytes go to the client in pieces of about this time, and the last one at its own time.
const pieceMs = 2

/**
 * One pair of wires with all that hangs on it. Bytes go from one UART to the other as a signal: whoever has other
 * settings, or A and B swapped, hears what his UART makes of it. One answer is on the wires at a time; a meter waits
 * for its turn, unless it cannot know of the other: two that answer to one address, and a second master.
 */
export class SerialLine {
  readonly #options: SerialLineOptions
  readonly #timers: TimerSet
  readonly #hearings = new Map<string, Hearing>()
  readonly #random = makeRandom(1)
  #client: ClientPort
  #heardAtMs = 0
  #lineFreeAtMs = 0
  #foreignUntilMs = 0
  #spoiltUntilMs = 0

  constructor(options: SerialLineOptions) {
    this.#options = options
    this.#timers = new TimerSet(options.timers)
    this.#client = { settings: options.wiring.line, iflag: 0 }
  }

  /** The line is plugged in: from now on a second master may speak. */
  open(): void {
    this.#client = { settings: this.#options.wiring.line, iflag: 0 }
    if (this.#options.wiring.mayHaveSecondMaster) this.#awaitSecondMaster()
  }

  close(): void {
    this.#timers.cancelAll()
    this.#hearings.clear()
    this.#lineFreeAtMs = 0
  }

  /** The client has set up its end. */
  setClient(client: ClientPort): void {
    this.#client = client
  }

  /** Takes what the client began to send at that moment. */
  receive(bytes: Uint8Array, atMs = this.#timers.now()): void {
    const { settings } = this.#client
    const { wiring } = this.#options
    const sentMs = this.#timing(settings).characterMs * bytes.length
    const collides = atMs < this.#foreignUntilMs
    if (collides) this.#spoiltUntilMs = atMs + sentMs
    this.#lineFreeAtMs = Math.max(this.#lineFreeAtMs, atMs + sentMs)
    this.#hear(collides ? this.#garble(bytes) : bytes, { from: settings, inverted: wiring.inverted, atMs })
    // A line at rest reads as a start bit that never ends where A and B are swapped. The client sees it each time its
    // own driver lets go of the wires.
    if (!wiring.inverted) return
    this.#timers.after(sentMs, () => this.#deliver([{ byte: 0, error: 'break', endMs: this.#timers.now() }]))
  }

  #hear(bytes: Uint8Array, { from, inverted, atMs }: { from: LineSettings; inverted: boolean; atMs: number }): void {
    this.#heardAtMs = atMs
    const { wiring } = this.#options
    const errorRate = wiring.bitErrorRate(from.baudRate)
    const ways = new Map(wiring.meters.map((meter) => wiring.meter(meter)).map((way) => [keyOf(way), way]))
    for (const way of ways.values()) {
      const characters = this.#carry(bytes, from, way, { inverted: inverted !== way.inverted, errorRate })
      const sound = characters.filter(({ error }) => error === undefined)
      if (sound.length === 0) continue
      const hearing = this.#hearingOf(way)
      hearing.from = from
      hearing.server.receive(Uint8Array.from(sound, ({ byte }) => byte))
    }
  }

  #hearingOf(way: MeterWiring): Hearing {
    const known = this.#hearings.get(keyOf(way))
    if (known !== undefined) return known
    const hearing: Hearing = {
      from: way,
      server: new RtuServer({
        timers: this.#timers,
        silenceMs: Math.max(this.#timing(way).silenceMs, shortestSilenceMs),
        answer: (unitId, pdu) => this.#ask(way, unitId, pdu),
        send: (frames, requestBytes) => this.#send(frames, requestBytes, hearing.from, way),
      }),
    }
    this.#hearings.set(keyOf(way), hearing)
    return hearing
  }

  #ask(way: MeterWiring, unitId: number, pdu: Uint8Array): readonly Answer[] {
    const { wiring, answer } = this.#options
    const isAsked = (meter: MeterConfig) => {
      const now = wiring.meter(meter)
      return now.unitId === unitId && keyOf(now) === keyOf(way)
    }
    return wiring.meters.filter(isAsked).flatMap(({ id }) => answer(id, pdu) ?? [])
  }

  #send(frames: readonly AnswerFrame[], requestBytes: number, from: LineSettings, way: MeterWiring): void {
    const heardAtMs = this.#heardAtMs + requestBytes * this.#timing(from).characterMs
    const { silenceMs, turnaroundMs } = this.#timing(way)
    const readyAtMs = heardAtMs + Math.max(silenceMs, turnaroundMs)
    for (const { bytes, answer } of this.#collide(frames)) {
      const startMs = this.#takeTurn(readyAtMs + answer.delayMs, bytes, answer, way)
      this.#transmit(bytes, startMs, answer.byteGapMs ?? 0, way)
      if (answer.repeatAfterMs === undefined) continue
      const againMs = this.#takeTurn(this.#lineFreeAtMs + answer.repeatAfterMs, bytes, answer, way)
      this.#transmit(bytes, againMs, answer.byteGapMs ?? 0, way)
    }
  }

  #takeTurn(readyAtMs: number, bytes: Uint8Array, { byteGapMs = 0 }: Answer, way: LineSettings): number {
    const { characterMs, silenceMs } = this.#timing(way)
    const startMs = Math.max(readyAtMs, this.#lineFreeAtMs)
    this.#lineFreeAtMs = startMs + bytes.length * (characterMs + byteGapMs) + silenceMs
    return startMs
  }

  // Two meters that hear the same last bit begin to answer together.
  #collide(frames: readonly AnswerFrame[]): readonly AnswerFrame[] {
    return [...Map.groupBy(frames, ({ answer }) => answer.delayMs).values()].flatMap((together) => {
      const bytes = together.map((frame) => frame.bytes).reduce((a, b) => superpose(a, b, this.#random))
      return together.slice(0, 1).map(({ answer }) => ({ bytes, answer }))
    })
  }

  /** Puts bytes on the wires at a moment, as the client hears them. */
  #transmit(bytes: Uint8Array, startMs: number, gapMs: number, from: LineSettings & { inverted: boolean }): void {
    const begin = () => {
      const { wiring } = this.#options
      const inverted = wiring.inverted !== from.inverted
      const errorRate = wiring.bitErrorRate(from.baudRate)
      const characters = this.#carry(bytes, from, this.#client.settings, { inverted, errorRate })
      const { pace } = wiring.line
      this.#sendFrom(
        characters.map((character, i) => ({ ...character, endMs: startMs + pace * character.endMs + i * gapMs })),
        0,
      )
    }
    const waitMs = startMs - this.#horizonMs()
    if (waitMs <= 0) begin()
    else this.#timers.after(waitMs, begin)
  }

  #sendFrom(characters: readonly Character[], sent: number): void {
    // A timer that fires late catches up with what the line would have carried by now.
    const nowMs = this.#horizonMs()
    // A hair beyond, or a sum that was rounded down would wake itself for ever.
    const next = characters.findIndex(({ endMs }, i) => i >= sent && endMs > nowMs + 1e-6)
    const due = next < 0 ? characters.length : next
    if (due > sent) this.#deliver(characters.slice(sent, due))
    if (next < 0) return
    const lastMs = characters[characters.length - 1]?.endMs ?? nowMs
    const wakeMs = Math.min(lastMs, Math.max(characters[next]?.endMs ?? nowMs, nowMs + pieceMs))
    this.#timers.after(wakeMs - nowMs, () => this.#sendFrom(characters, due))
  }

  // Up to here answers are handed over.
  #horizonMs(): number {
    return this.#timers.now() + (this.#options.leadMs ?? 0)
  }

  #deliver(characters: readonly Character[]): void {
    const bytes = Uint8Array.from(characters.flatMap((character) => toInput(character, this.#client.iflag)))
    const atMs = characters.at(-1)?.endMs
    if (bytes.length === 0 || atMs === undefined) return
    this.#options.write(atMs < this.#spoiltUntilMs ? this.#garble(bytes) : bytes, atMs)
  }

  #carry(
    bytes: Uint8Array,
    from: LineSettings,
    to: LineSettings,
    way: { readonly inverted: boolean; readonly errorRate: number },
  ): readonly Character[] {
    if (understands(from, to) && !way.inverted && way.errorRate === 0) {
      const { characterMs } = toLineTiming(from)
      return Array.from(bytes, (byte, i) => ({ byte, endMs: (i + 1) * characterMs }))
    }
    const wave = addBitErrors(toWave(bytes, from), way.errorRate, this.#random)
    return listen(way.inverted ? invert(wave) : wave, to)
  }

  #timing(settings: LineSettings): LineTiming & { readonly turnaroundMs: number } {
    const { pace, turnaroundMs } = this.#options.wiring.line
    const { characterMs, silenceMs } = toLineTiming(settings)
    return { characterMs: pace * characterMs, silenceMs: pace * silenceMs, turnaroundMs: pace * turnaroundMs }
  }

  #garble(bytes: Uint8Array): Uint8Array {
    return bytes.map((byte) => byte ^ Math.floor(this.#random() * 256))
  }

  #awaitSecondMaster(): void {
    const everyMs = this.#options.wiring.secondMaster?.everyMs ?? 100
    // Two masters keep no step with each other.
    this.#timers.after(everyMs * (0.8 + 0.4 * this.#random()), () => {
      this.#askAsSecondMaster()
      this.#awaitSecondMaster()
    })
  }

  #askAsSecondMaster(): void {
    const { wiring } = this.#options
    const fault = wiring.secondMaster
    if (fault === undefined) return
    const { unitId, functionCode, address, count } = fault
    const pdu = Uint8Array.of(functionCode, address >> 8, address & 0xff, 0, count)
    const request = encodeRtuFrame(unitId, pdu)
    const nowMs = this.#timers.now()
    const endMs = nowMs + request.length * this.#timing(wiring.line).characterMs
    // A master does not listen before it speaks: the exchange that is under way is spoilt, and its own request with it.
    const collides = nowMs < this.#lineFreeAtMs
    if (collides) this.#spoiltUntilMs = Math.max(endMs, this.#lineFreeAtMs)
    this.#foreignUntilMs = endMs
    this.#lineFreeAtMs = Math.max(this.#lineFreeAtMs, endMs)
    const bytes = collides ? this.#garble(request) : request
    this.#transmit(bytes, nowMs, 0, { ...wiring.line, inverted: false })
    this.#hear(bytes, { from: wiring.line, inverted: false, atMs: nowMs })
    this.#foreignUntilMs = Math.max(endMs, this.#lineFreeAtMs)
  }
}

function keyOf({ baudRate, parity, inverted }: MeterWiring): string {
  return `${baudRate} ${parity} ${inverted}`
}

/** Two drivers on one pair of wires: the stronger one wins, or where they differ nobody knows. */
export function superpose(a: Uint8Array, b: Uint8Array, random: () => number): Uint8Array {
  const [longer, shorter] = a.length >= b.length ? [a, b] : [b, a]
  const dice = random()
  return longer.map((byte, i) => {
    const other = shorter[i]
    if (other === undefined || dice < 0.2) return byte
    return dice < 0.4 ? other : byte ^ ((byte ^ other) & Math.floor(random() * 256))
  })
}
