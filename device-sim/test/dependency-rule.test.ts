import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** Puts a file into the tree, runs a checker over it, and takes the file away again. */
function check(path: string, source: string, command: string, args: string[]): string {
  const file = `${root}${path}`
  writeFileSync(file, source)
  try {
    execFileSync(`${root}node_modules/.bin/${command}`, args, { cwd: root, stdio: 'pipe' })
    return ''
  } catch (error) {
    const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer }
    return `${stdout}${stderr}`
  } finally {
    rmSync(file)
  }
}

const lint = (path: string, source: string) => check(path, source, 'biome', ['lint', path])

const forbidden: Record<string, [string, string]> = {
  'protocol/ must not do I/O': ['protocol/src/forbidden-a.ts', "import 'node:fs'\n"],
  'protocol/ must not know the programs': ['protocol/src/forbidden-b.ts', "import '@wattline/gateway'\n"],
  'gateway/ must not know the ledger client': ['gateway/src/forbidden-c.ts', "import '@wattline/ledger-client'\n"],
  'gateway/ must not reach into the simulator': [
    'gateway/src/forbidden-d.ts',
    "import '../../device-sim/src/main.ts'\n",
  ],
  'device-sim/ must not know the gateway': ['device-sim/src/forbidden-e.ts', "import '../../gateway/src/main.ts'\n"],
  'ledger-client/ must not know the gateway': ['ledger-client/src/forbidden-f.ts', "import '@wattline/gateway'\n"],
  'mqtt is imported in one folder': ['gateway/src/forbidden-g.ts', "import 'mqtt'\n"],
  'the database is imported in one folder': ['gateway/src/forbidden-h.ts', "import 'better-sqlite3'\n"],
  'OCPP is imported in one folder of the gateway': ['gateway/src/forbidden-l.ts', "import 'ocpp-rpc'\n"],
  'OCPP is imported in one folder of the simulator': ['device-sim/src/forbidden-m.ts', "import 'ocpp-rpc'\n"],
  'WebSockets are imported in one folder of the simulator': ['device-sim/src/forbidden-n.ts', "import 'ws'\n"],
  'Modbus is imported in one folder': ['gateway/src/forbidden-i.ts', "import 'modbus-serial'\n"],
}

for (const [rule, [path, source]] of Object.entries(forbidden)) {
  test.serial(`dependency rule: ${rule} (linter)`, (t) => {
    t.regex(lint(path, source), /noRestrictedImports/)
  })
}

test.serial('dependency rule: an import that is allowed passes the linter', (t) => {
  t.is(lint('gateway/src/forbidden-j.ts', "import '@wattline/protocol'\n"), '')
})

for (const [what, source] of Object.entries({
  Buffer: 'export const x = Buffer.alloc(1)\n',
  process: 'export const x = process.pid\n',
  setTimeout: 'export const x = setTimeout(() => {}, 1)\n',
  'node:fs': "export { readFileSync } from 'node:fs'\n",
})) {
  test.serial(`dependency rule: protocol/ does not compile with ${what}`, (t) => {
    t.regex(check('protocol/src/forbidden-k.ts', source, 'tsc', ['-p', 'protocol']), /forbidden-k\.ts.*error TS/)
  })
}
