/**
 * What real charging stations do against the standard, each a switch of its own. The number groups switches that
 * stand for one observed habit.
 */
export const quirks = {
  'no-subprotocol': ['Q1', 'offers no Sec-WebSocket-Protocol'],
  'throw-away-connection': [
    'Q2',
    'opens a connection with ocpp1.6, drops it without a close frame, then connects in earnest',
  ],
  'old-socket-stays': ['Q3', 'opens a new socket and leaves the old one open'],
  'no-upgrade-header': ['Q4', 'asks for a WebSocket without `Connection: Upgrade`'],
  'ignores-pings': ['Q5', 'answers no ping'],
  'bad-frames': ['Q5', 'sends one frame with reserved bits after the first boot'],
  'empty-frames': ['Q6', 'sends an empty text frame before each message'],
  'counting-message-ids': ['Q7', 'counts message ids from 1000001 at each start'],
  'no-boot-on-reconnect': ['Q8', 'sends BootNotification once per start, not per connection'],
  'forgets-settings': ['Q9', 'loses its settings at each connection and start'],
  'odd-settings': ['Q10', 'leaves out standard keys, spells others otherwise, offers the charging rate unit "Power"'],
  'settings-ignored': ['Q10', 'accepts a change of a setting and does nothing'],
  'hangs-on-change-availability': ['Q11', 'says nothing more on this socket after ChangeAvailability'],
  'long-tag-overrun': ['Q12', 'echoes a remote idTag of 20 characters with rubbish behind it when it stops'],
  'zoneless-time': ['Q13', 'writes local time without a zone'],
  'offset-time': ['Q13', 'writes time with the offset +10:00'],
  'local-time-as-utc': ['Q13', 'writes local time as if it were UTC until its first heartbeat is answered'],
  'epoch-before-boot': ['Q13', 'counts from 1970 until its boot is accepted'],
  'no-milliseconds': ['Q13', 'writes whole seconds'],
  'replays-stale-status': [
    'Q14',
    'keeps each StatusNotification made offline and sends them all, before anything else',
  ],
  'odd-meter-values-transaction-id': ['Q15', '0, -1 or any number as transactionId of MeterValues'],
  'odd-stop-transaction-id': ['Q15', '0, -1 or any number as transactionId of StopTransaction'],
  'start-never-sent': ['Q16', 'stops transactions that it never started'],
  'repeats-stop': ['Q17', 'sends the end of each transaction twice'],
  'repeats-stop-otherwise': ['Q17', 'sends the end of each transaction again, a second and a Wh later'],
  'repeats-start': ['Q17', 'sends the begin of each transaction twice, with another message id'],
  'start-lost': ['Q18', 'loses begins that are still queued when the power goes'],
  'meter-values-after-stop': ['Q19', 'sends one more MeterValues with the transactionId that has ended'],
  'start-at-end': ['Q20', 'sends StartTransaction where StopTransaction belongs'],
  'charging-before-start': ['Q20', 'tells that it charges before the transaction begins'],
  'available-while-open': ['Q20', 'tells that it is available while it charges'],
  'session-after-refusal': ['Q21', 'goes on charging when the begin is answered with a refusal'],
  'no-connector-id': ['Q22', 'leaves out evse.connectorId'],
  'connector-0': ['Q22', 'sends connectorId 0'],
  'seq-no-0': ['Q22', 'sends seqNo 0 always'],
  'no-meter-value': ['Q22', 'sends no meterValue in TransactionEvent'],
  'no-stopped-reason': ['Q22', 'leaves out stoppedReason'],
  'register-per-session': ['Q23', 'begins each transaction at 0 Wh'],
  'register-restarts': ['Q23', 'begins at 0 Wh after each power cut'],
  'two-contexts': ['Q24', 'puts the value of the begin beside the present one, in one sample'],
  'start-below-last': ['Q25', 'begins 5 Wh below the last value it sent'],
  'stop-below-last': ['Q25', 'ends 5 Wh below the last value it sent'],
  'stop-minus-one': ['Q25', 'ends with -1 Wh'],
  'stop-zero': ['Q25', 'ends with 0 Wh'],
  'fractional-wh': ['Q26', 'puts fractions of a Wh into whole-number fields'],
  'value-as-number': ['Q26', 'writes a sampled value as a number where text belongs'],
  'empty-value': ['Q26', 'writes a sampled current as empty text'],
  'leading-blanks': ['Q26', 'pads sampled values with blanks'],
  'no-unit': ['Q26', 'leaves out units'],
  'kwh-values': ['Q26', 'writes energy in kWh'],
  'wrong-unit': ['Q26', 'writes energy with the unit Celsius'],
  'no-measurand': ['Q26', 'leaves out the measurand of energy'],
  'odd-phases': ['Q26', 'tells currents of L1-N and of N'],
  'roll-over-32-bit': ['Q27', 'counts Wh in 32 bits'],
  'roll-over-six-digits': ['Q27', 'counts six digits of Wh'],
  'export-register': ['Q28', 'calls what the vehicle takes Energy.Active.Export.Register'],
  'stack-level-0-only': ['Q29', 'accepts charging profiles of stack level 0 only'],
  'watt-only': ['Q29', 'accepts limits in W only'],
  'relative-only': ['Q29', 'accepts profiles of kind Relative only'],
  'refuses-zero-amps': ['Q29', 'refuses profiles with a limit of 0'],
  'current-steps': ['Q29', 'offers 6, 8, 10, 13 or 16 A and nothing between'],
  'slow-sampling': ['Q29', 'samples every 30 s at most, whatever it is told'],
} as const satisfies Record<string, readonly [`Q${number}`, string]>

export type Quirk = keyof typeof quirks

export type Quirks = ReadonlySet<Quirk>

const isQuirk = (name: string): name is Quirk => name in quirks

/** The names, for the schema of the config. */
export const quirkNames: readonly Quirk[] = Object.keys(quirks).filter(isQuirk)
