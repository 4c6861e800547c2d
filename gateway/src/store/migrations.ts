/**
 * Each entry takes the database from the version that is its index to the next, in one transaction. Never changed
 * once released; a change of shape is a new entry.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE points (
    number INTEGER PRIMARY KEY,
    point TEXT NOT NULL UNIQUE,
    public_key TEXT NOT NULL,
    certificate TEXT NOT NULL,
    -- The head of the chain: the epoch to sign in, and what was signed last. sequence 0 before the first record.
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    page_f INTEGER NOT NULL,
    page_t INTEGER NOT NULL,
    -- Of the last payload, or of the certificate before the first.
    head_hash TEXT NOT NULL,
    -- The last place that the ledger has confirmed, 0, 0 and '' before the first receipt.
    acknowledged_epoch INTEGER NOT NULL DEFAULT 0,
    acknowledged_sequence INTEGER NOT NULL DEFAULT 0,
    acknowledged_hash TEXT NOT NULL DEFAULT '',
    minted_wh TEXT NOT NULL DEFAULT '0',
    burned_wh TEXT NOT NULL DEFAULT '0',
    receipt_session TEXT NOT NULL DEFAULT '',
    receipt_serial INTEGER NOT NULL DEFAULT 0,
    -- JSON: what the guard remembers of the meter.
    history TEXT NOT NULL,
    -- 1 after accept-swap, until the next reading is signed as re-based.
    rebase INTEGER NOT NULL DEFAULT 0
  ) STRICT;

  -- Written once, with the signature, and never changed but for 'rejected'. Everything after a point's acknowledged
  -- place that is not rejected is the outbox.
  CREATE TABLE records (
    number INTEGER PRIMARY KEY,
    point INTEGER NOT NULL REFERENCES points (number),
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    -- The page numbers of both contexts as of this record.
    page_f INTEGER NOT NULL,
    page_t INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    hash TEXT NOT NULL,
    text TEXT NOT NULL,
    -- The code with which the ledger refused it, or with which it became unreachable for the ledger.
    rejected TEXT,
    UNIQUE (point, epoch, sequence)
  ) STRICT;

  -- One row: how the next start tells whether this database is the latest (lineage.ts).
  CREATE TABLE lineage (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    token TEXT NOT NULL,
    marker_inode TEXT NOT NULL,
    marker_ctime_ns TEXT NOT NULL,
    witness_inode TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    -- Records ever signed with this database.
    signed INTEGER NOT NULL
  ) STRICT;
  INSERT INTO lineage VALUES (1, '', '', '', '', '', 0);

  CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  `,
  `
  -- What charging stations sent, as it came: every message that tells of energy, and every other one that was mended
  -- or put aside.
  CREATE TABLE ocpp_frames (
    -- Never given twice: 1.6 takes it for transaction ids.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    station TEXT NOT NULL,
    version TEXT NOT NULL,
    arrived_at INTEGER NOT NULL,
    action TEXT NOT NULL,
    message_id TEXT NOT NULL,
    -- SHA-256 of station, action and payload: tells a message that is sent again, whatever its id.
    content_hash TEXT NOT NULL,
    frame TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('accepted', 'mended', 'quarantined')),
    -- JSON: what was mended, or why it was put aside; in words.
    notes TEXT NOT NULL
  ) STRICT;
  -- Not for MeterValues, by far the most: an entry at a random place of the index costs more than the row itself.
  CREATE INDEX ocpp_frames_by_content ON ocpp_frames (content_hash, number) WHERE action <> 'MeterValues';
  CREATE INDEX ocpp_frames_in_quarantine ON ocpp_frames (number) WHERE outcome = 'quarantined';
  `,
  `
  -- Charging sessions. The state is JSON (sessions/session-state.ts); the columns beside it are what is looked for.
  CREATE TABLE charging_sessions (
    -- The number of the frame that opened it.
    id INTEGER PRIMARY KEY,
    station TEXT NOT NULL,
    connector INTEGER NOT NULL,
    transaction_id TEXT,
    start_key TEXT,
    -- 1 once nothing changes its energy any more.
    settled INTEGER NOT NULL,
    begun_at INTEGER NOT NULL,
    state TEXT NOT NULL
  ) STRICT;
  -- What changes with each value, apart: a session is long, and all of a page is written with a part of it.
  CREATE TABLE charging_progress (
    session INTEGER PRIMARY KEY REFERENCES charging_sessions (id) ON DELETE CASCADE,
    state TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX charging_sessions_by_start ON charging_sessions (station, start_key) WHERE start_key IS NOT NULL;
  CREATE INDEX charging_sessions_by_transaction ON charging_sessions (station, transaction_id, id);
  CREATE INDEX charging_sessions_unsettled ON charging_sessions (station, connector, id) WHERE settled = 0;
  CREATE INDEX charging_sessions_settled ON charging_sessions (begun_at) WHERE settled = 1;

  -- The register as it counts at each place, and where its last session ended.
  CREATE TABLE charging_places (
    station TEXT NOT NULL,
    connector INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (station, connector)
  ) STRICT;

  CREATE TABLE charging_clocks (station TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT;

  -- Messages that wait for the begin of their transaction, which tells its place.
  CREATE TABLE charging_waiting (
    frame INTEGER PRIMARY KEY,
    station TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    arrived_at INTEGER NOT NULL,
    event TEXT NOT NULL
  ) STRICT;
  CREATE INDEX charging_waiting_by_transaction ON charging_waiting (station, transaction_id, frame);
  `,
  `
  -- What stations told and an operator's CSMS upstream must learn, in the order in which it came.
  CREATE TABLE upstream_messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    station TEXT NOT NULL,
    version TEXT NOT NULL,
    action TEXT NOT NULL,
    -- The journal's row that holds the payload. NULL where it stands here: it was mended, or the journal has it not.
    frame INTEGER,
    payload TEXT,
    content_hash TEXT NOT NULL,
    -- Of OCPP-J, and the same however often it is sent.
    message_id TEXT NOT NULL,
    arrived_at INTEGER NOT NULL,
    -- OCPP 1.6: the transaction as the station knows it.
    transaction_id INTEGER,
    -- 1 where nobody upstream could be told at once.
    late INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'aside')),
    -- Why it was put aside.
    reason TEXT NOT NULL DEFAULT ''
  ) STRICT;
  CREATE INDEX upstream_messages_by_station ON upstream_messages (station, number);
  CREATE INDEX upstream_messages_waiting ON upstream_messages (station, number) WHERE state = 'waiting';
  CREATE INDEX upstream_messages_aside ON upstream_messages (station) WHERE state = 'aside';
  CREATE INDEX upstream_messages_done ON upstream_messages (arrived_at) WHERE state <> 'waiting';
  CREATE INDEX upstream_messages_notices ON upstream_messages (station)
    WHERE state = 'waiting' AND action IN ('NotifyEvent', 'ReservationStatusUpdate', 'SecurityEventNotification');
  -- Not for MeterValues, as in the journal.
  CREATE UNIQUE INDEX upstream_messages_by_content ON upstream_messages (station, content_hash)
    WHERE action <> 'MeterValues';

  -- OCPP 1.6: which of upstream's transactions is which of ours.
  CREATE TABLE upstream_transactions (
    station TEXT NOT NULL,
    ours INTEGER NOT NULL,
    -- NULL until upstream has answered the start.
    theirs INTEGER,
    started_at INTEGER NOT NULL,
    -- 1 once its stop stands in the queue.
    ended INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (station, ours)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX upstream_transactions_by_theirs ON upstream_transactions (station, theirs);

  -- Of what only the latest counts: how a station presented itself, the status of each connector and the like.
  CREATE TABLE upstream_latest (
    -- A new one with each change, so that what was replaced while it was sent is told apart.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    station TEXT NOT NULL,
    subject TEXT NOT NULL,
    version TEXT NOT NULL,
    action TEXT NOT NULL,
    payload TEXT NOT NULL,
    pending INTEGER NOT NULL DEFAULT 1,
    UNIQUE (station, subject)
  ) STRICT;
  `,
  `
  -- One row: the last list of drivers that was accepted, as it was signed.
  CREATE TABLE driver_list (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    public_key TEXT NOT NULL,
    serial INTEGER NOT NULL,
    text TEXT NOT NULL
  ) STRICT;

  -- Leave to begin one session at one place: a reservation, which also keeps everybody else away, or a remote start.
  CREATE TABLE permits (
    -- The reservationId or remoteStartId of OCPP.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('reservation', 'start')),
    station TEXT NOT NULL,
    -- OCPP 1.6's connector, 2.x's EVSE; 0 for the whole station.
    connector INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- What the station knows the holder and the holder's group by.
    id_token TEXT NOT NULL,
    group_token TEXT NOT NULL,
    -- Whose account pays, and whose cards open it. NULL where only a code does.
    driver TEXT,
    driver_group TEXT,
    -- Of one-time codes; NULL where none opens it.
    secret TEXT,
    validity_seconds INTEGER NOT NULL,
    code_length INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'used', 'cancelled')),
    -- SHA-256 of the start that used it and the token it came with: the same message again is no second start.
    used_by TEXT NOT NULL DEFAULT '',
    -- 1 while the station may hold it.
    at_station INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX permits_open ON permits (station) WHERE state = 'open';
  CREATE INDEX permits_at_station ON permits (station) WHERE at_station = 1;
  CREATE INDEX permits_used ON permits (used_by) WHERE state = 'used';

  -- Codes that were taken. None is taken twice.
  CREATE TABLE spent_codes (
    permit INTEGER NOT NULL REFERENCES permits (number),
    slot INTEGER NOT NULL,
    -- 'station': typed there, and the session may still have to begin with it; 'remote': the start was sent.
    way TEXT NOT NULL CHECK (way IN ('station', 'remote')),
    PRIMARY KEY (permit, slot)
  ) STRICT;

  -- The local list that each station was given: its version there, and SHA-256 of the whole.
  CREATE TABLE station_lists (
    station TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- Which records a charging session was signed as. Each mark is signed once, whatever is said again.
  CREATE TABLE session_records (
    session INTEGER NOT NULL,
    mark TEXT NOT NULL CHECK (mark IN ('begin', 'end')),
    point INTEGER NOT NULL REFERENCES points (number),
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    taken_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    -- Absent where the register is in doubt.
    register_wh INTEGER,
    PRIMARY KEY (session, mark)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX session_records_by_place ON session_records (point, epoch, sequence);

  -- What stations' own meters signed, as it came, beside what is signed here.
  CREATE TABLE signed_values (
    number INTEGER PRIMARY KEY,
    -- The message that brought it first.
    frame INTEGER NOT NULL,
    station TEXT NOT NULL,
    -- Absent, and empty, where the message does not tell.
    connector INTEGER,
    transaction_id TEXT NOT NULL,
    context TEXT NOT NULL,
    sampled_at TEXT NOT NULL,
    encoding TEXT NOT NULL,
    text TEXT NOT NULL,
    -- SHA-256 of the text: the same value comes again with each repeated message.
    digest TEXT NOT NULL,
    meter TEXT NOT NULL,
    -- SPKI in upper-case hex: what it was checked against.
    public_key TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('valid', 'false', 'unproven', 'repeated')),
    reason TEXT NOT NULL,
    UNIQUE (station, digest, transaction_id)
  ) STRICT;
  -- The keys that stations' meters were met with first, where the configuration names none.
  CREATE TABLE station_meter_keys (
    station TEXT NOT NULL,
    meter TEXT NOT NULL,
    public_key TEXT NOT NULL,
    frame INTEGER NOT NULL,
    PRIMARY KEY (station, meter)
  ) STRICT, WITHOUT ROWID;

  -- A session against the meter of its feeder.
  CREATE TABLE session_checks (
    session INTEGER PRIMARY KEY,
    point INTEGER NOT NULL REFERENCES points (number),
    meter TEXT NOT NULL,
    -- What the session says, and between what the meter puts it; absent where that cannot be told.
    session_wh INTEGER,
    low_wh INTEGER,
    high_wh INTEGER,
    verdict TEXT NOT NULL CHECK (verdict IN ('agrees', 'differs', 'unknown')),
    reason TEXT NOT NULL,
    checked_at INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- Stations that the installer has let in by command, beside those of the configuration.
  CREATE TABLE adopted_stations (
    station TEXT PRIMARY KEY,
    -- OCPP's security profile that it must show, and the one that takes its place when it has first shown it.
    profile INTEGER NOT NULL,
    next_profile INTEGER,
    -- SHA-256 in hex.
    password_hash TEXT,
    next_password_hash TEXT,
    -- JSON: the settings that it has taken, for the day on which it forgets them.
    settings TEXT NOT NULL,
    adopted_at INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- Of a reservation that upstream asked for: its number at the station, and the request as the station gets it.
  ALTER TABLE permits ADD COLUMN station_number INTEGER;
  ALTER TABLE permits ADD COLUMN request TEXT;
  CREATE INDEX permits_passed_on ON permits (station, station_number) WHERE station_number IS NOT NULL;
  `,
  `
  -- SPEC-95: the first certificate, then each key's word on its successor and the successor's certificate, a line each.
  ALTER TABLE points ADD COLUMN rotations TEXT NOT NULL DEFAULT '';
  `,
  `
  -- SPEC-71: a ledger's session is the time at which it began. What was kept before was none.
  UPDATE points SET receipt_session = '', receipt_serial = 0;
  `,
]
