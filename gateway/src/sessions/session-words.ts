import type { DoubtCode, NoteCode } from './session-state.ts'

/** What a person reads of a session besides its figures. */
export const sessionWords: Readonly<Record<DoubtCode | NoteCode, string>> = {
  'after-end': 'the station told its end after it had been closed',
  'begin-missing': 'its begin was never told: it counts from the first value seen',
  'clock-ahead': "the station's clock is ahead: times are put right by ours",
  'closed-by-next-start': 'never ended: closed with its last value by the next start at the place',
  'closed-by-silence': 'never ended: closed with its last value after seven days of silence',
  'end-register-missing': 'ended without a usable register: closed with its last value',
  'matched-without-id': 'its stop named no known transaction; only this one could be meant',
  'no-register': 'no register value was ever told: no energy',
  'not-authorised': 'went on although its token was refused',
  'outlived-by-the-next': 'its begin came after the next session had begun: no energy',
  'place-contradicted': 'messages name different places',
  'register-below-last': 'the register was told a little below its last value',
  'register-restarted': 'the register began anew within the session',
  'register-rolled-over': 'the register rolled over within the session',
  'register-unbelievable': 'a register value did not follow from the one before and was left out',
  'sequence-useless': 'sequence numbers are used twice and prove nothing',
  'stop-before-start': 'DOUBT: its stop claims to be before its start',
  'stopped-by-another-token': 'DOUBT: stopped with a token of somebody else',
  'stopped-twice': 'stopped again with other values, which do not count',
  'value-unreadable': 'something that should be energy could not be read',
}
