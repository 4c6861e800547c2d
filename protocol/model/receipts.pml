/*
 * The receipt and mint protocol, as a model for Spin (spinroot.com).
 *
 * SPEC-30 to SPEC-32, SPEC-70 to SPEC-73, SPEC-80 and SPEC-82 for one metering point: who signs, what is booked, what a
 * receipt frees. `device-sim/test/receipts-model.test.ts` lets Spin look at every
 * order of every event.
 *
 * What can happen: each message is lost, doubled, late and out of order (the wire is a set from which anything may be
 * taken at any time, or never); each part is cut between any two of its steps (nothing here survives in memory: what is
 * not in a step was never done); the gateway's machine starts anew; gateway and ledger are restored from a backup; what
 * the ledger has booked and is not final is undone (a reorg).
 *
 * What must hold:
 *   no record is signed twice for one epoch and sequence;
 *   never more is booked than the meter has counted;
 *   what a receipt has freed at the gateway stays booked, for as long as the ledger itself is not restored;
 *   when the faults end and one more reading is sent, exactly what the meter has counted is booked, and confirmed.
 *
 * Not in here: a gateway that was restored and cannot notice (SPEC-36 answers that), and what a reading is worth.
 *
 * Known: where ledger and gateway are both restored, each to a memory that the other has gone on from, the gateway may
 * name a record that the ledger lost, and keep none that it has (-DRESTORES=2 shows it). Nothing is booked twice and
 * the register still holds the energy, but the metering point waits until an operator enrols it anew.
 *
 * Mutants that must fail: -DMUTANT_DELTA books what a record says that was added since the record before it, instead of
 * the difference of registers; -DMUTANT_EARLY gives receipts before what they say is final.
 */

#ifndef RECORDS
#define RECORDS 3           /* signed while there are faults; one more comes at the end */
#endif
#ifndef RESTORES
#define RESTORES 1          /* of the gateway or of the ledger */
#endif
#define LAST (RECORDS + 1)
#define COUNTED RECORDS     /* where the meter's register ends */

#define BIT(id) (1 << (id))
#define HAS(set, id) (((set) & BIT(id)) != 0)

/* Records are known by a number, which stands for their hash; 0 is the provisioning certificate. */
typedef Record { byte epoch; byte sequence; byte previous; byte shows; byte added };
Record record[LAST + 1];
byte made = 0;
byte meter = 0;
byte lastEpoch = 1;         /* epochs are times: a new one is greater than all before, whatever is restored */

/* What a gateway has on its disk. `kept`: texts that it can send; `known`: records that it remembers. */
typedef Gateway { byte epoch; byte head; byte confirmed; byte session; byte kept; byte known };
Gateway gateway, gatewayBackup;

/* What a ledger has on its disk, or a chain in its state. */
typedef Books { byte head; byte base; byte booked; byte accepted };
Books tip, final, ledgerBackup;
byte session = 1;           /* SPEC-71: a ledger that was restored starts another one */

/* Receipts that were ever given, by their session. Of records, all that were ever signed may still arrive. */
byte receipts[RESTORES + 2];

/* How often each fault may still happen. */
byte reboots = 1, restores = RESTORES, reorgs = 1;
bool gatewayHasBackup = false, ledgerHasBackup = false;
bool calm = false;

#define AFTER(a, b) (record[a].epoch > record[b].epoch || \
	(record[a].epoch == record[b].epoch && record[a].sequence > record[b].sequence))
#define NEXT_IN_EPOCH(id) (record[id].epoch == record[tip.head].epoch && record[id].previous == tip.head \
	&& record[id].sequence == record[tip.head].sequence + 1)
#define ENTERS_EPOCH(id) (record[id].epoch > record[tip.head].epoch && HAS(tip.accepted, record[id].previous) \
	&& record[id].sequence > record[record[id].previous].sequence)

inline openEpoch(at) {
	lastEpoch++;
	gateway.epoch = lastEpoch;
	gateway.head = at
}

/* One transaction: sequence, text, signature, row (SPEC-31). */
inline sign() {
	made++;
	record[made].epoch = gateway.epoch;
	record[made].sequence = record[gateway.head].sequence + 1;
	record[made].previous = gateway.head;
	record[made].shows = meter;
	record[made].added = meter - record[gateway.head].shows;
	i = 1;
	do
	:: i < made ->
		assert(record[i].epoch != record[made].epoch || record[i].sequence != record[made].sequence);
		i++
	:: else -> break
	od;
	gateway.head = made;
	gateway.kept = gateway.kept | BIT(made);
	gateway.known = gateway.known | BIT(made);
	i = 0
}

/* One transaction: record, claim, entry, base, head (SPEC-80, SPEC-82). What does not follow changes nothing. */
inline take(id) {
	if
	:: NEXT_IN_EPOCH(id) || ENTERS_EPOCH(id) ->
		assert(record[id].shows >= tip.base);
#ifdef MUTANT_DELTA
		tip.booked = tip.booked + record[id].added;
#else
		tip.booked = tip.booked + (record[id].shows - tip.base);
#endif
		tip.base = record[id].shows;
		tip.head = id;
		tip.accepted = tip.accepted | BIT(id);
		assert(tip.booked <= meter)
	:: else
	fi
}

/* SPEC-71, SPEC-73: what a gateway does with a receipt of session `s` for record `id`. */
inline settle(s, id) {
	if
	:: s < gateway.session                              /* of a session that is over */
	:: s >= gateway.session && (id == 0 || HAS(gateway.known, id)) ->
		if
		:: AFTER(id, gateway.confirmed) -> gateway.confirmed = id
		:: !AFTER(id, gateway.confirmed) && s > gateway.session ->
			gateway.confirmed = id;
			/* The ledger was restored. Where the next record is kept no more, go on from there in a new epoch. */
			i = gateway.head;
			do
			:: i != id && i != 0 && record[i].previous != id -> i = record[i].previous
			:: else -> break
			od;
			if
			:: gateway.head != id && !HAS(gateway.kept, i) -> openEpoch(id)
			:: else
			fi
		:: else
		fi;
		gateway.session = s
	:: s >= gateway.session && id != 0 && !HAS(gateway.known, id) ->
		gateway.session = s;
		if
		:: record[id].epoch >= gateway.epoch -> openEpoch(gateway.head)
		:: else
		fi
	fi;
	i = 0
}

inline giveReceipt() {
#ifdef MUTANT_EARLY
	receipts[session] = receipts[session] | BIT(tip.head)
#else
	receipts[session] = receipts[session] | BIT(final.head)
#endif
}

inline copyGateway(to, from) {
	to.epoch = from.epoch;
	to.head = from.head;
	to.confirmed = from.confirmed;
	to.session = from.session;
	to.kept = from.kept;
	to.known = from.known
}

inline copyBooks(to, from) {
	to.head = from.head;
	to.base = from.base;
	to.booked = from.booked;
	to.accepted = from.accepted
}

/* As long as the ledger was not restored since the gateway heard of it, what was freed is booked for good. */
inline checkFreed() {
	assert(gateway.session != session || HAS(final.accepted, gateway.confirmed))
}

proctype Meter() {
end:	do
	:: atomic { !calm && meter < COUNTED -> meter++ }
	od
}

proctype GatewayPart() {
	byte i = 0, id, from;
end:	do
	:: atomic { !calm && made < RECORDS && (made == 0 || record[made].shows < meter) -> sign() }
	:: atomic { !calm ->
		select(from : 1 .. session);
		select(id : 0 .. made);
		if
		:: HAS(receipts[from], id) -> settle(from, id)
		:: else
		fi;
		from = 0;
		id = 0
	}
	/* What is confirmed may be forgotten. */
	:: atomic { !calm && gateway.confirmed != 0 && HAS(gateway.kept, gateway.confirmed) ->
		id = 1;
		do
		:: id <= RECORDS ->
			if
			:: !AFTER(id, gateway.confirmed) -> gateway.kept = gateway.kept & ~BIT(id)
			:: else
			fi;
			id++
		:: else -> break
		od;
		id = 0
	}
	:: atomic { !calm && reboots > 0 && made > 0 -> reboots--; openEpoch(gateway.head) }
	:: atomic { !calm && !gatewayHasBackup && restores > 0 && made > 0 ->
		gatewayHasBackup = true;
		copyGateway(gatewayBackup, gateway)
	}
	/* SPEC-32: it notices, and signs nothing in an epoch that it may have signed in. */
	:: atomic { !calm && gatewayHasBackup && restores > 0 ->
		restores--;
		copyGateway(gateway, gatewayBackup);
		openEpoch(gateway.head)
	}
	od
}

proctype LedgerPart() {
	byte id;
end:	do
	:: atomic { !calm && made > 0 -> select(id : 1 .. made); take(id); id = 0 }
	/* With tables of our own at once, on a chain after some blocks. */
	:: atomic { !calm && final.head != tip.head -> copyBooks(final, tip) }
	:: atomic { !calm && !HAS(receipts[session], final.head) -> giveReceipt() }
#ifdef MUTANT_EARLY
	:: atomic { !calm && !HAS(receipts[session], tip.head) -> giveReceipt() }
#endif
	:: atomic { !calm && !ledgerHasBackup && restores > 0 ->
		ledgerHasBackup = true;
		copyBooks(ledgerBackup, final)
	}
	:: atomic { !calm && ledgerHasBackup && restores > 0 ->
		restores--;
		copyBooks(tip, ledgerBackup);
		copyBooks(final, ledgerBackup);
		session++
	}
	:: atomic { !calm && reorgs > 0 && tip.head != final.head ->
		reorgs--;
		copyBooks(tip, final);
		checkFreed()
	}
	od
}

/* The faults end, at any moment: both sides meet, one more reading is taken, and everything catches up. */
proctype Calm() {
	byte i = 0, id;
end:	atomic {
		made > 0 ->
		calm = true;
		checkFreed();
		copyBooks(final, tip);
		settle(session, final.head);
		sign();
		id = 1;
		do
		:: id <= made ->
			if
			:: HAS(gateway.kept, id) -> take(id)
			:: else
			fi;
			id++
		:: else -> break
		od;
		copyBooks(final, tip);
		settle(session, final.head);
		assert(final.booked == meter);
		assert(gateway.confirmed == gateway.head);
		checkFreed()
	}
}

init {
	atomic {
		gateway.epoch = 1;
		tip.accepted = BIT(0);
		final.accepted = BIT(0);
		ledgerBackup.accepted = BIT(0);
		run Meter();
		run GatewayPart();
		run LedgerPart();
		run Calm()
	}
}
