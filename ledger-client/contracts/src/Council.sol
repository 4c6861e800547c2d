// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title m of n people who together may do what nobody may do alone.
/// @notice An act is signed off the chain by at least m members (EIP-712) and brought by anyone. It is done once.
/// @dev It holds no money and no rights but those that other contracts give to its address.
contract Council is EIP712 {
    bytes32 private constant ACT = keccak256("Act(address target,bytes data,uint256 salt,uint256 deadline)");

    uint256 public threshold;
    address[] private _members;
    mapping(address => bool) public isMember;
    /// Acts that were done, or taken back.
    mapping(bytes32 => bool) public isSpent;

    event Done(bytes32 indexed act, address indexed target);
    event MembersChanged(address[] members, uint256 threshold);

    error BadMembers();
    error OnlyItself();
    error Expired();
    error Spent();
    error TooFewSignatures();
    error BadSignature();
    error NoContract();

    constructor(address[] memory members_, uint256 threshold_) EIP712("Wattline Council", "1") {
        _setMembers(members_, threshold_);
    }

    function members() external view returns (address[] memory) {
        return _members;
    }

    /// @notice What the members sign.
    function hashAct(address target, bytes calldata data, uint256 salt, uint256 deadline) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(ACT, target, keccak256(data), salt, deadline)));
    }

    /// @notice Does what m members have signed. Signatures stand in the rising order of their signers' addresses.
    function act(address target, bytes calldata data, uint256 salt, uint256 deadline, bytes[] calldata signatures)
        external
        returns (bytes memory)
    {
        if (block.timestamp > deadline) revert Expired();
        bytes32 digest = hashAct(target, data, salt, deadline);
        if (isSpent[digest]) revert Spent();
        if (target.code.length == 0) revert NoContract(); // it would be spent on nothing
        if (signatures.length < threshold) revert TooFewSignatures();
        address last = address(0);
        for (uint256 i = 0; i < signatures.length; i++) {
            address signer = ECDSA.recoverCalldata(digest, signatures[i]);
            if (signer <= last || !isMember[signer]) revert BadSignature(); // the order also shows that none counts twice
            last = signer;
        }
        isSpent[digest] = true;
        emit Done(digest, target);
        (bool ok, bytes memory answer) = target.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
        return answer;
    }

    /// @notice Changes the members: an act of the council on itself.
    function setMembers(address[] memory members_, uint256 threshold_) external {
        if (msg.sender != address(this)) revert OnlyItself();
        _setMembers(members_, threshold_);
    }

    /// @notice Takes back an act that was signed and not yet done: an act of the council on itself.
    function spend(bytes32 digest) external {
        if (msg.sender != address(this)) revert OnlyItself();
        isSpent[digest] = true;
    }

    function _setMembers(address[] memory members_, uint256 threshold_) private {
        if (threshold_ == 0 || threshold_ > members_.length) revert BadMembers();
        for (uint256 i = 0; i < _members.length; i++) isMember[_members[i]] = false;
        for (uint256 i = 0; i < members_.length; i++) {
            if (members_[i] == address(0) || isMember[members_[i]]) revert BadMembers();
            isMember[members_[i]] = true;
        }
        _members = members_;
        threshold = threshold_;
        emit MembersChanged(members_, threshold_);
    }
}
