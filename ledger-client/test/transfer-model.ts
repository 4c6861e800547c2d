import { WattError } from '@wattline/protocol'
import fc from 'fast-check'
import type { Asset } from '../src/ledger/accounts.ts'
import type { Receipt, ReservationOrder, TransferOrder } from '../src/ledger/transfers.ts'
import { eur } from './money.ts'
import { Device, type Rig } from './rig.ts'

// A model of what two-phase transfers promise, in as few words as there are, beside the real thing.

const owners = ['a', 'b', 'c'] as const
type Owner = (typeof owners)[number]
/** What is minted, and what comes from outside. */
const assets = ['WATT', eur] as const
const funds: Readonly<Record<Owner, bigint>> = { a: 100n, b: 50n, c: 0n }
const fundsIn = (owner: Owner, asset: Asset) => (asset === 'WATT' ? funds[owner] : 2n * funds[owner])

type Step =
  | {
      readonly do: 'transfer' | 'reserve'
      readonly asset: Asset
      readonly from: Owner
      readonly to: Owner
      readonly amount: bigint
      readonly lasts: number
    }
  | { readonly do: 'post'; readonly which: number; readonly amount: bigint | undefined }
  | { readonly do: 'void'; readonly which: number }
  | { readonly do: 'expire' }
  | { readonly do: 'wait'; readonly ms: number }
  /** Sends an earlier command again, word for word, or with another amount. */
  | { readonly do: 'again'; readonly which: number; readonly changed: boolean }

type Command =
  | { readonly name: 'transfer'; readonly order: TransferOrder }
  | { readonly name: 'reserve'; readonly order: ReservationOrder }
  | { readonly name: 'post'; readonly id: string; readonly reservation: string; readonly amount: bigint | undefined }
  | { readonly name: 'void'; readonly id: string; readonly reservation: string }

/** Amounts by asset and owner. */
interface Model {
  readonly available: Map<string, bigint>
  readonly reserved: Map<string, bigint>
  /** What was burned or paid out, by asset. */
  readonly spent: Map<string, bigint>
  readonly open: Map<string, ReservationOrder>
  readonly ended: Map<string, 'transfer/settled' | 'transfer/expired'>
  readonly orders: Map<string, ReservationOrder>
  readonly done: Map<string, string>
}

const copyOf = (model: Model): Model => ({
  available: new Map(model.available),
  reserved: new Map(model.reserved),
  spent: new Map(model.spent),
  open: new Map(model.open),
  ended: new Map(model.ended),
  orders: new Map(model.orders),
  done: new Map(model.done),
})

const add = (to: Map<string, bigint>, key: string, amount: bigint) => to.set(key, (to.get(key) ?? 0n) + amount)
const keyOf = (asset: Asset, owner: string) => `${asset} ${owner}`

/** Where something arrives: with its new owner, or out of here. */
function arrive(model: Model, { kind, asset, to }: TransferOrder, amount: bigint): void {
  if (kind === 'burn' || kind === 'withdrawal') add(model.spent, asset, amount)
  else add(model.available, keyOf(asset, to), amount)
}

function release(
  model: Model,
  order: ReservationOrder,
  posted: bigint,
  end: 'transfer/settled' | 'transfer/expired',
): void {
  const key = keyOf(order.asset, order.from)
  add(model.reserved, key, -order.amount)
  add(model.available, key, order.amount - posted)
  arrive(model, order, posted)
  model.open.delete(order.id)
  model.ended.set(order.id, end)
}

function expire(model: Model, now: number): void {
  for (const order of [...model.open.values()])
    if (order.expiresAt <= now) release(model, order, 0n, 'transfer/expired')
}

const textOf = (command: Command, order: ReservationOrder | undefined) =>
  JSON.stringify(
    command.name === 'post' ? { ...command, amount: command.amount ?? order?.amount } : command,
    (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value),
  )

/** What must come of a command: `done`, `repeated`, or the code that refuses it. */
function foretell(model: Model, command: Command, now: number): string {
  const id = 'order' in command ? command.order.id : command.id
  const order = 'order' in command ? undefined : model.orders.get(command.reservation)
  if (!('order' in command) && order === undefined) return 'transfer/unknown'
  const text = textOf(command, order)
  const before = model.done.get(id)
  if (before !== undefined) return before === text ? 'repeated' : 'transfer/conflict'
  if ('order' in command) {
    const { from, asset, amount } = command.order
    const key = keyOf(asset, from)
    if (command.name === 'reserve' && command.order.expiresAt <= now) return 'transfer/expired'
    expire(model, now)
    if ((model.available.get(key) ?? 0n) < amount) return 'transfer/insufficient'
    add(model.available, key, -amount)
    if (command.name === 'reserve') {
      add(model.reserved, key, amount)
      model.open.set(id, command.order)
      model.orders.set(id, command.order)
    } else arrive(model, command.order, amount)
  } else if (order !== undefined) {
    const end = model.ended.get(order.id)
    if (end !== undefined) return end
    if (order.expiresAt <= now) return 'transfer/expired'
    const posted = command.name === 'post' ? (command.amount ?? order.amount) : 0n
    if (posted > order.amount) return 'transfer/insufficient'
    release(model, order, posted, 'transfer/settled')
  }
  model.done.set(id, text)
  return 'done'
}

function perform({ engine: { transfers } }: Rig, command: Command, order: ReservationOrder | undefined): string {
  // Whoever pays out tells what the payment is known by.
  const paid = order?.kind === 'withdrawal' ? { reference: 'bank 7' } : {}
  try {
    const { repeated }: Receipt =
      command.name === 'transfer'
        ? transfers.transfer(command.order)
        : command.name === 'reserve'
          ? transfers.reserve(command.order)
          : command.name === 'post'
            ? transfers.post(command.id, {
                reservation: command.reservation,
                ...paid,
                ...(command.amount === undefined ? {} : { amount: command.amount }),
              })
            : transfers.void(command.id, { reservation: command.reservation })
    return repeated ? 'repeated' : 'done'
  } catch (error) {
    if (error instanceof WattError) return error.code
    throw error
  }
}

const anAmount = fc.bigInt({ min: 1n, max: 40n })
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('transfer' as const, 'reserve' as const, 'reserve' as const),
      asset: fc.constantFrom(...assets),
      from: fc.constantFrom(...owners),
      to: fc.constantFrom(...owners), // itself: a burn, or a withdrawal
      amount: anAmount,
      lasts: fc.integer({ min: 0, max: 40 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('post' as const),
      which: fc.nat(5),
      amount: fc.option(anAmount, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('void' as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('expire' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 15 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('again' as const), which: fc.nat(20), changed: fc.boolean() }) },
)
/** Steps of one transaction; one that crashes has never been. */
const aTransaction = fc.record({
  steps: fc.array(aStep, { minLength: 2, maxLength: 8 }),
  crashes: fc.integer({ min: 0, max: 4 }).map((dice) => dice === 0),
})

class Crash extends Error {}

function toCommand(
  step: Step,
  made: readonly Command[],
  run: { readonly name: string; readonly now: number },
): Command | undefined {
  const id = `${run.name}/${made.length}`
  const nameOf = (owner: Owner) => `${run.name}-${owner}`
  const reservations = made.flatMap((command) => (command.name === 'reserve' ? [command.order.id] : []))
  const reservation =
    'which' in step ? (reservations.at(-1 - (step.which % (reservations.length + 1))) ?? `${run.name}/none`) : ''
  switch (step.do) {
    case 'transfer':
    case 'reserve': {
      const { asset } = step
      const kind = step.from !== step.to ? 'payment' : asset === 'WATT' ? 'burn' : 'withdrawal'
      const order = {
        ...{ id, asset },
        ...(kind === 'withdrawal' ? { note: { payout: 'home', reference: 'bank 6' } } : {}),
        from: nameOf(step.from),
        to: nameOf(step.to),
        amount: step.amount,
        kind,
      } as const
      if (step.do === 'transfer') return { name: 'transfer', order }
      return { name: 'reserve', order: { ...order, expiresAt: run.now + step.lasts } }
    }
    case 'post':
      return { name: 'post', id, reservation, amount: step.amount }
    case 'void':
      return { name: 'void', id, reservation }
    case 'again': {
      const command = made.at(-1 - (step.which % (made.length + 1)))
      if (command === undefined || !step.changed) return command
      if (command.name === 'transfer')
        return { ...command, order: { ...command.order, amount: command.order.amount + 1n } }
      if (command.name === 'reserve')
        return { ...command, order: { ...command.order, amount: command.order.amount + 1n } }
      return command.name === 'post' ? { ...command, amount: (command.amount ?? 1n) + 1n } : command
    }
    default:
      return undefined
  }
}

/**
 * Lets random orders loose on a ledger, in transactions of which some crash, and compares every answer and every holding
 * with the model. Gives how often each answer came.
 */
export function checkTransfers(
  rig: Rig,
  options: { readonly numRuns: number; readonly seed?: number },
): ReadonlyMap<string, number> {
  const { engine, clock } = rig
  const bank = new Device({ meter: 'bank', role: 'producer', owner: 'bank', maxPowerW: 100_000_000 })
  engine.ingest([bank.certificateMessage(), bank.read({ export: 0n }), bank.read({ export: 1_000_000n })])
  let runs = 0
  const seen = new Map<string, number>()
  fc.assert(
    fc.property(fc.array(aTransaction, { minLength: 3, maxLength: 8 }), (transactions) => {
      const name = `run${runs++}`
      engine.db.write(() => {
        for (const owner of owners.filter((each) => funds[each] > 0n)) {
          const order = { id: `${name}/fund-${owner}`, asset: 'WATT', from: 'bank', to: `${name}-${owner}` } as const
          engine.transfers.transfer({ ...order, amount: funds[owner], kind: 'transfer' })
          const brought = { id: `${name}/bring-${owner}`, asset: eur, owner: `${name}-${owner}`, reference: 'bank 5' }
          engine.transfers.deposit({ ...brought, amount: fundsIn(owner, eur) })
        }
      })
      let model: Model = {
        available: new Map(
          assets.flatMap((asset) => owners.map((owner) => [keyOf(asset, `${name}-${owner}`), fundsIn(owner, asset)])),
        ),
        reserved: new Map(),
        spent: new Map(),
        open: new Map(),
        ended: new Map(),
        orders: new Map(),
        done: new Map(),
      }
      const made: Command[] = []
      for (const { steps, crashes } of transactions) {
        const next = copyOf(model)
        try {
          engine.db.write(() => {
            for (const step of steps) {
              if (step.do === 'wait') clock.ms += step.ms
              if (step.do === 'expire') {
                engine.transfers.expire(clock.now())
                expire(next, clock.now())
              }
              const command = toCommand(step, made, { name, now: clock.now() })
              if (command === undefined) continue
              if (step.do !== 'again') made.push(command)
              const expected = foretell(next, command, clock.now())
              const reserved = 'reservation' in command ? next.orders.get(command.reservation) : undefined
              const got = perform(rig, command, reserved)
              if (got !== expected) throw new Error(`${expected} expected of ${textOf(command, undefined)}, got ${got}`)
              seen.set(got, (seen.get(got) ?? 0) + 1)
            }
            if (crashes) throw new Crash()
          })
          model = next
        } catch (error) {
          if (!(error instanceof Crash)) throw error
        }
        checkHoldings(rig, model, name)
      }
    }),
    { ...options, includeErrorInReport: true },
  )
  return seen
}

// Of each asset by itself: what is free, reserved and spent is what there was.
function checkHoldings({ engine }: Rig, model: Model, name: string): void {
  for (const asset of assets) {
    let total = model.spent.get(asset) ?? 0n
    for (const owner of owners.map((each) => `${name}-${each}`)) {
      const { available, reserved } = engine.transfers.holdings(owner, asset)
      const key = keyOf(asset, owner)
      const expected = [model.available.get(key) ?? 0n, model.reserved.get(key) ?? 0n]
      if (available !== expected[0] || reserved !== expected[1]) {
        throw new Error(`${key}: ${expected} expected, got ${available},${reserved}`)
      }
      total += available + reserved
    }
    const all = owners.reduce((sum, owner) => sum + fundsIn(owner, asset), 0n)
    if (total !== all) throw new Error(`${total} ${asset} in all, ${all} expected`)
  }
}
