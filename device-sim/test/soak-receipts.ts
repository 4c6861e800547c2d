import fc from 'fast-check'
import { events, Parts, runHistory } from './receipts-line.ts'
import { checkModel } from './spin.ts'

// Outbox and ledger through many histories, some of them with processes that are killed; then the whole model with two
// restores, which is tens of millions of states, and one that must fail. HISTORIES and SEED say how many, and which.
const histories = Number(process.env['HISTORIES'] ?? 2000)
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
const say = (line: string) => process.stdout.write(`${line}\n`)
const parts = new Parts()
try {
  for (const [kills, numRuns] of [
    [false, histories],
    [true, Math.ceil(histories / 100)],
  ] as const) {
    const run = fc.asyncProperty(events, fc.boolean(), (plan, onChain) => runHistory(parts, plan, { onChain, kills }))
    await fc.assert(run, { numRuns, seed })
    say(`seed ${seed}: ${numRuns} histories${kills ? ' with killed processes' : ''}, every Wh counted once`)
  }
} finally {
  await parts.end()
}
for (const [what, ...defines] of [
  ['two restores', '-DRESTORES=2'],
  ['a restart of the ledger', '-DRESTARTS=1'],
] as const) {
  const { errors, states, violated } = await checkModel('-DRECORDS=2', ...defines)
  say(`model with ${what}: ${states} states, ${errors} errors ${violated}`)
  if (errors > 0) process.exitCode = 1
}
const heard = await checkModel('-DRECORDS=2', '-DMUTANT_SESSION')
say(`a gateway that hears sessions that are over: ${heard.errors} errors ${heard.violated}`)
if (heard.errors === 0) process.exitCode = 1
