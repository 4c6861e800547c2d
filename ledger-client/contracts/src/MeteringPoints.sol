// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {OcmfText} from "./OcmfText.sol";
import {Signatures} from "./Signatures.sol";
import {Watt} from "./Watt.sol";

/// @title Who may be counted, on what terms, and up to where.
/// @notice A metering point is known by the address of its key (one key per point). Points come in by the council
/// (a key alone proves no meter), with the signatures of the key and of the owner, from whom energy may be burned.
abstract contract MeteringPoints is EIP712 {
    enum Status {
        Unknown,
        Active,
        /// Two records at one place, or a re-base that was left out, are proven: nothing counts until the key is changed.
        Frozen,
        /// Counts up to the place that the revocation names.
        Revoked,
        /// Another key has taken over.
        Rotated
    }

    struct Point {
        address owner;
        uint32 maxPowerW;
        /// Which meter the last counted record came from, or 0 where it told no serial number.
        uint48 meter;
        /// The registers that book: bit 0 import (burns), bit 1 export (mints). Storage and parents of others: none.
        uint8 books;
        Status status;
        /// The last counted record. From the lowest bit up: time 48, sequence 40, epoch 48, registers as in OcmfText.
        uint256 head;
        uint56 rolloverWh;
        /// Where counting last began anew, as epoch and sequence.
        uint88 basePlace;
        /// The last place that counts once the point is revoked.
        uint88 lastPlace;
        address behind;
        address offeredTo;
        /// SHA-256 of the provisioning certificate's body.
        bytes32 certificate;
    }

    struct Enrolment {
        address owner;
        uint8 books;
        uint32 maxPowerW;
        uint56 rolloverWh;
        /// The point one level up, where it is on the chain too: it books nothing any more (SPEC-84).
        address behind;
        /// When and where counting begins: time in ms, epoch and sequence of the last record that does not count any more,
        /// and registers as in OcmfText. Without a place, records from before can still be brought. Without registers the
        /// first counted record begins, and whoever brings it chooses which that is.
        uint48 firstAt;
        uint88 firstPlace;
        uint256 firstRegisters;
        /// The body of the provisioning certificate, and the key's signature on it.
        bytes certificate;
        bytes32 r;
        bytes32 vs;
        bytes ownerSignature;
    }

    /// How far a point's standing has come, for whoever relays.
    struct Head {
        Status status;
        uint8 books;
        uint256 head;
    }

    bytes32 private constant ENROL = keccak256(
        "Enrol(address device,address owner,uint8 books,uint32 maxPowerW,uint56 rolloverWh,address behind,uint48 firstAt,uint88 firstPlace,uint256 firstRegisters,bytes32 certificate)"
    );
    /// How far a record may be ahead of the chain. A base further in the future would allow any register until then.
    uint256 internal constant AHEAD_MS = 15 minutes * 1000;

    Watt public immutable watt;
    address public immutable council;
    /// The contract that booked before this one, or 0.
    MeteringPoints public immutable predecessor;

    mapping(address device => Point) internal _points;
    /// Address of the texts, and above it 48 bits that tell meters apart.
    mapping(uint256 id => uint256) internal _templates;
    mapping(bytes32 content => uint256 id) public templateOf;
    uint32 public templateCount;
    bool public paused;

    event TemplateRegistered(uint256 indexed id, bytes32 content);
    event Enrolled(address indexed device, address indexed owner, address indexed behind, bytes32 certificate);
    event Adopted(address indexed device);
    event KeyRotated(address indexed oldDevice, address indexed newDevice, bytes32 certificate);
    event Revoked(address indexed device, uint256 epoch, uint256 sequence);
    event Frozen(address indexed device, uint256 epoch, uint256 sequence);
    event OwnerOffered(address indexed device, address indexed to);
    event OwnerChanged(address indexed device, address indexed owner);
    event PauseChanged(bool paused);

    error OnlyCouncil();
    error OnlyOwner();
    error KnownKey();
    error UnknownKey();
    error BadTerms();
    error BadOwnerSignature();
    error BadProof();
    error NotBooker();

    modifier onlyCouncil() {
        if (msg.sender != council) revert OnlyCouncil();
        _;
    }

    constructor(Watt watt_, MeteringPoints predecessor_) EIP712("Wattline Attestation", "1") {
        watt = watt_;
        council = watt_.council();
        predecessor = predecessor_;
    }

    function pointOf(address device) external view returns (Point memory) {
        return _points[device];
    }

    /// @notice Many points in one answer, which is of one block.
    function headsOf(address[] calldata devices) external view returns (Head[] memory heads) {
        heads = new Head[](devices.length);
        for (uint256 i = 0; i < devices.length; i++) {
            Point storage p = _points[devices[i]];
            heads[i] = Head(p.status, p.books, p.head);
        }
    }

    /// @notice Many templates in one answer; 0 for what is not stored.
    function templatesOf(bytes32[] calldata contents) external view returns (uint256[] memory ids) {
        ids = new uint256[](contents.length);
        for (uint256 i = 0; i < contents.length; i++) ids[i] = templateOf[contents[i]];
    }

    /// @notice What an owner signs.
    function hashEnrolment(address device, Enrolment calldata e) public view returns (bytes32) {
        bytes memory terms = abi.encode(
            ENROL, device, e.owner, e.books, e.maxPowerW, e.rolloverWh, e.behind, e.firstAt, e.firstPlace,
            e.firstRegisters, sha256(e.certificate)
        );
        return _hashTypedDataV4(keccak256(terms));
    }

    /// @notice Stores the texts that do not change, once. Anyone may: a wrong one only makes signatures not fit.
    function registerTemplate(OcmfText.Template calldata template) external returns (uint256 id) {
        (bytes memory first, bytes memory second) = OcmfText.compile(template);
        bytes memory code = abi.encodePacked(hex"00", uint16(first.length), first, second);
        bytes32 content = keccak256(code);
        id = templateOf[content];
        if (id != 0) return id;
        // Returns what follows these ten bytes as the code of a contract that does nothing.
        bytes memory creation = abi.encodePacked(hex"61", uint16(code.length), hex"80600a3d393df3", code);
        address store;
        assembly ("memory-safe") {
            store := create(0, add(creation, 32), mload(creation))
            if iszero(store) { revert(0, 0) }
        }
        id = ++templateCount;
        // A meter that tells no serial number cannot be told apart from another.
        uint256 meter = bytes(template.meterSerial).length == 0
            ? 0
            : uint48(uint256(keccak256(abi.encode(template.meterVendor, template.meterModel, template.meterSerial)))) | 1;
        _templates[id] = uint160(store) | meter << 160;
        templateOf[content] = id;
        emit TemplateRegistered(id, content);
    }

    /// @notice Takes a point in. Only where it will be counted, and only one that was counted nowhere before: a point that
    /// two contracts knew would be counted in one after the other.
    function enrol(Enrolment calldata e) external onlyCouncil returns (address device) {
        bytes32 certificate = sha256(e.certificate);
        device = Signatures.recover(certificate, e.r, e.vs);
        if (device == address(0)) revert BadProof();
        if (watt.booker() != address(this)) revert NotBooker();
        _checkNew(device);
        if (e.owner == address(0) || e.books > 3 || e.maxPowerW == 0 || e.maxPowerW > 1_000_000_000) revert BadTerms();
        if (e.firstRegisters >> 114 != 0 || e.firstAt > block.timestamp * 1000 + AHEAD_MS) revert BadTerms();
        if (!SignatureChecker.isValidSignatureNow(e.owner, hashEnrolment(device, e), e.ownerSignature)) {
            revert BadOwnerSignature();
        }
        if (e.behind != address(0)) {
            Point storage above = _points[e.behind];
            if (above.status == Status.Unknown || above.status == Status.Rotated || e.behind == device) {
                revert BadTerms();
            }
            // What the parent's meter sees is booked at the leaf that measured it. The remainder would need readings of
            // all children at the same moment, so on a chain a parent books nothing.
            above.books = 0;
        }
        Point storage p = _points[device];
        (p.owner, p.maxPowerW, p.books, p.status) = (e.owner, e.maxPowerW, e.books, Status.Active);
        (p.rolloverWh, p.behind, p.certificate, p.basePlace) = (e.rolloverWh, e.behind, certificate, e.firstPlace);
        p.head = e.firstAt | uint256(e.firstPlace) << 48 | OcmfText.pick(e.firstRegisters, e.books) << 136;
        emit Enrolled(device, e.owner, e.behind, certificate);
    }

    /// @notice Takes points over from those that booked before, when they can book no more. Anyone may; one that is here
    /// already stays as it is, so that nobody can spoil a list by being faster.
    function adopt(address[] calldata devices) external {
        if (watt.booker() != address(this)) revert NotBooker();
        for (uint256 i = 0; i < devices.length; i++) {
            if (_points[devices[i]].status != Status.Unknown) continue;
            Point memory p = _before(devices[i]);
            if (p.status == Status.Unknown) revert UnknownKey();
            _points[devices[i]] = p;
            emit Adopted(devices[i]);
        }
    }

    /// A point as the last contract before this one left it: a point may have slept through several.
    function _before(address device) private view returns (Point memory p) {
        for (MeteringPoints last = predecessor; address(last) != address(0); last = last.predecessor()) {
            p = last.pointOf(device);
            if (p.status != Status.Unknown) return p;
        }
    }

    function _checkNew(address device) private view {
        if (_points[device].status != Status.Unknown || _before(device).status != Status.Unknown) revert KnownKey();
    }

    /// @notice Gives a point a new key, which shows itself by signing a certificate of its own. The register's count
    /// goes on; places begin anew, as no record of the new key was ever counted. Also the way out of a freeze.
    function rotateKey(address device, bytes calldata certificate, bytes32 r, bytes32 vs) external onlyCouncil {
        Point storage old = _known(device);
        if (old.status == Status.Rotated) revert UnknownKey();
        bytes32 hash = sha256(certificate);
        address next = Signatures.recover(hash, r, vs);
        if (next == address(0)) revert BadProof();
        _checkNew(next);
        Point storage p = _points[next];
        _points[next] = old;
        (p.status, p.certificate, p.basePlace, p.lastPlace) = (Status.Active, hash, 0, 0);
        p.head = (old.head >> 136) << 136 | uint48(old.head);
        old.status = Status.Rotated;
        emit KeyRotated(device, next, hash);
    }

    /// @notice Ends a point's count at a place; what was signed up to there still counts.
    function revoke(address device, uint48 epoch, uint40 sequence) external onlyCouncil {
        Point storage p = _known(device);
        if (p.status != Status.Active && p.status != Status.Revoked) revert BadTerms();
        (p.status, p.lastPlace) = (Status.Revoked, uint88(epoch) << 40 | sequence);
        emit Revoked(device, epoch, sequence);
    }

    /// @notice Offers a point to another owner; the owner may, and for a lost wallet the council.
    function offerPoint(address device, address to) external {
        Point storage p = _known(device);
        if (msg.sender != p.owner && msg.sender != council) revert OnlyOwner();
        p.offeredTo = to;
        emit OwnerOffered(device, to);
    }

    /// @notice Takes an offered point. What is settled from here on is the new owner's.
    function acceptPoint(address device) external {
        Point storage p = _known(device);
        if (msg.sender != p.offeredTo) revert OnlyOwner();
        (p.owner, p.offeredTo) = (msg.sender, address(0));
        emit OwnerChanged(device, msg.sender);
    }

    function setPaused(bool paused_) external onlyCouncil {
        paused = paused_;
        emit PauseChanged(paused_);
    }

    /// @notice Freezes a point whose key has signed two different records at one place (SPEC-36). Anyone may: the two
    /// payloads and signatures are the proof.
    function proveEquivocation(bytes calldata a, bytes32[2] calldata sigA, bytes calldata b, bytes32[2] calldata sigB)
        external
    {
        (bytes32 hashA, bytes32 hashB) = (sha256(a), sha256(b));
        address device = Signatures.recover(hashA, sigA[0], sigA[1]);
        (uint256 epoch, uint256 sequence) = Signatures.placeOf(a);
        (uint256 otherEpoch, uint256 otherSequence) = Signatures.placeOf(b);
        if (
            hashA == hashB || device != Signatures.recover(hashB, sigB[0], sigB[1]) || sequence == 0
                || epoch != otherEpoch || sequence != otherSequence
        ) revert BadProof();
        _freeze(device, epoch, sequence);
    }

    function _freeze(address device, uint256 epoch, uint256 sequence) internal {
        Point storage p = _known(device);
        if (p.status != Status.Active && p.status != Status.Revoked) revert BadProof();
        p.status = Status.Frozen;
        emit Frozen(device, epoch, sequence);
    }

    function _known(address device) internal view returns (Point storage p) {
        p = _points[device];
        if (p.status == Status.Unknown) revert UnknownKey();
    }
}
