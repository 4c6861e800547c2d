// Tests that wait for wires at real pace come first: they leave the processors to those beside them, and none of them is
// then left to run alone at the end.
const slowest = ['scan', 'smart-charging', 'guard-states', 'charger-loop', 'crash-loop', 'demo', 'profiles', 'restore']
const place = (/** @type {string} */ file) => {
  if (!file.includes('device-sim/test/')) return 1000
  const known = slowest.findIndex((name) => file.endsWith(`/${name}.test.ts`))
  return known === -1 ? slowest.length : known
}

// biome-ignore lint/style/noDefaultExport: ava takes its configuration from there
export default {
  files: [
    'protocol/src/**/*.test.ts',
    'gateway/src/**/*.test.ts',
    'device-sim/src/**/*.test.ts',
    'ledger-client/src/**/*.test.ts',
    'ledger-client/contracts/**/*.test.ts',
    'device-sim/test/**/*.test.ts',
  ],
  extensions: { ts: 'module' },
  timeout: '3m',
  concurrency: 4,
  workerThreads: false,
  sortTestFiles: (/** @type {string} */ a, /** @type {string} */ b) => place(a) - place(b) || (a < b ? -1 : 1),
}
