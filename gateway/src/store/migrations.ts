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
]
