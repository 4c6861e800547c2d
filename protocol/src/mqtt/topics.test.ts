import test from 'ava'
import { makeGatewayId, makeMeterId } from '../ids.ts'
import {
  formatTopic,
  gatewayTopicFilter,
  ledgerTopicFilters,
  parseTopic,
  pointTopicKinds,
  type Topic,
} from './topics.ts'

const gatewayId = makeGatewayId('gw-1')
const topics: Topic[] = [
  ...pointTopicKinds.map((kind) => ({ kind, gatewayId, meterId: makeMeterId('roof') })),
  { kind: 'hello', gatewayId },
]

test('SPEC-60: every topic survives its name, and no broker finds it too deep', (t) => {
  for (const topic of topics) {
    t.deepEqual(parseTopic(formatTopic(topic)), topic)
    t.true(formatTopic(topic).split('/').length <= 7)
  }
})

test('SPEC-60: a meter may be called hello', (t) => {
  const topic: Topic = { kind: 'record', gatewayId, meterId: makeMeterId('hello') }
  t.deepEqual(parseTopic(formatTopic(topic)), topic)
})

for (const name of [
  '',
  'wattline',
  'wattline/v2/gw/m/record',
  'other/v1/gw/m/record',
  'wattline/v1/gw/m/other',
  'wattline/v1/gw/m',
  'wattline/v1/-/m/record',
  'wattline/v1/gw/-/record',
  'wattline/v1/gw/m/record/more',
  'wattline/v1/+/hello',
]) {
  test(`SPEC-60: '${name}' is no topic of ours`, (t) => t.is(parseTopic(name), undefined))
}

test('SPEC-60: each side listens to what the other says', (t) => {
  const matches = (filter: string, name: string) => new RegExp(`^${filter.replaceAll('+', '[^/]+')}$`).test(name)
  for (const topic of topics) {
    const name = formatTopic(topic)
    t.is(matches(gatewayTopicFilter(gatewayId), name), topic.kind === 'receipt', name)
    t.is(
      ledgerTopicFilters.some((filter) => matches(filter, name)),
      topic.kind !== 'receipt',
      name,
    )
  }
})
