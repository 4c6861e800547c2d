import { readFileSync } from 'node:fs'
import test from 'ava'
import { type Artifacts, artifactsPath, hashInputs } from './compile.ts'
import { formatGas, gasPath, measureGas } from './gas.ts'

test('artifacts.json was compiled from these sources', (t) => {
  const { inputs } = JSON.parse(readFileSync(artifactsPath, 'utf8')) as Artifacts
  t.is(inputs, hashInputs(), 'npm run contracts')
})

test('GAS.md says what is measured, and no limit is passed', async (t) => {
  const rows = await measureGas()
  const over = rows.filter(({ gas, limit }) => limit !== undefined && gas > limit)
  t.deepEqual(over, [])
  t.is(readFileSync(gasPath, 'utf8'), formatGas(rows), 'npm run gas')
})
