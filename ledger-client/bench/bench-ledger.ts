// A ledger as it ships, embedded broker and all, but for the verifier, which the second argument names: `trusting` says
// yes to everything. The first argument is its ledger.yaml.
import { loadConfig } from '../src/config.ts'
import { makeLogger } from '../src/log.ts'
import { startLedger } from '../src/program.ts'
import { pickVerifier } from '../src/verifiers/pick.ts'
import { trustingVerifier } from './trusting-verifier.ts'

const [configPath = '', name = ''] = process.argv.slice(2)
const config = loadConfig(configPath)
const verifier = name === trustingVerifier.name ? trustingVerifier : await pickVerifier('auto')
const ledger = await startLedger(config, verifier, makeLogger('silent'))
process.once('SIGTERM', () => void ledger.stop())
process.stdout.write(`${ledger.mqttUrl}\n`)
