// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MeteringPoints} from "./MeteringPoints.sol";
import {OcmfText} from "./OcmfText.sol";
import {Signatures} from "./Signatures.sol";
import {Watt} from "./Watt.sol";

/// @title Signed meter readings into WATT.
/// @notice Anyone may bring records, in any order, as often as they like, and leave some out: a register is cumulative,
/// so the next one tells the rest. What counts is the difference to the last counted register, once.
contract Attestation is MeteringPoints {
    using OcmfText for OcmfText.Numbers;

    struct Item {
        OcmfText.Numbers numbers;
        bytes32 previousHash;
        OcmfText.Registers registers;
        bytes32 r;
        /// s, and in the highest bit the parity (EIP-2098).
        bytes32 vs;
    }

    /// Why a record of a batch changed nothing.
    enum Reason {
        Counted,
        Malformed,
        UnknownTemplate,
        /// Not signed, changed on the way, or of a point that nobody enrolled: to a chain these are the same.
        UnknownKey,
        Frozen,
        Revoked,
        Rotated,
        /// Its role books nothing, or the record has no register that its role books.
        BooksNothing,
        Replayed,
        EpochClosed,
        /// Later than the chain's own time. It counts when its time has come.
        AheadOfTime,
        /// Another serial number without a re-base in between.
        MeterChanged,
        RegisterDecreased,
        OverLimit
    }

    uint256 private constant ROLLED_OVER = 1;
    uint256 private constant REBASED = 2;
    /// Energy that two clocks and a coarse register may disagree by (SPEC-81).
    uint256 private constant TOLERANCE_WH = 100;

    event Settled(
        address indexed device, uint256 epoch, uint256 sequence, uint256 mintWh, uint256 burnWh, bytes32 hash
    );
    event Skipped(uint256 index, Reason reason);

    error Paused();

    constructor(Watt watt_, MeteringPoints predecessor_) MeteringPoints(watt_, predecessor_) {}

    /// @notice Counts what is good and skips what is bad. The answer is for whoever tries it first (`eth_call`).
    function settle(Item[] calldata items) external returns (Reason[] memory reasons) {
        if (paused) revert Paused();
        reasons = new Reason[](items.length);
        for (uint256 i = 0; i < items.length; i++) {
            Reason reason = _settle(items[i]);
            reasons[i] = reason;
            if (reason != Reason.Counted) emit Skipped(i, reason);
        }
    }

    /// @notice The text that a record was signed as, for any verifier of OCMF.
    function payloadOf(Item calldata item) external view returns (string memory) {
        address template = address(uint160(_templates[item.numbers.templateId()]));
        if (template == address(0) || !item.numbers.isFit(item.registers)) revert BadTerms();
        return OcmfText.payload(template, item.numbers, item.previousHash, item.registers);
    }

    /// @notice Freezes a point whose re-based record was left out though later ones were counted: the register of one
    /// meter would have been taken for another's. Anyone may.
    function proveSkippedBase(Item calldata item) external {
        uint256 template = _templates[item.numbers.templateId()];
        if (template == 0 || item.numbers.state() != REBASED || !item.numbers.isFit(item.registers)) revert BadProof();
        (address device,) = _signerOf(item, template);
        Point storage p = _known(device);
        uint256 place = item.numbers.place();
        if (place <= p.basePlace || place >= uint88(p.head >> 48)) revert BadProof();
        _freeze(device, place >> 40, uint40(place));
    }

    function _settle(Item calldata item) private returns (Reason) {
        OcmfText.Numbers n = item.numbers;
        if (!n.isFit(item.registers)) return Reason.Malformed;
        uint256 template = _templates[n.templateId()];
        if (template == 0) return Reason.UnknownTemplate;
        (address device, bytes32 hash) = _signerOf(item, template);
        Point storage p = _points[device];
        uint256 place = n.place();
        if (p.status != Status.Active) {
            if (p.status == Status.Unknown) return Reason.UnknownKey;
            if (p.status == Status.Frozen) return Reason.Frozen;
            if (p.status == Status.Rotated) return Reason.Rotated;
            if (place > p.lastPlace) return Reason.Revoked;
        }
        uint256 head = p.head;
        if (place <= uint88(head >> 48)) {
            return place >> 40 < uint48(head >> 88) ? Reason.EpochClosed : Reason.Replayed;
        }
        if (n.takenAt() > block.timestamp * 1000 + AHEAD_MS) return Reason.AheadOfTime;
        // The enrolled role decides which registers count, not the record.
        uint256 registers = OcmfText.pick(OcmfText.Registers.unwrap(item.registers), p.books);
        bool rebased = n.state() == REBASED;
        // A re-base ends the registers that it does not tell, too: the next record that tells them begins anew.
        if (registers >> 112 == 0 && (!rebased || p.books == 0)) return Reason.BooksNothing;
        bool begins = rebased || head >> 248 == 0;
        uint256 meter = template >> 160;
        // A serial number that is not told says nothing; one that is new is learned.
        bool isNewMeter = meter != 0 && meter != p.meter;
        if (isNewMeter && p.meter != 0 && !begins) return Reason.MeterChanged;
        uint256 mintWh;
        uint256 burnWh;
        if (begins) {
            p.basePlace = uint88(place);
        } else {
            Reason reason;
            (reason, burnWh, mintWh, registers) = _count(p, head, n, registers);
            if (reason != Reason.Counted) return reason;
        }
        if (isNewMeter) p.meter = uint48(meter);
        // A clock that is put back takes no time away: going back and forth would make room for any energy.
        uint256 latest = n.takenAt() > uint48(head) ? n.takenAt() : uint48(head);
        p.head = latest | place << 48 | registers << 136;
        emit Settled(device, place >> 40, uint40(place), mintWh, burnWh, hash);
        if (mintWh | burnWh != 0) watt.book(p.owner, mintWh, burnWh);
        return Reason.Counted;
    }

    function _signerOf(Item calldata item, uint256 template) private view returns (address device, bytes32 hash) {
        hash = OcmfText.hash(address(uint160(template)), item.numbers, item.previousHash, item.registers);
        device = Signatures.recover(hash, item.r, item.vs);
    }

    /// What passed since the base, by SPEC-80 and SPEC-81, and the registers as they stand then.
    function _count(Point storage p, uint256 head, OcmfText.Numbers n, uint256 registers)
        private
        view
        returns (Reason, uint256 importWh, uint256 exportWh, uint256 merged)
    {
        unchecked {
            uint256 base = head >> 136;
            uint256 widthWh = n.state() == ROLLED_OVER ? p.rolloverWh : 0;
            uint256 both = (registers & base) >> 112;
            if (both & 1 != 0) {
                if (uint56(registers) >= uint56(base)) importWh = uint56(registers) - uint56(base);
                else if (uint56(base) < widthWh) importWh = uint56(registers) + widthWh - uint56(base);
                else return (Reason.RegisterDecreased, 0, 0, 0);
            }
            if (both & 2 != 0) {
                (uint256 before, uint256 now_) = (uint56(base >> 56), uint56(registers >> 56));
                if (now_ >= before) exportWh = now_ - before;
                else if (before < widthWh) exportWh = now_ + widthWh - before;
                else return (Reason.RegisterDecreased, 0, 0, 0);
            }
            uint256 elapsedMs = n.takenAt() > uint48(head) ? n.takenAt() - uint48(head) : 0;
            uint256 limitWh = p.maxPowerW * elapsedMs / 3_600_000 + TOLERANCE_WH;
            if (importWh > limitWh || exportWh > limitWh) return (Reason.OverLimit, 0, 0, 0);
            // A register that is absent this time keeps its old base: the difference counts when it is there again.
            merged = registers;
            uint256 absent = base >> 112 & ~(registers >> 112);
            if (absent != 0) merged |= OcmfText.pick(base, absent);
            return (Reason.Counted, importWh, exportWh, merged);
        }
    }
}
