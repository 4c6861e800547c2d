import test from 'ava'
import { makeGatewayId, makeMeterId, makePointId, parsePointId } from './ids.ts'

test('SPEC-3: a metering point is gateway and meter, and comes apart again', (t) => {
  const point = makePointId(makeGatewayId('gw-1'), makeMeterId('roof_2.a'))
  t.is(String(point), 'gw-1/roof_2.a')
  t.deepEqual(parsePointId(point), { gatewayId: makeGatewayId('gw-1'), meterId: makeMeterId('roof_2.a') })
})

for (const bad of ['', '-a', 'a-', 'a b', 'a/b', 'ä', 'a+', '#', 'x'.repeat(41)]) {
  test(`SPEC-3: '${bad}' is no id`, (t) => {
    t.throws(() => makeMeterId(bad), { code: 'config/invalid' })
    t.throws(() => parsePointId(`gw/${bad}`), { code: 'config/invalid' })
  })
}

test('SPEC-3: a metering point needs both halves', (t) => {
  t.throws(() => parsePointId('gw'), { code: 'config/invalid', message: /'gw'/ })
})
