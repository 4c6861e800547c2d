// `npm run contracts`: compiles the contracts into artifacts.json, which is what gets deployed; no compiler is needed
// to run or to deploy. `--check` compiles and fails on difference (in `make soak`: it takes half a minute).
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** What a contract is deployed and called with. */
export interface Artifact {
  readonly abi: readonly unknown[]
  readonly bytecode: string
}

/** What artifacts.json holds. */
export interface Artifacts {
  /** SHA-256 of everything that the compiler was given: tells in no time whether the rest is up to date. */
  readonly inputs: string
  readonly contracts: Readonly<Record<string, Artifact>>
}

interface Problem {
  readonly severity: string
  readonly formattedMessage: string
}

interface Output {
  readonly errors?: readonly Problem[]
  readonly contracts: Record<string, Record<string, { abi: unknown[]; evm: { bytecode: { object: string } } }>>
}

interface Compiler {
  version(): string
  compile(input: string, callbacks: { import: (path: string) => { contents: string } | { error: string } }): string
}

const require = createRequire(import.meta.url)
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const deployed = ['Council', 'Watt', 'Attestation']

export const artifactsPath = here('./artifacts.json')

const settings = {
  viaIR: true,
  optimizer: { enabled: true, runs: 1_000_000 },
  evmVersion: 'cancun',
  // Without it, a comment changes the bytecode.
  metadata: { bytecodeHash: 'none' },
  outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
}

/** Names everything that the artifacts follow from: sources, settings, and the versions of compiler and library. */
export function hashInputs(): string {
  const versions = ['solc', '@openzeppelin/contracts'].map((name) => {
    return (JSON.parse(readFileSync(require.resolve(`${name}/package.json`), 'utf8')) as { version: string }).version
  })
  const names = readdirSync(here('./src')).sort()
  const sources = names.map((name) => [name, readSource(`src/${name}`)])
  return createHash('sha256').update(JSON.stringify({ versions, settings, sources })).digest('hex')
}

/** Compiles the contracts that are deployed; warnings are errors. */
export function compileContracts(): Artifacts {
  const compiler = require('solc') as Compiler
  const sources = deployed.map((name) => [`src/${name}.sol`, { content: readSource(`src/${name}.sol`) }])
  const input = { language: 'Solidity', sources: Object.fromEntries(sources), settings }
  const output = JSON.parse(compiler.compile(JSON.stringify(input), { import: readImport })) as Output
  const problems = (output.errors ?? []).filter(({ severity }) => severity !== 'info')
  if (problems.length > 0) throw new Error(problems.map(({ formattedMessage }) => formattedMessage).join('\n'))
  const contracts = deployed.map((name) => {
    const contract = output.contracts[`src/${name}.sol`]?.[name]
    return [name, { abi: contract?.abi ?? [], bytecode: `0x${contract?.evm.bytecode.object}` }]
  })
  return { inputs: hashInputs(), contracts: Object.fromEntries(contracts) }
}

function readImport(path: string): { contents: string } | { error: string } {
  try {
    return { contents: readSource(path) }
  } catch (error) {
    return { error: String(error) }
  }
}

// `@openzeppelin/...` is where npm put it; everything else is ours.
function readSource(path: string): string {
  return readFileSync(path.startsWith('@') ? require.resolve(path) : here(`./${path}`), 'utf8')
}

export const formatArtifacts = (artifacts: Artifacts) => `${JSON.stringify(artifacts)}\n`

if (import.meta.main) {
  const text = formatArtifacts(compileContracts())
  const same = existsSync(artifactsPath) && readFileSync(artifactsPath, 'utf8') === text
  if (!process.argv.includes('--check')) writeFileSync(artifactsPath, text)
  else if (!same) {
    process.stderr.write('contracts/artifacts.json is not what the sources compile to: npm run contracts\n')
    process.exitCode = 1
  }
}
