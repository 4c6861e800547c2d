const blankLine = Buffer.from('\r\n\r\n')

/** Where the head of an HTTP request ends, after its blank line; undefined where it has not come in full. */
export function findHeadEnd(bytes: Buffer): number | undefined {
  const at = bytes.indexOf(blankLine)
  return at < 0 ? undefined : at + blankLine.length
}

/** Adds `Connection: Upgrade` to a request that asks for a WebSocket and has left it out; touches nothing else. */
export function mendHead(bytes: Buffer, end: number): Buffer {
  const lines = bytes.subarray(0, end).toString('latin1').split('\r\n')
  const wantsWebSocket = lines.some((line) => /^upgrade:\s*websocket\s*$/i.test(line))
  const saysSo = lines.some((line) => /^connection:.*\bupgrade\b/i.test(line))
  if (!wantsWebSocket || saysSo) return bytes
  const [first = '', ...rest] = lines
  const mended = [first, 'Connection: Upgrade', ...rest.filter((line) => !/^connection:/i.test(line))].join('\r\n')
  return Buffer.concat([Buffer.from(mended, 'latin1'), bytes.subarray(end)])
}
