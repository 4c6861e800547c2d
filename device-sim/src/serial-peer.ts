// biome-ignore lint/style/noRestrictedImports: only tests start this program; the simulator never opens a port
import { SerialPort } from 'serialport'

// Carries bytes between stdin/stdout and a serial port, for tests. The binding of serialport belongs to the main
// thread of a process and breaks a test runner's worker threads, so it gets a process of its own.
const [path = '', baudRate = '9600', parity = 'none'] = process.argv.slice(2)
const port = new SerialPort({
  path,
  baudRate: Number(baudRate),
  parity: parity === 'even' || parity === 'odd' ? parity : 'none',
})
port.on('open', () => process.send?.('open'))
port.on('close', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
process.stdin.pipe(port).pipe(process.stdout)
