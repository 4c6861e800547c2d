// `make build`: each program as one file in dist/, beside its launcher and the profiles, as the board gets them.
// Packages with native parts are not in it.
import { cpSync } from 'node:fs'
import { build } from 'esbuild'

const programs = ['gateway/src/main', 'ledger-client/src/main', 'ledger-client/src/verify-main', 'device-sim/src/main']
const beside = ['gateway/bin', 'ledger-client/bin', 'device-sim/bin', 'hardware']

await build({
  entryPoints: Object.fromEntries(programs.map((program) => [program, `${program}.ts`])),
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Half the source is half the memory for it; names stay, for whoever reads a stack trace.
  minify: true,
  keepNames: true,
  sourcemap: false,
  external: ['better-sqlite3', 'serialport', 'secp256k1'],
  // Packages in CommonJS ask for `require`, which a module has not.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'info',
})
for (const folder of beside) cpSync(folder, `dist/${folder}`, { recursive: true })
