import { WattError } from '@wattline/protocol'
import type { Output } from '../commands.ts'
import { exitCodes } from '../exit-codes.ts'
import { openBus } from '../modbus/bus.ts'
import { FrameTrace } from '../modbus/frame-trace.ts'
import { MeterReader } from '../modbus/meter-reader.ts'
import { findProfile } from '../modbus/profiles.ts'
import { systemScheduler } from '../modbus/scheduler.ts'
import { startSystemClock } from '../system-clock.ts'
import { formatFrame, formatTable, frameToJson, toJson } from './live-format.ts'
import { LiveMeter } from './live-meter.ts'
import { decodeLiveOptions, type LiveOptions } from './live-options.ts'

/** A terminal tells how wide it is. */
type Screen = Output & { readonly isTTY?: boolean; readonly columns?: number }

const clearScreen = '\x1b[H\x1b[J'

/** Shows a meter's registers until Ctrl-C, or once. There is no way to write one: the bus only reads. */
export async function watchMeter(input: unknown, output: Screen): Promise<number> {
  const { options, profiles } = decodeLiveOptions(input)
  const profile = findProfile(profiles, options.profileId)
  const { bus: config, unitId, sunspecInstance, intervalMs } = options
  const trace = options.trace ? makeTrace(options, output) : undefined
  const clock = startSystemClock()
  const scheduler = systemScheduler
  const bus = openBus(config, { scheduler, ...(trace === undefined ? {} : { tap: trace }) })
  const reader = new MeterReader({ bus, unitId, profile, sunspecInstance, intervalMs, clock, scheduler })
  const meter = new LiveMeter()
  const ending = endBySignal(() => bus.close())
  try {
    for (let isFirst = true; ; isFirst = false) {
      const dueMs = scheduler.now() + intervalMs
      const readings = await reader.readAll()
      if (ending.isEnding()) break
      const failure = findFailure(readings)
      // Before anything was read, a port that is not there or taken is a mistake of the command line.
      if (failure !== undefined && (options.once || (isFirst && failure.code.startsWith('port/')))) throw failure
      const nowMs = scheduler.now()
      meter.take(readings, nowMs)
      trace?.flush()
      show(options, output, meter, { nowMs, takenAt: clock.now(), failure })
      if (options.once || (await ending.within(dueMs - scheduler.now()))) break
    }
    return exitCodes.ok
  } finally {
    ending.forget()
    clock.stop()
    await bus.close()
  }
}

// Ctrl-C must not wait for a meter that is silent: what is under way is given up.
function endBySignal(giveUp: () => Promise<void>) {
  let isEnding = false
  let wake = () => {}
  const end = () => {
    isEnding = true
    wake()
    void giveUp()
  }
  const signals = ['SIGINT', 'SIGTERM'] as const
  for (const signal of signals) process.once(signal, end)
  return {
    isEnding: () => isEnding,
    /** Waits for so long, and tells whether the end came meanwhile. */
    within: async (delayMs: number): Promise<boolean> => {
      await new Promise<void>((resolve) => {
        const cancel = systemScheduler.after(delayMs, resolve)
        wake = () => {
          cancel()
          resolve()
        }
        if (isEnding) wake()
      })
      return isEnding
    },
    forget: () => {
      for (const signal of signals) process.off(signal, end)
    },
  }
}

function makeTrace(options: LiveOptions, output: Screen): FrameTrace {
  const { bus, json } = options
  return new FrameTrace({
    scheduler: systemScheduler,
    format: bus.serial ?? (bus.rtuOverTcp === undefined ? undefined : { baudRate: 9600, parity: 'none', stopBits: 1 }),
    onFrame: (frame) => void output.write(`${json ? JSON.stringify(frameToJson(frame)) : formatFrame(frame)}\n`),
  })
}

interface Look {
  readonly nowMs: number
  readonly takenAt: number
  readonly failure: WattError | undefined
}

function show(options: LiveOptions, output: Screen, meter: LiveMeter, { nowMs, takenAt, failure }: Look): void {
  const rows = meter.rows(nowMs)
  const { meterId, unitId, profileId: profile } = options
  const time = new Date(takenAt).toISOString()
  if (options.json) {
    const named = { time, ...(meterId === undefined ? {} : { meter: meterId }), unitId, profile }
    output.write(`${JSON.stringify({ ...named, registers: toJson(rows) })}\n`)
    return
  }
  // Frames scroll, so the table does too.
  const redraws = output.isTTY === true && !options.trace && !options.once
  const width = redraws ? output.columns : undefined
  const title = `${meterId ?? profile}, unit ${unitId} on ${placeOf(options)}, ${time}`
  const lines = [title, ...formatTable(rows, width), ...(failure === undefined ? [] : ['', failure.message])]
  output.write(`${redraws ? clearScreen : ''}${lines.join('\n')}\n${redraws ? '' : '\n'}`)
}

function placeOf({ bus: { serial, tcp, rtuOverTcp } }: LiveOptions): string {
  if (serial !== undefined) {
    return `${serial.path} ${serial.baudRate} 8${serial.parity.charAt(0).toUpperCase()}${serial.stopBits}`
  }
  const { host, port } = tcp ?? rtuOverTcp ?? { host: '', port: 0 }
  return `${host}:${port}`
}

// Why a look brought nothing at all.
function findFailure(readings: Awaited<ReturnType<MeterReader['readAll']>>): WattError | undefined {
  if (readings instanceof WattError) return readings
  return readings.some(({ words }) => words !== undefined) ? undefined : readings[0]?.error
}
