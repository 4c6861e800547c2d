import { type ErrorCode, WattError } from '@wattline/protocol'

/** Exit codes after sysexits.h, so that a supervisor can tell a wrong config from a busy port. */
export const exitCodes = {
  ok: 0,
  /** A check found something wrong. */
  faulty: 1,
  usage: 64,
  data: 65,
  unavailable: 69,
  software: 70,
  storage: 74,
  temporary: 75,
  config: 78,
} as const

const byPrefix: readonly (readonly [prefix: string, exit: number])[] = [
  ['config/', exitCodes.config],
  ['key/', exitCodes.config],
  ['operator/', exitCodes.config],
  ['evm/', exitCodes.unavailable],
  ['port/', exitCodes.unavailable],
  ['storage/locked', exitCodes.temporary],
  ['storage/full', exitCodes.temporary],
  ['storage/', exitCodes.storage],
  ['journal/', exitCodes.storage],
  ['certificate/', exitCodes.data],
  ['order/', exitCodes.data],
  ['transfer/pending', exitCodes.temporary],
  ['transfer/', exitCodes.data],
  ['wallet/', exitCodes.data],
  ['inquiry/', exitCodes.data],
  ['receipt/', exitCodes.data],
  ['account/', exitCodes.usage],
  ['ledger/busy', exitCodes.temporary],
  ['ledger/', exitCodes.unavailable],
  ['anchor/', exitCodes.data],
  ['proof/', exitCodes.data],
  ['message/', exitCodes.data],
  ['point/', exitCodes.usage],
  ['entry/', exitCodes.usage],
  ['asset/', exitCodes.config],
]

/** The exit code that fits an error. */
export function toExitCode(error: unknown): number {
  if (!(error instanceof WattError)) return exitCodes.software
  const { code }: { code: ErrorCode } = error
  return byPrefix.find(([prefix]) => code.startsWith(prefix))?.[1] ?? exitCodes.software
}
