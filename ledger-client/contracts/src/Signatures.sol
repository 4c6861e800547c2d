// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a key has signed.
library Signatures {
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice The address of the key that signed, or 0. `vs` holds s, and in its highest bit the parity (EIP-2098).
    /// @dev A high s is refused: the same signature would come in two forms. Bringing a foreign meter's into the lower
    /// half is up to whoever sends it.
    function recover(bytes32 hash, bytes32 r, bytes32 vs) internal pure returns (address) {
        uint256 s = uint256(vs) & (type(uint256).max >> 1);
        if (s > HALF_ORDER) return address(0);
        return ecrecover(hash, uint8(uint256(vs) >> 255) + 27, r, bytes32(s));
    }

    /// @notice Epoch and sequence of a record's payload in any context, or 0 where it is none.
    /// @dev No text field can hold a quotation mark, so `,"XE":` stands in a payload once.
    function placeOf(bytes calldata payload) internal pure returns (uint256 epoch, uint256 sequence) {
        uint256 length = payload.length;
        if (length < 32 || length > 16_384 || bytes11(payload[:11]) != '{"FV":"1.3"') return (0, 0);
        for (uint256 cursor = 11; cursor + 6 < length; cursor++) {
            if (bytes6(payload[cursor:cursor + 6]) != ',"XE":') continue;
            (epoch, cursor) = _number(payload, cursor + 6);
            if (cursor + 6 > length || bytes6(payload[cursor:cursor + 6]) != ',"XN":') return (0, 0);
            (sequence, cursor) = _number(payload, cursor + 6);
            if (cursor + 6 > length || bytes6(payload[cursor:cursor + 6]) != ',"XP":') return (0, 0);
            return (epoch, sequence);
        }
    }

    /// At most 15 digits, as in every record.
    function _number(bytes calldata text, uint256 cursor) private pure returns (uint256 number, uint256 end) {
        for (end = cursor; end < text.length && end < cursor + 15; end++) {
            uint8 digit = uint8(text[end]);
            if (digit < 48 || digit > 57) break;
            number = number * 10 + digit - 48;
        }
    }
}
