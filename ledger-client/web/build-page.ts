// Puts the page that checks proofs into one file: markup, style and script. It is the code that `wattline-verify` runs.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const at = (name: string) => fileURLToPath(new URL(`./verify/${name}`, import.meta.url))

/** The script alone: sets `wattlineVerify.verifyProofBytes`. A `node:` import anywhere below would fail the build. */
export async function bundleVerifyScript(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [at('page.ts')],
    bundle: true,
    write: false,
    platform: 'browser',
    format: 'iife',
    globalName: 'wattlineVerify',
    target: 'es2022',
    minify: true,
    charset: 'ascii',
    logLevel: 'error',
  })
  const [file] = outputFiles
  if (file === undefined) throw new Error('esbuild gave no script')
  return file.text
}

/** The page as one file that opens from anywhere. */
export async function buildVerifyPage(): Promise<string> {
  const script = await bundleVerifyScript()
  // Inside a script element only its own end tag must not appear.
  return readFileSync(at('page.html'), 'utf8').replace('/*bundle*/', () => script.replaceAll('</script', '<\\/script'))
}
