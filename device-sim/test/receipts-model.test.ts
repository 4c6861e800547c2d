import test from 'ava'
import { checkModel } from './spin.ts'

test('SPEC-70: in every order of loss, doubling, cuts, restores and reorgs, energy is booked once and receipts hold', async (t) => {
  const { errors, states, violated } = await checkModel('-DRECORDS=2')
  t.is(errors, 0, violated)
  // Far fewer would mean that the model has come to a stop somewhere.
  t.true(states > 300_000, `${states} states`)
})

test('SPEC-75: where gateway and ledger are both restored, the gateway goes on by itself', async (t) => {
  const both = ['-DRECORDS=2', '-DRESTORES=2', '-DREBOOTS=0', '-DREORGS=0']
  const { errors, states, violated } = await checkModel(...both)
  t.is(errors, 0, violated)
  t.true(states > 300_000, `${states} states`)
  const stuck = await checkModel(...both, '-DMUTANT_STUCK')
  t.deepEqual([stuck.errors, stuck.violated], [1, 'gateway.confirmed==gateway.head'])
})

test('SPEC-80: booking what was added, instead of the difference of registers, counts energy twice', async (t) => {
  const { errors, violated } = await checkModel('-DRECORDS=2', '-DMUTANT_DELTA')
  t.deepEqual([errors, violated], [1, 'tip.booked<=meter'])
})

test('SPEC-70: a receipt before finality frees what is undone afterwards', async (t) => {
  const { errors, violated } = await checkModel('-DRECORDS=2', '-DMUTANT_EARLY')
  t.is(errors, 1)
  t.regex(violated, /gateway\.confirmed/)
})
