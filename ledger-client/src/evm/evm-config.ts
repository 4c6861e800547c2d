import { resolve } from 'node:path'
import { integerBetween } from '@wattline/protocol'
import * as v from 'valibot'

/** Every default of the section. */
const defaults = { confirmations: 12, maxFeeGwei: 50, tipGwei: 1, everySeconds: 60 } as const

/** A chain that `relay` brings records to. */
export interface EvmConfig {
  /** The node's HTTP address. */
  readonly rpcUrl: string
  /** The attestation contract. */
  readonly attestation: string
  /** The chain that the node has to be on; without it, the one that it is on at the start. */
  readonly chainId?: number
  /** 64 hex digits, mode 0600: who pays the gas. The key can do nothing else. */
  readonly keyFile: string
  /** Blocks after which nothing is taken back any more. */
  readonly confirmations: number
  /** Above this nothing is sent. */
  readonly maxFeeGwei: number
  readonly tipGwei: number
  /** How often is looked whether there is something to send. */
  readonly everySeconds: number
}

/** What the section may hold. */
export const evmShape = v.pipe(
  v.strictObject({
    rpcUrl: v.pipe(v.string(), v.regex(/^https?:\/\/[^\s]+$/, 'http://... or https://... expected')),
    attestation: v.pipe(v.string(), v.regex(/^0x[0-9a-fA-F]{40}$/, 'an address of 40 hex digits expected')),
    chainId: v.exactOptional(integerBetween(1, 2 ** 53 - 1)),
    keyFile: v.pipe(v.string(), v.minLength(1)),
    confirmations: v.optional(integerBetween(0, 10_000), defaults.confirmations),
    maxFeeGwei: v.optional(integerBetween(1, 100_000), defaults.maxFeeGwei),
    tipGwei: v.optional(integerBetween(0, 100_000), defaults.tipGwei),
    everySeconds: v.optional(integerBetween(1, 86_400), defaults.everySeconds),
  }),
  v.check(({ maxFeeGwei, tipGwei }) => tipGwei <= maxFeeGwei, 'tipGwei is part of maxFeeGwei'),
)

/** The section with its file found. */
export function toEvm(section: v.InferOutput<typeof evmShape>, folder: string): EvmConfig {
  return { ...section, keyFile: resolve(folder, section.keyFile) }
}
