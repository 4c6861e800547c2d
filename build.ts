// `make build`: each program as one file in dist/ (the gateway in a few), beside its launcher and the profiles, as the
// board gets them.
// Packages with native parts are not in it.
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { type BuildOptions, build } from 'esbuild'
import { buildVerifyPage } from './ledger-client/web/build-page.ts'

const programs = [
  'ledger-client/src/main',
  'ledger-client/src/verifiers/verify-worker',
  'ledger-client/src/verify-main',
  'ledger-client/src/wallet-main',
  'device-sim/src/main',
]
const beside = ['gateway/bin', 'ledger-client/bin', 'device-sim/bin', 'hardware']

const toEntries = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, `${name}.ts`]))
const options: BuildOptions = {
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
}

rmSync('dist', { recursive: true, force: true }) // parts of an older build have other names
await build({ ...options, entryPoints: toEntries(programs) })
// What serves charging stations lies beside the gateway: the schemas of three OCPP versions take 20 MB of memory, and
// only a gateway that has stations loads them.
await build({
  ...options,
  entryPoints: toEntries(['gateway/src/main']),
  splitting: true,
  chunkNames: 'gateway/src/[name]-[hash]',
})
for (const folder of beside) cpSync(folder, `dist/${folder}`, { recursive: true })
// The checker of proofs for whoever has only a browser: one file that opens from a disk or from any web server.
mkdirSync('dist/ledger-client/web', { recursive: true })
writeFileSync('dist/ledger-client/web/verify.html', await buildVerifyPage())
