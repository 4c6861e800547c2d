"""Meters made with Debian's python3-pymodbus, on Modbus TCP and on a serial port at once.

Reads from stdin {"path": serial port, "floats": [{"unit", "address", "value"}]}. An input register holds its part of a
float, or else, as every holding register does, a word made of its unit, function and address. Prints the TCP port once
it serves.
"""
import asyncio
import json
import logging
import struct
import sys

from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext
from pymodbus.datastore.store import BaseModbusDataBlock
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusRtuFramer

# It calls a client that hangs up an error.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class Registers(BaseModbusDataBlock):
    """Registers of one unit and function."""

    def __init__(self, unit, function_code):
        self.unit = unit
        self.function_code = function_code
        self.words = {}

    def put_float(self, address, value):
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        self.words[address], self.words[address + 1] = high, low

    def validate(self, address, count=1):
        return address + count <= 0x10000

    def getValues(self, address, count=1):
        return [self.words.get(at, self.word(at)) for at in range(address, address + count)]

    def word(self, address):
        return (address * 31 + self.unit * 1009 + self.function_code * 7919) & 0xFFFF


async def main():
    asked = json.load(sys.stdin)
    inputs = {unit: Registers(unit, 4) for unit in range(1, 5)}
    for item in asked["floats"]:
        inputs[item["unit"]].put_float(item["address"], item["value"])
    slaves = {
        unit: ModbusSlaveContext(ir=inputs[unit], hr=Registers(unit, 3), zero_mode=True) for unit in inputs
    }
    context = ModbusServerContext(slaves=slaves, single=False)
    tcp = ModbusTcpServer(context, address=("127.0.0.1", 0))
    serving = asyncio.ensure_future(tcp.serve_forever())
    await tcp.serving
    serial = ModbusSerialServer(context, framer=ModbusRtuFramer, port=asked["path"], baudrate=9600)
    await serial.start()
    print(tcp.server.sockets[0].getsockname()[1], flush=True)
    await serving


asyncio.run(main())
