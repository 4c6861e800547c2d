import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import {
  type Certificate,
  decodeFrame,
  type ErrorCode,
  formatReceipt,
  formatTopic,
  isFrame,
  makePointId,
  makeSigner,
  nobleVerifier,
  type ParsedOcmf,
  type PointId,
  parseCertificate,
  parseHello,
  parseOcmfText,
  parsePointId,
  parseTopic,
  type ReceiptFacts,
  type Signer,
  verifyParsed,
} from '@wattline/protocol'
import { Aedes } from 'aedes'

/** For tests: a real broker on a free port, that can go away and come back. */
export class TestBroker {
  readonly #sockets = new Set<Socket>()
  #aedes: Aedes | undefined
  #server: Server | undefined
  port = 0
  onPublish: (topic: string, payload: Uint8Array) => void = () => {}

  async start(): Promise<void> {
    const aedes = await Aedes.createBroker()
    const server = createServer((socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      aedes.handle(socket)
    })
    aedes.on('publish', (packet, client) => {
      if (client !== null) this.onPublish(packet.topic, Buffer.from(packet.payload))
    })
    server.listen(this.port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (typeof address === 'object' && address !== null) this.port = address.port
    this.#aedes = aedes
    this.#server = server
  }

  /** Cuts all connections; clients may come back at once. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    const [aedes, server] = [this.#aedes, this.#server]
    this.#aedes = undefined
    this.#server = undefined
    if (aedes === undefined || server === undefined) return
    const closed = new Promise((resolve) => server.close(resolve))
    this.cut()
    await new Promise<void>((resolve) => aedes.close(() => resolve()))
    await closed
  }

  send(topic: string, payload: string): void {
    this.#aedes?.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, () => {})
  }
}

interface Book {
  certificate?: Certificate
  base?: ParsedOcmf
  readonly accepted: ParsedOcmf[]
}

/** For tests: a ledger as a gateway sees it, that misbehaves where it is told to. */
export class ScriptedLedger {
  readonly signer: Signer = makeSigner(new Uint8Array(32).fill(9))
  readonly books = new Map<PointId, Book>()
  /** What came, in order: `hello`, `certificate roof`, `text roof 1`, `frame roof 2`. */
  readonly log: string[] = []
  session = '00000000000000aa'
  serial = 0
  /** Takes messages and says nothing. */
  silent = false
  /** Loses messages before they reach it. */
  deaf = false
  refuses: (record: ParsedOcmf) => ErrorCode | undefined = () => undefined
  /** Refuses a metering point, whatever comes of it. */
  refusesPoint: ErrorCode | undefined
  readonly #broker: TestBroker

  constructor(broker: TestBroker) {
    this.#broker = broker
    broker.onPublish = (topic, payload) => this.#take(topic, payload)
  }

  book(point: PointId): Book {
    const known = this.books.get(point) ?? { accepted: [] }
    this.books.set(point, known)
    return known
  }

  texts(point: PointId): string[] {
    return this.book(point).accepted.map(({ payload }) => payload)
  }

  /** Sends a receipt, honest but for what is changed. */
  answer(point: PointId, change: Partial<ReceiptFacts> = {}, signer = this.signer): void {
    const head = this.book(point).accepted.at(-1)
    this.serial++
    const facts: ReceiptFacts = {
      point,
      session: this.session,
      serial: this.serial,
      epoch: head?.record.epoch ?? 0,
      sequence: head?.record.sequence ?? 0,
      hash: head?.hash ?? '',
      mintedWh: 0n,
      burnedWh: 0n,
      resend: false,
      ...change,
    }
    const topic = formatTopic({ ...parsePointId(point), kind: 'receipt' })
    this.#broker.send(topic, formatReceipt(facts, signer))
  }

  #take(name: string, payload: Uint8Array): void {
    const topic = parseTopic(name)
    if (this.deaf || topic === undefined) return
    if (topic.kind === 'hello') {
      this.log.push('hello')
      if (!this.silent) for (const point of parseHello(payload).points) this.answer(point)
      return
    }
    const point = makePointId(topic.gatewayId, topic.meterId)
    if (topic.kind === 'certificate') {
      this.log.push(`certificate ${topic.meterId}`)
      this.book(point).certificate = parseCertificate(Buffer.from(payload).toString('latin1'))
    } else if (topic.kind === 'record') this.#takeRecord(point, topic.meterId, payload)
  }

  #takeRecord(point: PointId, meterId: string, payload: Uint8Array): void {
    const book = this.book(point)
    const parsed = this.#rebuild(book, payload)
    const kind = isFrame(payload) ? 'frame' : 'text'
    this.log.push(`${kind} ${meterId} ${parsed?.record.sequence ?? '?'}`)
    if (this.silent) return
    const code = this.refusesPoint ?? (parsed === undefined ? undefined : this.refuses(parsed))
    if (code !== undefined) {
      const { epoch, sequence } = parsed?.record ?? { epoch: 0, sequence: 0 }
      this.answer(point, { refusal: { epoch, sequence, code, message: 'as scripted' } })
      return
    }
    const accepted = parsed !== undefined && this.#accept(book, parsed)
    if (accepted && kind === 'text') book.base = parsed
    this.answer(point, accepted ? {} : { resend: true })
  }

  #rebuild(book: Book, payload: Uint8Array): ParsedOcmf | undefined {
    try {
      const previousHash = book.accepted.at(-1)?.hash ?? ''
      const text = isFrame(payload)
        ? decodeFrame(payload, { base: book.base ?? fail(), previousHash })
        : Buffer.from(payload).toString('latin1')
      return parseOcmfText(text)
    } catch {
      return undefined // a frame without its base
    }
  }

  #accept(book: Book, parsed: ParsedOcmf): boolean {
    const key = book.certificate?.key
    if (key === undefined || !verifyParsed(parsed, key, nobleVerifier).ok) return false
    if (book.accepted.some(({ hash }) => hash === parsed.hash)) return true
    const { previousHash, sequence } = parsed.record
    const follows = previousHash === (book.accepted.at(-1)?.hash ?? book.certificate?.hash)
    const known = book.accepted.findIndex(({ hash }) => hash === previousHash)
    const last = book.accepted.at(-1)?.record
    // A new epoch may take up the chain at an earlier record (SPEC-82).
    if (!follows && !(known >= 0 && parsed.record.epoch > (last?.epoch ?? 0) && sequence > 0)) return false
    book.accepted.push(parsed)
    return true
  }
}

function fail(): never {
  throw new Error('no base')
}
