// `make schemas`: the JSON Schema of each config file, for editors to complete it, made from what the program checks.
// With --check nothing is written: it ends with 1 where a file differs.
import { readFileSync, writeFileSync } from 'node:fs'
import { toJsonSchema } from '@valibot/to-json-schema'
import { configSchema as simConfig } from './device-sim/src/config.ts'
import { configShape as gatewayConfig } from './gateway/src/config.ts'
import { configShape as ledgerConfig } from './ledger-client/src/config.ts'

const schemas = {
  'gateway/gateway.schema.json': ['gateway.yaml', gatewayConfig],
  'ledger-client/ledger.schema.json': ['ledger.yaml', ledgerConfig],
  'device-sim/sim.schema.json': ['sim.yaml', simConfig],
} as const

for (const [path, [title, shape]] of Object.entries(schemas)) {
  // Checks between the parts have no counterpart there; the programs make them.
  const body = toJsonSchema(shape, { typeMode: 'input', errorMode: 'ignore', target: 'draft-2020-12' })
  const text = `${JSON.stringify({ title, ...body }, null, 2)}\n`
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (readFileSync(path, 'utf8') !== text) {
    process.stderr.write(`${path} is not what the program checks: run 'make schemas'\n`)
    process.exitCode = 1
  }
}
