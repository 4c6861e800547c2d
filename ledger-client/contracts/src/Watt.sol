// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title WATT: 1 for each measured kilowatt-hour, in 1,000 base units, so that 1 Wh is 1 base unit.
/// @notice Never replaced. The only thing about it that can change is who books, and that takes the council and, after
/// the first time, seven days in which everyone can see it coming.
contract Watt is ERC20Permit {
    uint256 public constant NOTICE = 7 days;

    address public immutable council;
    /// The contract that turns records into bookings.
    address public booker;
    address public nextBooker;
    uint256 public nextBookerFrom;
    /// What has booked once never does again: it does not know what was counted after it.
    mapping(address => bool) public hasBooked;
    /// Consumption that found no WATT: owed to the grid at its tariff, and never paid with WATT from nowhere (SPEC-85).
    mapping(address owner => uint256 wh) public shortfallOf;

    event BookerNamed(address indexed booker, uint256 from);
    event BookerChanged(address indexed booker);
    event Shortfall(address indexed owner, uint256 wh);

    error OnlyCouncil();
    error OnlyBooker();
    error TooEarly();
    error HasBooked();

    constructor(address council_) ERC20("Wattline WATT", "WATT") ERC20Permit("Wattline WATT") {
        council = council_;
    }

    function decimals() public pure override returns (uint8) {
        return 3;
    }

    /// @notice Names who books next, or nobody, which takes a notice back. The very first one books at once.
    function nameBooker(address next) external {
        if (msg.sender != council) revert OnlyCouncil();
        if (hasBooked[next]) revert HasBooked();
        nextBooker = next;
        nextBookerFrom = booker == address(0) ? block.timestamp : block.timestamp + NOTICE;
        emit BookerNamed(next, nextBookerFrom);
        if (booker == address(0)) changeBooker();
    }

    /// @notice Puts the named booker in its place, once the notice is over. Anyone may.
    function changeBooker() public {
        if (nextBooker == address(0) || block.timestamp < nextBookerFrom) revert TooEarly();
        booker = nextBooker;
        hasBooked[booker] = true;
        nextBooker = address(0);
        emit BookerChanged(booker);
    }

    /// @notice Books what one record counts for: first what it mints, then what it burns, as the journal does.
    function book(address owner, uint256 mintWh, uint256 burnWh) external {
        if (msg.sender != booker) revert OnlyBooker();
        if (mintWh >= burnWh) {
            if (mintWh > burnWh) _mint(owner, mintWh - burnWh);
            return;
        }
        uint256 due = burnWh - mintWh;
        uint256 held = balanceOf(owner);
        if (held < due) {
            shortfallOf[owner] += due - held;
            emit Shortfall(owner, due - held);
            due = held;
        }
        if (due > 0) _burn(owner, due);
    }
}
