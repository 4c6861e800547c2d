import { WattError } from '@wattline/protocol'
import { pino } from 'pino'

/** Fields of one log line besides its event. */
export type LogFields = Readonly<Record<string, unknown>>

/** Writes one line per event. Event names are dotted and stable. */
export interface Log {
  error(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  debug(event: string, fields?: LogFields): void
}

export const logLevels = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]

/** JSON lines on stdout. */
export function openLog(level: LogLevel): Log {
  const sink = pino({
    level,
    base: null,
    formatters: { level: (label) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
  })
  return {
    error: (event, fields) => sink.error({ event, ...fields }),
    warn: (event, fields) => sink.warn({ event, ...fields }),
    info: (event, fields) => sink.info({ event, ...fields }),
    debug: (event, fields) => sink.debug({ event, ...fields }),
  }
}

/** What a log line says of an error. A stack only where the error is none of ours: then it is a bug. */
export function errorFields(error: unknown): LogFields {
  if (error instanceof WattError) return { code: error.code, message: error.message }
  if (error instanceof Error) return { message: error.message, stack: error.stack }
  return { message: String(error) }
}
