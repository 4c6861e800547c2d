import { Writable } from 'node:stream'
import test from 'ava'
import { ProgressLine } from './progress-line.ts'

function capture(isTTY: boolean) {
  let text = ''
  const out = new Writable({
    write(chunk, _, done) {
      text += String(chunk)
      done()
    },
  })
  return { out: Object.assign(out, { isTTY }), text: () => text }
}

const at = (stage: string, done: number) => ({ busId: 'l', stage, done, total: 4, etaMs: 1500, found: 1 })

test('a terminal gets a bar that is overwritten, and is clean at the end', (t) => {
  const { out, text } = capture(true)
  const line = new ProgressLine(out)
  line.show(at('every unit id', 2))
  t.is(text(), '\r\x1b[K[############............] l: every unit id 50 %, about 2 s left, 1 found')
  line.end()
  t.true(text().endsWith('\r\x1b[K'))
})

test('elsewhere each stage is one plain line', (t) => {
  const { out, text } = capture(false)
  const line = new ProgressLine(out)
  for (const [stage, done] of [
    ['likely settings', 1],
    ['likely settings', 2],
    ['every unit id', 3],
  ] as const) {
    line.show(at(stage, done))
  }
  line.end()
  t.is(text(), 'l: likely settings 25 %, about 2 s left, 1 found\nl: every unit id 75 %, about 2 s left, 1 found\n')
})
