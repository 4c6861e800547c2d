import test from 'ava'
import { toClientSettings, toInput } from './termios.ts'

const oddParity = 0o1000
const markOrSpace = 0o10000000000
const checkParity = 0o20

// What each package leaves of the bait; PARENB is gone whatever it wrote.
const cases = [
  { who: 'serialport', parity: 'none', iflag: 4, cflag: markOrSpace | oddParity },
  { who: 'serialport', parity: 'even', iflag: 4, cflag: markOrSpace },
  { who: 'libmodbus', parity: 'none', iflag: 0, cflag: markOrSpace | oddParity },
  { who: 'libmodbus', parity: 'even', iflag: checkParity, cflag: markOrSpace },
  { who: 'libmodbus', parity: 'odd', iflag: checkParity, cflag: markOrSpace | oddParity },
  { who: 'pyserial', parity: 'none', iflag: 0, cflag: 0 },
] as const

for (const { who, parity, iflag, cflag } of cases) {
  test(`${who} with parity ${parity} is recognised`, (t) => {
    t.deepEqual(toClientSettings({ iflag, cflag, speed: 9600 }, 'odd'), { baudRate: 9600, parity, stopBits: 1 })
  })
}

test('without the bait of odd parity, odd is told from none', (t) => {
  t.is(toClientSettings({ iflag: 4, cflag: markOrSpace | oddParity, speed: 1 }, 'not-odd').parity, 'odd')
  t.is(toClientSettings({ iflag: 4, cflag: markOrSpace, speed: 1 }, 'not-odd').parity, 'none')
})

test('speed and stop bits are what the kernel says', (t) => {
  t.like(toClientSettings({ iflag: 4, cflag: 0o100, speed: 250_000 }, 'odd'), { baudRate: 250_000, stopBits: 2 })
})

test('a broken character reaches the reader as its terminal is set', (t) => {
  const broken = { byte: 0x41, error: 'parity', endMs: 0 } as const
  const lineBreak = { byte: 0, error: 'break', endMs: 0 } as const
  const [ignoreBreak, ignoreParity, mark] = [1, 4, 8]
  t.deepEqual(toInput({ byte: 0x41, endMs: 0 }, checkParity), [0x41])
  t.deepEqual(toInput(broken, ignoreParity), [0x41])
  t.deepEqual(toInput(broken, checkParity), [0])
  t.deepEqual(toInput(broken, checkParity | ignoreParity), [])
  t.deepEqual(toInput(broken, checkParity | mark), [0xff, 0, 0x41])
  t.deepEqual(toInput(lineBreak, 0), [0])
  t.deepEqual(toInput(lineBreak, ignoreBreak), [])
  t.deepEqual(toInput(lineBreak, mark), [0xff, 0, 0])
})
