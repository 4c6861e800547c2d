import test from 'ava'
import { answerPdu, type RegisterReader } from './pdu.ts'

const hex = (pdu: Uint8Array) => Buffer.from(pdu).toString('hex')
const ask = (request: string, registers: RegisterReader) =>
  hex(answerPdu(Uint8Array.from(Buffer.from(request, 'hex')), registers))
const counting: RegisterReader = {
  read: (_functionCode, address, count) => Array.from({ length: count }, (_, i) => address + i),
}
const refusing: RegisterReader = { read: () => 2 }

test('FC3 and FC4 give the words with their byte count', (t) => {
  t.is(ask('0301020002', counting), '030401020103')
  t.is(ask('04ffff0001', counting), '0402ffff')
})

test('what a meter does not do is exception 1', (t) => {
  for (const request of ['0600010001', '100001000102000a', '0100000001', '2b0e0100', '']) {
    t.is(ask(request, counting).slice(2), '01', request)
  }
  t.is(ask('0600010001', counting), '8601')
})

test('a register that is not there is exception 2', (t) => {
  t.is(ask('0300010001', refusing), '8302')
})

test('a quantity that the standard forbids is exception 3', (t) => {
  t.is(ask('0400000000', counting), '8403')
  t.is(ask('040000007e', counting), '8403')
  t.is(ask('04000000', counting), '8403')
  t.is(ask('040000000100', counting), '8403')
})
