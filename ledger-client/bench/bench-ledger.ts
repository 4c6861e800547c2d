// A ledger as it ships, embedded broker and all, but for the verifier, which the second argument names: `trusting` says
// yes to everything, `two-threads` works with two. The first argument is its ledger.yaml.
import { loadConfig } from '../src/config.ts'
import { makeLogger } from '../src/log.ts'
import { startLedger } from '../src/program.ts'
import { startVerifier } from '../src/verifiers/two-threads.ts'
import { trustingVerifier, twoThreads } from './trusting-verifier.ts'

const [configPath = '', name = ''] = process.argv.slice(2)
const config = loadConfig(configPath)
const { verifier, close } =
  name === trustingVerifier.name
    ? { verifier: trustingVerifier, close: () => Promise.resolve() }
    : await startVerifier('auto', name === twoThreads ? 2 : 1, (error) => {
        throw error
      })
const ledger = await startLedger(config, verifier, makeLogger('silent'))
process.once('SIGTERM', () => void ledger.stop().then(close))
process.stdout.write(`${ledger.mqttUrl}\n`)
