import { type Logger, pino } from 'pino'

export type { Logger }

/** JSON lines on stdout. Every line has an `event`; its fields are typed by the caller. */
export function makeLogger(level: string): Logger {
  return pino({
    level,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
  })
}
