// Migrations, in order; `user_version` counts how many are in force. Tables are STRICT: a column holds the type that
// it says, so rows read back need no second decoding. Wh and base units are whole numbers everywhere.

/** Everything that was changed about the tables, in order. A released entry never changes. */
export const migrations: readonly string[] = [
  `
  -- SPEC-63: what arrived, untouched, until it is processed.
  CREATE TABLE intake (
    id INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    received_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX intake_gateway ON intake (gateway, id);

  CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    topic TEXT NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB,               -- absent where it was too long to be read
    length INTEGER NOT NULL,
    digest TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    UNIQUE (topic, digest)
  ) STRICT;
  CREATE INDEX quarantine_gateway ON quarantine (gateway);
  -- Beyond the bound, bad messages are only counted.
  CREATE TABLE quarantine_overflow (
    gateway TEXT NOT NULL, code TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (gateway, code)
  ) STRICT, WITHOUT ROWID;

  -- A metering point: its terms (as the journal entry 'terms' states them) and how far it has come.
  CREATE TABLE point (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    gateway TEXT NOT NULL,
    owner TEXT NOT NULL,
    role TEXT NOT NULL,
    behind TEXT,
    max_power_w INTEGER,        -- absent until the certificate tells it
    rollover_wh INTEGER,
    terms INTEGER NOT NULL,
    frozen INTEGER,             -- the journal entry that froze it
    certified INTEGER NOT NULL DEFAULT 0,
    records INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0,
    sequence INTEGER NOT NULL DEFAULT 0,
    hash TEXT NOT NULL DEFAULT '',
    head_at INTEGER NOT NULL DEFAULT 0,
    base_at INTEGER,            -- when the base was taken; absent while there is none
    base_import_wh INTEGER,
    base_export_wh INTEGER,
    net_wh INTEGER NOT NULL DEFAULT 0,
    booked_wh INTEGER NOT NULL DEFAULT 0,
    minted_wh INTEGER NOT NULL DEFAULT 0,
    burned_wh INTEGER NOT NULL DEFAULT 0,
    carried_wh INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE INDEX point_behind ON point (behind);

  CREATE TABLE point_key (
    id INTEGER PRIMARY KEY,
    point INTEGER NOT NULL REFERENCES point (id),
    key TEXT NOT NULL,          -- SPKI hex
    last_epoch INTEGER,         -- a revoked key is valid up to here
    last_sequence INTEGER,
    UNIQUE (point, key)
  ) STRICT;

  CREATE TABLE epoch (
    point INTEGER NOT NULL REFERENCES point (id),
    epoch INTEGER NOT NULL,
    key INTEGER NOT NULL REFERENCES point_key (id),
    PRIMARY KEY (point, epoch)
  ) STRICT, WITHOUT ROWID;

  -- Certificates signed by an enrolled key: where a chain may begin.
  CREATE TABLE certificate (
    point TEXT NOT NULL,
    hash TEXT NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (point, hash)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    point INTEGER NOT NULL REFERENCES point (id),
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL,
    tag INTEGER NOT NULL,       -- the first two bytes of the hash: how frames name their base
    full INTEGER NOT NULL,      -- 1: a full text in context F, so frames may refer to it
    text TEXT NOT NULL,         -- the signed bytes, untouched
    taken_at INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    terms INTEGER NOT NULL,     -- the journal entry whose terms were in force
    outcome TEXT NOT NULL,      -- 'counted', 'base', 'kept' or the code that refused its energy
    base_at INTEGER,            -- when the register was read that counting went on from
    net_wh INTEGER NOT NULL,    -- counted export - import of the point up to here
    booked_wh INTEGER,          -- minted - burned by the point up to here, less what an open session is to burn; absent while a remainder is unsettled
    settled INTEGER,            -- absent: booked by itself; 0: passed over; else the last record known at settlement
    UNIQUE (point, epoch, sequence)
  ) STRICT;
  CREATE INDEX record_time ON record (point, taken_at);
  CREATE INDEX record_tag ON record (point, tag);
  CREATE INDEX record_unsettled ON record (point, epoch, sequence) WHERE booked_wh IS NULL;
  CREATE INDEX record_base ON record (point, epoch, sequence) WHERE outcome = 'base';

  -- Records that came too early, and frames that cannot be rebuilt yet.
  CREATE TABLE held (
    point INTEGER NOT NULL REFERENCES point (id),
    digest TEXT NOT NULL,
    epoch INTEGER,
    sequence INTEGER,
    hash TEXT,
    previous_hash TEXT,
    payload BLOB NOT NULL,
    PRIMARY KEY (point, digest)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE equivocation (
    point INTEGER NOT NULL REFERENCES point (id),
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    key TEXT NOT NULL,
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    entry INTEGER NOT NULL,
    PRIMARY KEY (point, epoch, sequence)
  ) STRICT, WITHOUT ROWID;

  -- The journal: entries chained by hash, postings that sum to zero, balances that follow from them.
  CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    claim TEXT UNIQUE,
    point TEXT,
    note TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
  ) STRICT;
  CREATE TABLE posting (
    entry INTEGER NOT NULL REFERENCES entry (id),
    line INTEGER NOT NULL,
    account TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (entry, line)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE balance (account TEXT PRIMARY KEY, amount INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  -- SPEC-81: the state of the clock that the base was read by, and the earliest time that was told later.
  ALTER TABLE point ADD COLUMN base_clock TEXT;
  ALTER TABLE point ADD COLUMN base_since INTEGER;
  UPDATE point SET base_clock = (
    SELECT substr(text, instr(text, '+0000 ') + 6, 1) FROM record
    WHERE record.point = point.id AND outcome IN ('counted', 'base') ORDER BY epoch DESC, sequence DESC LIMIT 1
  );
  `,
  `
  -- SPEC-87: the session at a charging point that has begun and not ended.
  ALTER TABLE point ADD COLUMN session_epoch INTEGER;
  ALTER TABLE point ADD COLUMN session_sequence INTEGER;
  ALTER TABLE point ADD COLUMN session_page INTEGER;
  ALTER TABLE point ADD COLUMN session_driver TEXT;
  ALTER TABLE point ADD COLUMN session_wh INTEGER;  -- counted since its begin, not booked yet
  ALTER TABLE point ADD COLUMN session_sound INTEGER;
  `,
  `
  -- SPEC-89: reservations, as the journal's entries state them; an index over entries, which the audit works out again.
  CREATE TABLE reservation (
    id TEXT PRIMARY KEY,        -- the client's
    entry INTEGER NOT NULL,
    asset TEXT NOT NULL,
    recipient TEXT NOT NULL,    -- empty for what is to be burned
    amount INTEGER NOT NULL CHECK (amount > 0),
    expires_at INTEGER NOT NULL,
    closed INTEGER              -- the entry that posted it, gave it back, or told its expiry
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX reservation_due ON reservation (expires_at, entry) WHERE closed IS NULL;
  CREATE INDEX reservation_recipient ON reservation (recipient, asset) WHERE closed IS NULL;
  -- SPEC-90: the most that an owner may hold, as the last entry of kind 'limit' states it.
  CREATE TABLE account_limit (
    owner TEXT NOT NULL,
    asset TEXT NOT NULL,
    most INTEGER NOT NULL CHECK (most >= 0),
    entry INTEGER NOT NULL,
    PRIMARY KEY (owner, asset)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- SPEC-153: orders of wallets and the one answer that each got, in the transaction that carried it out.
  CREATE TABLE signed_order (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,    -- the hash of the signed body
    account TEXT NOT NULL,      -- whose order it is
    nonce INTEGER NOT NULL,
    other TEXT NOT NULL,        -- who gets; of a post or void, who had reserved
    text TEXT NOT NULL,
    answer TEXT NOT NULL,
    UNIQUE (account, nonce)
  ) STRICT;
  CREATE INDEX signed_order_other ON signed_order (other);
  -- SPEC-154: which wallet speaks for a named owner, as the last entry of kind 'wallet' states it.
  CREATE TABLE wallet_binding (
    owner TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    entry INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- SPEC-53: running digests over the texts of records in the order of acceptance. Records from before have none.
  CREATE TABLE seal (
    block INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,     -- row ids of its first and last record
    last INTEGER NOT NULL,
    records INTEGER NOT NULL,   -- sealed up to the last one
    digest TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- SPEC-170: up to where receipts went, where a chain counts. Point 0 says that one does.
  CREATE TABLE final_place (
    point INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- SPEC-93, SPEC-94: who speaks for a point, what its certificate says of its registers, and the order that waits.
  ALTER TABLE point ADD COLUMN owner_key TEXT;      -- SPKI hex
  ALTER TABLE point ADD COLUMN first_import_wh INTEGER;
  ALTER TABLE point ADD COLUMN first_export_wh INTEGER;
  ALTER TABLE point ADD COLUMN order_at INTEGER NOT NULL DEFAULT 0;  -- when the youngest order was signed
  ALTER TABLE point ADD COLUMN pending INTEGER;     -- the journal entry of an order that waits for its place
  ALTER TABLE point ADD COLUMN pending_epoch INTEGER;
  ALTER TABLE point ADD COLUMN pending_sequence INTEGER;
  ALTER TABLE point ADD COLUMN pending_behind TEXT; -- where it will stand

  -- Which key speaks for an account: the first that did.
  CREATE TABLE owner_key (owner TEXT PRIMARY KEY, key TEXT NOT NULL, entry INTEGER NOT NULL) STRICT, WITHOUT ROWID;

  -- SPEC-96: the tree over time.
  CREATE TABLE membership (
    id INTEGER PRIMARY KEY,
    child INTEGER NOT NULL REFERENCES point (id),
    parent TEXT NOT NULL,
    from_at INTEGER,            -- absent: from the child's first record on
    from_mark INTEGER NOT NULL, -- the last record known when it began
    until_at INTEGER,           -- absent: it stands there
    until_mark INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  INSERT INTO membership (child, parent, from_mark) SELECT id, behind, 0 FROM point WHERE behind IS NOT NULL;
  `,
  `
  -- SPEC-97: the Merkle trees over records and over journal entries. A row holds up to 256 hashes; only the last one of
  -- a level grows.
  CREATE TABLE merkle_tile (
    tree TEXT NOT NULL,         -- 'records' or 'entries'
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (tree, level, number)
  ) STRICT;

  -- SPEC-98: what was signed of each day.
  CREATE TABLE anchor (
    id INTEGER PRIMARY KEY,
    day TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    text TEXT NOT NULL,
    records INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    entry INTEGER NOT NULL REFERENCES entry (id) -- the journal's note of it
  ) STRICT;
  `,
  `
  -- SPEC-155: what moved an owner's accounts, found without reading the journal. The other side of what meters made is
  -- left out: whoever looks there reads in order.
  CREATE INDEX posting_account ON posting (account, entry)
    WHERE account NOT GLOB 'minted:*' AND account NOT GLOB 'burned:*';
  `,
  `
  -- SPEC-157: what an operator has signed, by the entry that it stands under.
  CREATE TABLE operator_act (entry INTEGER PRIMARY KEY REFERENCES entry (id), text TEXT NOT NULL) STRICT;
  `,
  `
  -- SPEC-71: when the ledger's present session began.
  CREATE TABLE receipt_session (id INTEGER PRIMARY KEY CHECK (id = 0), began_at INTEGER NOT NULL) STRICT;
  INSERT INTO receipt_session VALUES (0, 0);
  `,
  `
  -- SPEC-88: up to which record storages were not booked; a row is there until the journal has noted it. A ledger that
  -- has no storage has nothing to note, as no point with records ever becomes one.
  CREATE TABLE storage_start (records INTEGER NOT NULL) STRICT;
  INSERT INTO storage_start SELECT max(id) FROM record
    WHERE EXISTS (SELECT 1 FROM point WHERE role = 'storage') HAVING max(id) IS NOT NULL;
  `,
]
