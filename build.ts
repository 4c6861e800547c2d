// `make build`: each program as one file under dist/, for the board. Packages with native parts stay beside it.
import { build } from 'esbuild'

const programs = {
  'wattline-gateway': 'gateway/src/main.ts',
  'wattline-ledger': 'ledger-client/src/main.ts',
  'wattline-verify': 'ledger-client/src/verify-main.ts',
  'wattline-sim': 'device-sim/src/main.ts',
}

await build({
  entryPoints: programs,
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  minifySyntax: true,
  sourcemap: false,
  external: ['better-sqlite3', 'serialport', 'secp256k1'],
  // Packages in CommonJS ask for `require`, which a module has not.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'info',
})
