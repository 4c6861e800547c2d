// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The text that a meter's record was signed as, built again from numbers (protocol/SPEC.md, rules 10 to 20).
/// @notice Only what counts energy is ever built: context F, states `ok`, `roll-over` and `re-based`. Records in
/// context T name a person and have no place on a chain; as a register is cumulative, the next F record tells the same.
/// @dev Different numbers give different texts: the structure comes from this library, and no text field can hold a
/// quotation mark. So a signature over the text is a signature over the numbers.
library OcmfText {
    /// What differs from record to record. From the lowest bit up: template 32, page 40, time in ms 48, sequence 40,
    /// epoch 48, clock 2 (U, I, S, R), state 2 (ok, roll-over, re-based).
    type Numbers is uint256;
    /// Registers in Wh. From the lowest bit up: import 56, export 56, import present 1, export present 1.
    type Registers is uint256;

    uint256 internal constant LAST_MS = 253_402_300_799_999; // 9999-12-31: the last moment that a record can carry

    error UnfitText();

    /// @notice The texts of a metering point that stay the same from record to record.
    struct Template {
        string gatewayModel; // GI
        string gatewaySerial; // GS
        string gatewayVersion; // GV
        string meterVendor; // MV
        string meterModel; // MM
        string meterSerial; // MS, empty where the meter has none to read
        bool isEvse; // CT: EVSEID or CBIDC
        string pointText; // CI
    }

    function templateId(Numbers n) internal pure returns (uint256) {
        return uint32(Numbers.unwrap(n));
    }

    /// @notice Epoch and sequence as one number: a later record's is greater.
    function place(Numbers n) internal pure returns (uint256) {
        return uint88(Numbers.unwrap(n) >> 120);
    }

    function takenAt(Numbers n) internal pure returns (uint256) {
        return uint48(Numbers.unwrap(n) >> 72);
    }

    function state(Numbers n) internal pure returns (uint256) {
        return (Numbers.unwrap(n) >> 210) & 3;
    }

    /// @notice Whether the numbers are such that a record can carry them, with nothing where nothing belongs: there is
    /// one form of each record.
    function isFit(Numbers n, Registers r) internal pure returns (bool) {
        uint256 registers = Registers.unwrap(r);
        return Numbers.unwrap(n) >> 212 == 0 && state(n) < 3 && takenAt(n) <= LAST_MS && registers >> 112 != 0
            && pick(registers, 3) == registers;
    }

    /// @notice The registers whose bit is set in `which`.
    function pick(uint256 registers, uint256 which) internal pure returns (uint256 picked) {
        uint256 present = registers >> 112 & which;
        picked = present << 112;
        if (present & 1 != 0) picked |= uint56(registers);
        if (present & 2 != 0) picked |= uint256(uint56(registers >> 56)) << 56;
    }

    /// @notice The two constant parts of a text: up to the page's number, and from there to the epoch's.
    function compile(Template calldata t) internal pure returns (bytes memory first, bytes memory second) {
        first = abi.encodePacked(
            '{"FV":"1.3","GI":"', _fit(t.gatewayModel), '","GS":"', _fit(t.gatewaySerial), '","GV":"',
            _fit(t.gatewayVersion), '","PG":"F'
        );
        second = abi.encodePacked(
            '","MV":"', _fit(t.meterVendor), '","MM":"', _fit(t.meterModel), '","MS":"', _fit(t.meterSerial),
            '","IS":false,"IL":"NONE","IF":[],"IT":"NONE","ID":"","CT":"', t.isEvse ? "EVSEID" : "CBIDC", '","CI":"',
            _fit(t.pointText), '","XE":'
        );
    }

    /// Printable ASCII without quotation mark, backslash and `|`, at most 200 characters (SPEC-11).
    function _fit(string calldata text) private pure returns (string calldata) {
        bytes calldata b = bytes(text);
        if (b.length > 200) revert UnfitText();
        for (uint256 i = 0; i < b.length; i++) {
            bytes1 c = b[i];
            if (c < 0x20 || c > 0x7e || c == '"' || c == "\\" || c == "|") revert UnfitText();
        }
        return text;
    }

    /// @notice SHA-256 of the text: the record's name, and what was signed.
    /// @dev The text is built beyond the free memory and left there, so a batch does not grow with its length.
    function hash(address template, Numbers n, bytes32 previousHash, Registers r) internal view returns (bytes32 digest) {
        (uint256 start, uint256 length) = _build(template, n, previousHash, r);
        assembly ("memory-safe") {
            // Too little gas for the precompile must never look like a bad signature.
            if iszero(staticcall(gas(), 2, start, length, 0, 32)) { revert(0, 0) }
            digest := mload(0)
        }
    }

    /// @notice The text itself.
    function payload(address template, Numbers n, bytes32 previousHash, Registers r)
        internal
        view
        returns (string memory text)
    {
        (uint256 start, uint256 length) = _build(template, n, previousHash, r);
        assembly ("memory-safe") {
            text := sub(start, 32)
            mstore(text, length)
            mstore(0x40, and(add(add(start, length), 63), not(31)))
        }
    }

    function _build(address template, Numbers n, bytes32 previousHash, Registers r)
        private
        view
        returns (uint256 start, uint256 length)
    {
        unchecked {
            uint256 word = Numbers.unwrap(n);
            uint256 cursor;
            uint256 second; // where the second constant part begins in the template's code
            assembly ("memory-safe") {
                start := add(mload(0x40), 32)
                // The template's code: 0x00, two bytes for the length of the first part, both parts.
                mstore(0, 0)
                extcodecopy(template, 30, 1, 2)
                let first := mload(0)
                extcodecopy(template, start, 3, first)
                cursor := add(start, first)
                second := add(3, first)
            }
            cursor = _writeNumber(cursor, uint40(word >> 32));
            assembly ("memory-safe") {
                let size := sub(extcodesize(template), second)
                extcodecopy(template, cursor, second, size)
                cursor := add(cursor, size)
            }
            cursor = _writeNumber(cursor, place(n) >> 40);
            cursor = _write(cursor, ',"XN":', 6);
            cursor = _writeNumber(cursor, uint40(place(n)));
            cursor = _write(cursor, ',"XP":"', 7);
            cursor = _writeHex(cursor, uint256(previousHash));
            cursor = _write(cursor, '","RD":[', 8);
            uint256 time = _time(takenAt(n), (word >> 208) & 3);
            bytes32 letter = state(n) == 0 ? bytes32("G") : state(n) == 1 ? bytes32("O") : bytes32("X");
            uint256 values = Registers.unwrap(r);
            if ((values >> 112) & 1 != 0) cursor = _writeReading(cursor, time, uint56(values), "01.08.00*FF", letter);
            if (values >> 112 == 3) cursor = _write(cursor, ",", 1);
            if (values >> 113 != 0) cursor = _writeReading(cursor, time, uint56(values >> 56), "C2.08.00*FF", letter);
            cursor = _write(cursor, "]}", 2);
            length = cursor - start;
        }
    }

    /// One reading: `{"TM":"...","RV":12.345,"RI":"01-00:01.08.00*FF","RU":"kWh","RT":"AC","EF":"","ST":"G"}`.
    function _writeReading(uint256 cursor, uint256 time, uint256 wh, bytes32 code, bytes32 letter)
        private
        pure
        returns (uint256)
    {
        unchecked {
            cursor = _write(cursor, '{"TM":"', 7);
            cursor = _write(cursor, bytes32(time), 30);
            cursor = _write(cursor, '","RV":', 7);
            cursor = _writeKwh(cursor, wh);
            cursor = _write(cursor, ',"RI":"01-00:', 13);
            cursor = _write(cursor, code, 11);
            cursor = _write(cursor, '","RU":"kWh","RT":"AC","EF":"","', 32);
            cursor = _write(cursor, 'ST":"', 5);
            cursor = _write(cursor, letter, 1);
            return _write(cursor, '"}', 2);
        }
    }

    /// What stands behind the text's end is overwritten by what follows, so whole words are written.
    function _write(uint256 cursor, bytes32 text, uint256 length) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            mstore(cursor, text)
            end := add(cursor, length)
        }
    }

    function _writeNumber(uint256 cursor, uint256 value) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            let word := 0
            let bits := 0
            for {} 1 {} {
                word := or(word, shl(bits, add(48, mod(value, 10))))
                bits := add(bits, 8)
                value := div(value, 10)
                if iszero(value) { break }
            }
            mstore(cursor, shl(sub(256, bits), word))
            end := add(cursor, shr(3, bits))
        }
    }

    /// Kilowatt-hours with exactly three decimals.
    function _writeKwh(uint256 cursor, uint256 wh) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            let word := add(0x2e303030, mod(wh, 10)) // `.000`
            word := add(word, shl(8, mod(div(wh, 10), 10)))
            word := add(word, shl(16, mod(div(wh, 100), 10)))
            let bits := 32
            wh := div(wh, 1000)
            for {} 1 {} {
                word := or(word, shl(bits, add(48, mod(wh, 10))))
                bits := add(bits, 8)
                wh := div(wh, 10)
                if iszero(wh) { break }
            }
            mstore(cursor, shl(sub(256, bits), word))
            end := add(cursor, shr(3, bits))
        }
    }

    /// 64 lower-case hex digits.
    function _writeHex(uint256 cursor, uint256 value) private pure returns (uint256) {
        unchecked {
            cursor = _write(cursor, bytes32(_hex(value >> 128)), 32);
            return _write(cursor, bytes32(_hex(uint128(value))), 32);
        }
    }

    /// 16 bytes as 32 hex digits: each step halves the pieces and doubles the room between them.
    function _hex(uint256 x) private pure returns (uint256) {
        unchecked {
            x = (x | (x << 64)) & 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff;
            x = (x | (x << 32)) & 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff;
            x = (x | (x << 16)) & 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff;
            x = (x | (x << 8)) & 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff;
            x = (x | (x << 4)) & 0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f;
            uint256 one = 0x0101010101010101010101010101010101010101010101010101010101010101;
            uint256 letters = ((x + one * 6) >> 4) & one; // 1 where the digit is a to f
            return x + one * 0x30 + letters * 39;
        }
    }

    /// `2026-11-21T09:00:00,000+0000 S`, left-aligned. The calendar is the proleptic Gregorian one, in years that begin
    /// in March, as in protocol/src/timestamp.ts.
    function _time(uint256 ms, uint256 clock) private pure returns (uint256 word) {
        unchecked {
            uint256 z = ms / 86_400_000 + 719_468;
            uint256 era = z / 146_097;
            uint256 dayOfEra = z - era * 146_097;
            uint256 yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365;
            uint256 dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100);
            uint256 month = (5 * dayOfYear + 2) / 153;
            uint256 day = dayOfYear - (153 * month + 2) / 5 + 1;
            month = month < 10 ? month + 3 : month - 9;
            uint256 year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
            word = uint256(bytes32("0000-00-00T00:00:00,000+0000 "));
            word += _two(year / 100) << 240 | _two(year % 100) << 224 | _two(month) << 200 | _two(day) << 176;
            ms %= 86_400_000;
            word += _two(ms / 3_600_000) << 152 | _two(ms / 60_000 % 60) << 128 | _two(ms / 1000 % 60) << 104;
            word += _two(ms / 10 % 100) << 80 | (ms % 10) << 72;
            word |= (0x52534955 >> (clock * 8) & 0xff) << 16; // U, I, S, R
        }
    }

    /// Two digits as what has to be added to `00`.
    function _two(uint256 n) private pure returns (uint256) {
        unchecked {
            return (n / 10) << 8 | n % 10;
        }
    }
}
