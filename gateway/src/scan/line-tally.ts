import { shortestAnswer } from '../modbus/rtu-framing.ts'
import { dissect, isLevel, type SeenFrame, type Turn, withoutEcho } from './traffic.ts'

/** How requests of one length fared. */
export interface LengthTally {
  /** Bytes of the right answer. */
  readonly bytes: number
  asked: number
  /** Bytes came, and no frame among them was the answer. */
  garbled: number
}

/** What one unit id brought. */
export interface UnitTally {
  readonly lengths: Map<number, LengthTally>
  answers: number
  garbled: number
  /** Garbled answers that were about as long as the right one. */
  keptLength: number
  /** Answers that came once more. */
  secondAnswers: number
  /** Latency in ms of each answer that came after its request was given up. */
  readonly lateMs: number[]
}

interface Asked {
  readonly atMs: number
  readonly unitId: number
  readonly functionCode: number
  readonly count: number
  answered: boolean
}

// A flipped start or stop bit adds or takes a character.
const lengthSlack = 2
// Beyond this nobody's answer is still under way.
const lateHorizonMs = 10_000

/** Counts what a line brings: for each unit, and what belongs to nobody that was asked. */
export class LineTally {
  readonly units = new Map<number, UnitTally>()
  /** Bytes of no frame while nobody was asked. */
  idleBytes = 0
  /** Bytes of no frame, all of them. */
  noiseBytes = 0
  /** Of those, 0x00 and 0xFF: what a receiver makes of a line held at one level. */
  levelBytes = 0
  /** Requests of ours. */
  requests = 0
  /** Requests that another client sent, and answers to it. */
  foreignRequests = 0
  foreignAnswers = 0
  #asked: Asked[] = []
  readonly #isRtu: boolean

  /** Modbus TCP has no CRC, and nothing on it can be overheard: there is nothing to count. */
  constructor(isRtu = true) {
    this.#isRtu = isRtu
  }

  unit(unitId: number): UnitTally {
    const known = this.units.get(unitId)
    if (known !== undefined) return known
    const unit = { lengths: new Map(), answers: 0, garbled: 0, keptLength: 0, secondAnswers: 0, lateMs: [] }
    this.units.set(unitId, unit)
    return unit
  }

  /** Counts one turn. */
  take({ request, sentAtMs, bytes }: Turn): void {
    if (!this.#isRtu) return
    const asked = request === undefined ? undefined : toAsked(request, sentAtMs)
    const { frames, noise } = dissect(withoutEcho(bytes, request))
    if (asked !== undefined) this.#remember(asked)
    for (const frame of frames) this.#takeFrame(frame, asked, sentAtMs)
    this.#takeNoise(noise, asked)
  }

  #remember(asked: Asked): void {
    this.#asked = this.#asked.filter(({ atMs }) => asked.atMs - atMs < lateHorizonMs)
    this.#asked.push(asked)
    this.#length(asked).asked++
    this.requests++
  }

  #takeFrame(frame: SeenFrame, current: Asked | undefined, nowMs: number): void {
    if (frame.kind === 'request') {
      this.foreignRequests++
      return
    }
    const unit = this.unit(frame.unitId)
    if (current !== undefined && fits(frame, current)) {
      if (current.answered) unit.secondAnswers++
      else unit.answers++
      current.answered = true
      return
    }
    const earlier = this.#asked.findLast((asked) => asked !== current && fits(frame, asked))
    if (earlier === undefined) this.foreignAnswers++
    else if (earlier.answered) unit.secondAnswers++
    else unit.lateMs.push(nowMs - earlier.atMs)
    if (earlier !== undefined) earlier.answered = true
  }

  #takeNoise(noise: Buffer, asked: Asked | undefined): void {
    if (noise.length === 0) return
    this.noiseBytes += noise.length
    this.levelBytes += noise.filter(isLevel).length
    if (asked === undefined) this.idleBytes += noise.length
    if (asked === undefined || asked.answered || noise.every(isLevel)) return
    const unit = this.unit(asked.unitId)
    unit.garbled++
    this.#length(asked).garbled++
    if (Math.abs(noise.length - answerBytes(asked)) <= lengthSlack) unit.keptLength++
  }

  #length(asked: Asked): LengthTally {
    const { lengths } = this.unit(asked.unitId)
    const bytes = answerBytes(asked)
    const known = lengths.get(bytes) ?? { bytes, asked: 0, garbled: 0 }
    lengths.set(bytes, known)
    return known
  }
}

function toAsked(request: Buffer, atMs: number): Asked | undefined {
  if (request.length !== 8) return undefined
  const [unitId = 0, functionCode = 0] = request
  return { atMs, unitId, functionCode, count: request.readUInt16BE(4), answered: false }
}

const answerBytes = ({ count }: Asked) => shortestAnswer + 2 * count

function fits(frame: SeenFrame, asked: Asked): boolean {
  if (frame.unitId !== asked.unitId || frame.functionCode !== asked.functionCode) return false
  return frame.kind === 'exception' || frame.bytes.length === answerBytes(asked)
}
