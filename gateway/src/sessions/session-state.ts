import { clockStatuses, integerBetween } from '@wattline/protocol'
import * as v from 'valibot'
import { msShape, registerShape, whShape } from './place-register.ts'
import { findGap, sequenceShape } from './sequence.ts'

/** When something happened: what the station claims, when it arrived, and what we take for true (SPEC-103). */
export const momentShape = v.object({
  claimedAt: msShape,
  arrivedAt: msShape,
  takenAt: msShape,
  clockStatus: v.picklist(clockStatuses),
})
export type Moment = v.InferOutput<typeof momentShape>

/** What makes a session's energy a doubt: nothing is counted from it. */
export const doubtCodes = ['stopped-by-another-token', 'stop-before-start'] as const
/** What a person should know of a session whose energy counts all the same. */
export const noteCodes = [
  'after-end',
  'begin-missing',
  'clock-ahead',
  'closed-by-next-start',
  'closed-by-silence',
  'end-register-missing',
  'matched-without-id',
  'no-register',
  'not-authorised',
  'outlived-by-the-next',
  'place-contradicted',
  'register-below-last',
  'register-restarted',
  'register-rolled-over',
  'register-unbelievable',
  'sequence-useless',
  'stopped-twice',
  'value-unreadable',
] as const

export type DoubtCode = (typeof doubtCodes)[number]
export type NoteCode = (typeof noteCodes)[number]

const verdictShape = v.object({
  status: v.picklist(['Accepted', 'Blocked', 'Expired', 'Invalid', 'ConcurrentTx']),
  expiryDate: v.exactOptional(v.string()),
  groupIdToken: v.exactOptional(v.string()),
})

/** One charging session, as far as it is known. Lies in the database as JSON. */
export const sessionShape = v.object({
  /** The number of the frame that opened it. */
  id: integerBetween(1, Number.MAX_SAFE_INTEGER),
  stationId: v.string(),
  connectorId: integerBetween(1, Number.MAX_SAFE_INTEGER),
  version: v.picklist(['ocpp1.6', 'ocpp2.0.1', 'ocpp2.1']),
  /** What the station calls it; OCPP 1.6: what we do. */
  transaction: v.optional(v.string()),
  /** OCPP 1.6: tells a start that is sent again. */
  startKey: v.optional(v.string()),
  /** Whether its begin was told, and not only concluded. */
  isStarted: v.boolean(),
  /** Its first and its last message. */
  begunAt: momentShape,
  heardAt: momentShape,
  /** On the register of the place, as are all others here. */
  beginWh: v.optional(whShape),
  lastWh: v.optional(whShape),
  /** Whether `beginWh` is what the start told. */
  isBeginTold: v.boolean(),
  end: v.optional(
    v.object({
      how: v.picklist(['stop', 'next-start', 'silence']),
      at: momentShape,
      wh: v.optional(whShape),
      /** Tells a stop that is sent again from another one. */
      key: v.string(),
      reason: v.optional(v.string()),
      /** What was presented to end it, and the group of that. */
      tokens: v.optional(v.array(v.string()), []),
      group: v.optional(v.string()),
    }),
  ),
  /** Nothing changes its energy any more. */
  isSettled: v.boolean(),
  isBeginSigned: v.boolean(),
  /** The claimed time of the last interval that was signed. */
  intervalAt: v.optional(msShape),
  /** The station has told that nobody charges here. */
  isAvailable: v.boolean(),
  sequence: sequenceShape,
  /** SHA-256 of what was presented. */
  token: v.optional(v.string()),
  group: v.optional(v.string()),
  driver: v.optional(v.string()),
  /** What was answered when the token was presented, by the content of the message. */
  answered: v.optional(v.object({ contentHash: v.string(), verdict: verdictShape })),
  doubts: v.array(v.picklist(doubtCodes)),
  notes: v.array(v.picklist(noteCodes)),
})
export type SessionState = v.InferOutput<typeof sessionShape>

/** What is remembered of a place besides its sessions. */
export const placeShape = v.object({
  register: v.optional(registerShape),
  /** Where the last session ended: no other one begins below. */
  endedWh: whShape,
})
export type PlaceState = v.InferOutput<typeof placeShape>

/** What is remembered of a station's clock. */
export const stationClockShape = v.object({
  /** How far it is ahead of ours, as far as that is certain. */
  aheadMs: msShape,
  /** Claimed less arrived, of the last message: below zero also where the message was late. */
  offsetMs: integerBetween(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
})
export type StationClock = v.InferOutput<typeof stationClockShape>

/** The energy that a session has used until now. */
export function sessionWh({ beginWh, lastWh, end }: SessionState): bigint {
  if (beginWh === undefined) return 0n
  const values = [beginWh, lastWh ?? beginWh, end?.wh ?? beginWh]
  return values.reduce((most, wh) => (wh > most ? wh : most)) - beginWh
}

/** `complete`, `gap at n`, or what else is missing. */
export function completeness({ version, isStarted, end, sequence }: SessionState): string {
  const gap = findGap(sequence)
  if (gap !== undefined) return `gap at ${gap}`
  if (!isStarted) return 'begin missing'
  if (end === undefined) return 'running'
  if (end.how !== 'stop') return 'end missing'
  return version !== 'ocpp1.6' && sequence.isUseless ? 'not told' : 'complete'
}
