import test from 'ava'
import { connectStation, openTcp, startCsms, upgradeHead } from '../../test/csms-rig.ts'

const heartbeat = '[2,"h1","Heartbeat",{}]'

test('D1: a path that cannot be decoded is answered with 400 in words, and others are served on', async (t) => {
  const { port, log } = await startCsms(t.teardown)
  const standing = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  for (const path of ['/%ZZ', '/%', '/ocpp/%E0%A4%A', '//', '/a%00b', `/${'x'.repeat(600)}`]) {
    const answer = (await (await openTcp(port, upgradeHead(path))).until()).toString()
    t.regex(answer, /^HTTP\/1\.1 400 Bad Request\r\n/, path)
    t.regex(answer, /\r\n\r\n\S+ \S+/, path)
  }
  t.is((await standing.ask(heartbeat))[0], 3)
  t.true(log.lines.some(({ event, reason }) => event === 'ocpp.station.refused' && /percent/.test(String(reason))))
})

test('a request that is no WebSocket, or no HTTP at all, is answered and nothing else', async (t) => {
  const { port } = await startCsms(t.teardown)
  const page = (await (await openTcp(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).until()).toString()
  t.regex(page, /^HTTP\/1\.1 426 /)
  const noise = (await (await openTcp(port, 'hello\r\n\r\n')).until()).toString()
  t.regex(noise, /^HTTP\/1\.1 400 /)
  const long = (await (await openTcp(port, `GET /CP1 HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`)).until()).toString()
  t.regex(long, /^HTTP\/1\.1 431 /)
})

test('D3: a station that offers no known version is let in without the header, then closed with the reason', async (t) => {
  const { port } = await startCsms(t.teardown)
  for (const lines of [['Sec-WebSocket-Protocol: ocpp0.9, soap'], []]) {
    const tcp = await openTcp(port, upgradeHead('/CP1', ['Connection: Upgrade', ...lines]))
    const answer = await tcp.until(/^Sec/.test(lines[0] ?? '') ? 'ocpp0.9' : 'no subprotocol')
    const text = answer.toString('latin1')
    t.regex(text, /^HTTP\/1\.1 101 /)
    t.notRegex(text, /sec-websocket-protocol/i)
    const frame = answer.subarray(answer.indexOf('\r\n\r\n') + 4)
    t.deepEqual([frame[0], frame.readUInt16BE(2)], [0x88, 1002], 'a closing frame with its code')
    tcp.socket.destroy()
  }
})

test('D3: a station is served in the first version of its list that we know', async (t) => {
  const { port, csms } = await startCsms(t.teardown)
  const station = await connectStation(`ws://127.0.0.1:${port}/CP1`, ['ocpp9', 'ocpp2.0.1', 'ocpp1.6'])
  t.is(station.socket.protocol, 'ocpp2.0.1')
  t.like(csms.stations(), [{ id: 'CP1', connected: true, version: 'ocpp2.0.1' }])
})

test('Q1: a station without subprotocol is served as 1.6 where the configuration says so, and checked as such', async (t) => {
  const { port, frames } = await startCsms(t.teardown, {
    unknownStations: 'accept',
    stations: [{ id: 'GRIZZL', noSubprotocol: 'ocpp1.6' }],
  })
  const station = await connectStation(`ws://127.0.0.1:${port}/GRIZZL`, [])
  t.is(station.socket.protocol, '')
  t.like((await station.call('BootNotification', { chargePointVendor: 'United', chargePointModel: 7 }))[2], {
    status: 'Accepted',
  })
  t.like(frames(), [{ action: 'BootNotification', outcome: 'mended' }])
  const other = await connectStation(`ws://127.0.0.1:${port}/OTHER`, [])
  t.is((await other.closed()).code, 1002)
})

test('Q2: the version is that of the connection, not of the connection before', async (t) => {
  const { port } = await startCsms(t.teardown)
  const first = await connectStation(`ws://127.0.0.1:${port}/FOX`, ['ocpp1.6'])
  first.socket.terminate()
  const second = await connectStation(`ws://127.0.0.1:${port}/FOX`, ['ocpp2.0.1'])
  const answer = await second.call('BootNotification', {
    reason: 'PowerUp',
    chargingStation: { model: 'A', vendorName: 'Fox' },
  })
  t.is(answer[0], 3)
})

test('D6, Q3: the newest connection wins, and the end of the old one does not take it away', async (t) => {
  const { port, csms, log } = await startCsms(t.teardown)
  const old = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  const fresh = await connectStation(`ws://127.0.0.1:${port}/CP1`)
  t.deepEqual(await old.closed(), { code: 4001, reason: 'replaced by a newer connection' })
  t.like(await log.line('ocpp.station.disconnected'), { replaced: true })
  t.like(csms.stations(), [{ id: 'CP1', connected: true }])
  const answer = csms.call('CP1', 'ClearCache', {})
  const [, id] = await fresh.message(1)
  fresh.socket.send(JSON.stringify([3, id, { status: 'Accepted' }]))
  t.deepEqual(await answer, { payload: { status: 'Accepted' }, faults: [] })
  fresh.socket.close()
  await log.line('ocpp.station.disconnected', 2)
  t.like(csms.stations(), [{ id: 'CP1', connected: false }])
})

test('Q4: a handshake without `Connection: Upgrade` is served', async (t) => {
  const { port, log } = await startCsms(t.teardown)
  for (const lines of [[], ['Connection: keep-alive']]) {
    const tcp = await openTcp(port, upgradeHead('/CP1', ['Sec-WebSocket-Protocol: ocpp1.6', ...lines]))
    t.regex((await tcp.until('\r\n\r\n')).toString(), /^HTTP\/1\.1 101 .*Sec-WebSocket-Protocol: ocpp1\.6\r\n/s)
    // A masked text frame, with the key 0.
    const frame = Buffer.concat([Buffer.from([0x81, 0x80 | heartbeat.length, 0, 0, 0, 0]), Buffer.from(heartbeat)])
    tcp.socket.write(frame)
    t.regex((await tcp.until('currentTime')).toString(), /\[3,"h1",\{"currentTime"/)
    tcp.socket.destroy()
  }
  t.is(log.lines.filter(({ event }) => event === 'ocpp.station.connected').length, 2)
})

test('a handshake that comes byte by byte is served as well', async (t) => {
  const { port } = await startCsms(t.teardown)
  const head = upgradeHead('/CP1', ['Sec-WebSocket-Protocol: ocpp1.6'])
  const tcp = await openTcp(port, head.slice(0, 1))
  for (const byte of head.slice(1)) tcp.socket.write(byte)
  t.regex((await tcp.until('\r\n\r\n')).toString(), /^HTTP\/1\.1 101 /)
  tcp.socket.destroy()
})

test('Q5: a station that answers no ping, but speaks, stays connected; a silent one is let go', async (t) => {
  const { port, log } = await startCsms(t.teardown, { pingSeconds: 1, heartbeatSeconds: 10 })
  const mute = await connectStation(`ws://127.0.0.1:${port}/MUTE`, ['ocpp1.6'], { autoPong: false })
  const lost = await connectStation(`ws://127.0.0.1:${port}/LOST`)
  let pings = 0
  const third = new Promise<void>((resolve) => {
    mute.socket.on('ping', () => {
      pings++
      if (pings === 4) resolve()
    })
  })
  // It answers one ping, and then nothing comes any more: a line that is cut without a word.
  lost.socket.once('ping', () => setImmediate(() => lost.socket.pause()))
  t.like(await log.line('ocpp.station.silent'), { station: 'LOST' })
  await third
  t.is((await mute.ask(heartbeat))[0], 3)
})

test('D11: slashes at the end and in between name the same station; a slash inside an identity is refused', async (t) => {
  const { port, csms } = await startCsms(t.teardown)
  for (const path of ['/CP1', '/ocpp/CP1/', '//steve//CP1//', '/CP1?x=1']) {
    const station = await connectStation(`ws://127.0.0.1:${port}${path}`)
    t.is((await station.ask(heartbeat))[0], 3, path)
  }
  t.deepEqual(
    csms.stations().map(({ id }) => id),
    ['CP1'],
  )
  for (const path of ['/CP%2F1', '/CP%201', `/${'A'.repeat(49)}`, '/%2e%2e']) {
    await t.throwsAsync(connectStation(`ws://127.0.0.1:${port}${path}`), { message: /^400: .*identity/ }, path)
  }
  const longest = await connectStation(`ws://127.0.0.1:${port}/${'A'.repeat(48)}`)
  t.is((await longest.ask(heartbeat))[0], 3)
})

test('D10: a message above the limit ends its connection, compressed or not, and no other', async (t) => {
  const { port } = await startCsms(t.teardown, { maxMessageBytes: 16_384 })
  const url = `ws://127.0.0.1:${port}`
  const [plain, packed, other] = await Promise.all([
    connectStation(`${url}/A`, ['ocpp1.6'], { perMessageDeflate: false }),
    connectStation(`${url}/B`),
    connectStation(`${url}/C`),
  ])
  const large = JSON.stringify([2, '1', 'DataTransfer', { vendorId: 'x', data: 'x'.repeat(20_000) }])
  plain.socket.send(large)
  packed.socket.send(large) // 60 bytes on the wire
  t.is((await plain.closed()).code, 1009)
  t.is((await packed.closed()).code, 1009)
  t.is((await other.ask(heartbeat))[0], 3)
})

test('D10: no more connections than configured', async (t) => {
  const { port } = await startCsms(t.teardown, { maxConnections: 2 })
  const stations = [await connectStation(`ws://127.0.0.1:${port}/A`), await connectStation(`ws://127.0.0.1:${port}/B`)]
  await t.throwsAsync(connectStation(`ws://127.0.0.1:${port}/C`))
  for (const station of stations) t.is((await station.ask(heartbeat))[0], 3)
})

test('permessage-deflate is agreed on where the station offers it', async (t) => {
  const { port } = await startCsms(t.teardown)
  const packed = await connectStation(`ws://127.0.0.1:${port}/A`, ['ocpp2.0.1'])
  t.regex(packed.socket.extensions, /permessage-deflate/)
  const plain = await connectStation(`ws://127.0.0.1:${port}/B`, ['ocpp2.0.1'], { perMessageDeflate: false })
  t.is(plain.socket.extensions, '')
})

test('a station that floods is read more slowly than it sends, and gets every answer; the others wait for nothing', async (t) => {
  const { port, log } = await startCsms(t.teardown, { messagesPerSecond: 100 })
  const [flood, other] = await Promise.all([
    connectStation(`ws://127.0.0.1:${port}/FLOOD`),
    connectStation(`ws://127.0.0.1:${port}/OTHER`),
  ])
  const count = 600
  for (let n = 0; n < count; n++) flood.socket.send(`[2,"${n}","Heartbeat",{"pad":"${'x'.repeat(2_000)}"}]`)
  t.is((await other.ask(heartbeat))[0], 3)
  t.true(flood.received.length < count, 'the other one was served while the flood still waited')
  t.deepEqual((await flood.message(count))[0], 3)
  t.false(log.lines.some(({ level }) => level === 'error'))
})
