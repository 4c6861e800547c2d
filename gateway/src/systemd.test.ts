import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import test from 'ava'
import { attachServiceManager } from './systemd.ts'

test('without a service manager nothing is told', (t) => {
  const told: string[] = []
  const manager = attachServiceManager(
    { WATCHDOG_USEC: '2000' },
    () => true,
    (message) => told.push(message),
  )
  manager.ready()
  manager.stopping()
  manager.close()
  t.deepEqual(told, [])
})

test('the watchdog hears from us only while readings come out', async (t) => {
  const told: string[] = []
  let alive = true
  const environment = { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '10000', WATCHDOG_PID: `${process.pid}` }
  const manager = attachServiceManager(
    environment,
    () => alive,
    (message) => told.push(message),
  )
  manager.ready()
  while (told.length < 3) await pause(5)
  t.deepEqual(told.slice(0, 3), ['READY=1', 'WATCHDOG=1', 'WATCHDOG=1'])
  alive = false
  const before = told.length
  await pause(40)
  t.is(told.length, before)
  manager.close()
  manager.stopping()
  t.is(told.at(-1), 'STOPPING=1')
})

test("another process's watchdog is not ours", async (t) => {
  const told: string[] = []
  const environment = { NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '2000', WATCHDOG_PID: '1' }
  const manager = attachServiceManager(
    environment,
    () => true,
    (message) => told.push(message),
  )
  await pause(20)
  manager.close()
  t.deepEqual(told, [])
})

test('the unit does not wait for a network, and never gives up', (t) => {
  const unit = readFileSync(new URL('../../hardware/provisioning/wattline-gateway.service', import.meta.url), 'utf8')
  const lines = unit.split('\n').filter((line) => !line.startsWith('#'))
  t.true(lines.includes('After=network.target'))
  t.false(lines.some((line) => line.includes('network-online')))
  t.true(lines.indexOf('StartLimitIntervalSec=0') < lines.indexOf('[Service]'))
  t.true(lines.includes('NotifyAccess=all'), 'systemd-notify is another process')
  t.false(lines.includes('ProcSubset=pid'), 'the boot id would be hidden')
})
