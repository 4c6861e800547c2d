/*
 * The receipt and mint protocol, as a model for Spin (spinroot.com).
 *
 * SPEC-30 to SPEC-32, SPEC-70 to SPEC-73, SPEC-75, SPEC-80 and SPEC-82 for one metering point: who signs, what is
 * booked, what a receipt frees. `device-sim/test/receipts-model.test.ts` lets Spin look at every order of every event.
 * The same events on the real parts: `device-sim/test/receipts-line.ts`.
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
 *   when the faults end and one or two more readings are sent, exactly what the meter has counted is booked, and confirmed.
 *
 * Not in here: a gateway that was restored and cannot notice (SPEC-36 answers that), a ledger whose clock was put back
 * (SPEC-71: it is not heard, and says so), and what a reading is worth.
 *
 * With -DRESTORES=2 ledger and gateway may both be restored, each to a memory that the other has gone on from: then the
 * gateway may go on from a record that the ledger has lost, and the ledger may stand at one that the gateway forgot
 * (SPEC-75).
 *
 * Mutants that must fail: -DMUTANT_DELTA books what a record says that was added since the record before it, instead of
 * the difference of registers; -DMUTANT_EARLY gives receipts before what they say is final; -DMUTANT_STUCK is a gateway
 * without SPEC-75; -DMUTANT_SESSION one that hears sessions that are over (SPEC-71; in `make soak`).
 */

#ifndef RECORDS
#define RECORDS 3           /* signed while there are faults; one more comes at the end */
#endif
#ifndef RESTORES
#define RESTORES 1          /* of the gateway or of the ledger */
#endif
#ifndef REBOOTS
#define REBOOTS 1           /* of the gateway's machine; with two restores also refusals of what it signed */
#endif
#ifndef REORGS
#define REORGS 1
#endif
#ifndef RESTARTS
#define RESTARTS 0          /* of the ledger, which lose nothing and open another session */
#endif
#define LAST (RECORDS + 2)  /* in the calm one more, and another one where a new epoch had to be opened for it */
#define COUNTED RECORDS     /* where the meter's register ends */

#define BIT(id) (1 << (id))
#define HAS(set, id) (((set) & BIT(id)) != 0)

/* Records are known by a number, which stands for their hash; 0 is the provisioning certificate. */
typedef Record { byte epoch; byte sequence; byte previous; byte shows; byte added };
Record record[LAST + 1];
byte made = 0;
byte meter = 0;
byte lastEpoch = 1;         /* epochs are times: a new one is greater than all before, whatever is restored */

/* What a gateway has on its disk. `session`: that in which `confirmed` was told; `kept`: texts that it can send;
 * `known`: records that it remembers. */
typedef Gateway { byte epoch; byte head; byte confirmed; byte session; byte kept; byte known };
Gateway gateway, gatewayBackup;

/* What a ledger has on its disk, or a chain in its state. */
typedef Books { byte head; byte base; byte booked; byte accepted };
Books tip, final, ledgerBackup;
byte session = 1;           /* SPEC-71: a time; each start of the ledger has a later one, restored or not */

/*
 * Receipts that were ever given, by their session; each may ask to send again, as anything may have been lost or late.
 * Of records, all that were ever signed may still arrive.
 */
byte receipts[RESTORES + RESTARTS + 2];

/* How often each fault may still happen. */
byte reboots = REBOOTS, restores = RESTORES, reorgs = REORGS, restarts = RESTARTS;
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

/* Where what follows the confirmed record is kept no more, the chain goes on from there in a new epoch. */
inline bridge() {
	i = gateway.head;
	do
	:: i != gateway.confirmed && i != 0 && record[i].previous != gateway.confirmed -> i = record[i].previous
	:: else -> break
	od;
	if
	:: gateway.head != gateway.confirmed && !HAS(gateway.kept, i) -> openEpoch(gateway.confirmed)
	:: else
	fi
}

#ifdef MUTANT_SESSION
#define HEARD(s) true
#else
#define HEARD(s) ((s) >= gateway.session)
#endif
#define KNOWN(id) ((id) == 0 || HAS(gateway.known, id))

/* SPEC-71, SPEC-73, SPEC-75: what a gateway does with a receipt of session `s` for record `id`. */
inline settle(s, id, asks) {
	if
	:: !HEARD(s)                                        /* of a session that is over */
	:: HEARD(s) && KNOWN(id) ->
		if
		:: AFTER(id, gateway.confirmed) -> gateway.confirmed = id
		:: !AFTER(id, gateway.confirmed) && s > gateway.session ->
			gateway.confirmed = id;                     /* the ledger was restored */
			bridge()
		:: else
		fi;
		gateway.session = s
	:: HEARD(s) && !KNOWN(id) ->
		if
#ifndef MUTANT_STUCK
		/* What was confirmed is lost, and what is there instead is forgotten here: what is still kept may attach. */
		:: s > gateway.session && (asks || !AFTER(id, gateway.confirmed)) ->
			gateway.confirmed = id;
			gateway.session = s
#endif
		:: record[id].epoch >= gateway.epoch -> openEpoch(gateway.head)
		:: else
		fi
	fi;
#ifndef MUTANT_STUCK
	/* Nothing that is kept attaches. */
	if
	:: asks && s == gateway.session && id == gateway.confirmed -> bridge()
	:: else
	fi;
#endif
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
		:: HAS(receipts[from], id) -> settle(from, id, false)
#if RESTORES > 1
		:: HAS(receipts[from], id) -> settle(from, id, true)
#endif
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
#if RESTORES > 1
	/* SPEC-72: the ledger refuses a record. */
	:: atomic { !calm && reboots > 0 && gateway.head != gateway.confirmed -> reboots--; openEpoch(gateway.confirmed) }
#endif
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
	/* Final is with tables of our own what is committed, on a chain what some blocks lie upon. */
#if REORGS == 0
	:: atomic { !calm && made > 0 -> select(id : 1 .. made); take(id); copyBooks(final, tip); id = 0 }
#else
	:: atomic { !calm && made > 0 -> select(id : 1 .. made); take(id); id = 0 }
	:: atomic { !calm && final.head != tip.head -> copyBooks(final, tip) }
#endif
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
#if RESTARTS > 0
	:: atomic { !calm && restarts > 0 -> restarts--; session++ }
#endif
	:: atomic { !calm && reorgs > 0 && tip.head != final.head ->
		reorgs--;
		copyBooks(tip, final);
		checkFreed()
	}
	od
}

/* All that the gateway keeps arrives, becomes final, and is answered. */
inline catchUp() {
	id = 1;
	refused = false;
	do
	:: id <= made ->
		if
		:: HAS(gateway.kept, id) ->
			take(id);
			refused = refused || (!HAS(tip.accepted, id) && AFTER(id, gateway.confirmed) && record[id].epoch < record[tip.head].epoch)
		:: else
		fi;
		id++
	:: else -> break
	od;
	copyBooks(final, tip);
	settle(session, final.head, final.head != made);
	if
	:: refused && final.head != made && gateway.head == made -> openEpoch(gateway.confirmed)
	:: else
	fi
}

/* The faults end, at any moment: both sides meet, one more reading is taken, and everything catches up. */
proctype Calm() {
	byte i = 0, id;
	bool refused;
end:	atomic {
		made > 0 ->
		calm = true;
		checkFreed();
		copyBooks(final, tip);
		settle(session, final.head, false);
		sign();
		catchUp();
		if
		:: gateway.head != made -> sign(); catchUp()
		:: else
		fi;
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
