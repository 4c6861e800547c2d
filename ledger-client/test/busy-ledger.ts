import { eur } from './money.ts'
import { Device, openRig, type Rig } from './rig.ts'

type Teardown = Parameters<typeof openRig>[0]
/** Who got EEA at its genesis. */
export const holders = ['operator', 'community', 'storage', 'reserve', 'team']

/**
 * A house with a roof and a heater, EEA, a payment, a reservation posted in part, one that is open, one that expired; money
 * that was brought, and withdrawn in one step, in two, and not yet.
 */
export function openBusy(t: Teardown): Rig {
  const rig = openRig(t, { eeaHolders: holders })
  const { engine, clock } = rig
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice' })
  const heat = new Device({ meter: 'heat', role: 'consumer', owner: 'bob' })
  engine.ingest([roof.certificateMessage(), roof.read({ export: 0n }), roof.read({ export: 1000n })])
  engine.db.write(() => {
    const { transfers, bounds } = engine
    bounds.set({ owner: 'carol', asset: 'WATT', most: 900n })
    const order = { asset: 'WATT', from: 'alice', to: 'bob', amount: 100n, kind: 'payment' } as const
    transfers.transfer({ ...order, id: 'pay' })
    transfers.transfer({ ...order, id: 'gone', kind: 'burn', to: 'alice', amount: 10n })
    transfers.transfer({ ...order, id: 'eea', asset: 'EEA', kind: 'transfer', from: 'team' })
    transfers.reserve({ ...order, id: 'r-post', expiresAt: clock.ms + 10 })
    transfers.post('post', { reservation: 'r-post', amount: 60n })
    transfers.reserve({ ...order, id: 'r-void', expiresAt: clock.ms + 10 })
    transfers.void('void', { reservation: 'r-void' })
    transfers.reserve({ ...order, id: 'r-gone', expiresAt: clock.ms + 10 })
    clock.ms += 10
    transfers.expire()
    transfers.reserve({ ...order, id: 'r-open', to: 'carol', expiresAt: clock.ms + 10 })
    const money = { ...order, asset: eur, to: 'alice', kind: 'withdrawal', note: { payout: 'as agreed' } } as const
    transfers.deposit({ id: 'in', asset: eur, owner: 'alice', amount: 1000n, reference: 'SEPA 1' })
    transfers.reserve({ ...money, id: 'w-paid', expiresAt: clock.ms + 10 })
    transfers.post('paid', { reservation: 'w-paid', amount: 90n, reference: 'SEPA 2' })
    transfers.reserve({ ...money, id: 'w-open', expiresAt: clock.ms + 10 })
    transfers.transfer({ ...money, id: 'out', note: { payout: 'as agreed', reference: 'SEPA 3' } })
  })
  engine.ingest([heat.certificateMessage(), heat.read({ import: 0n }), heat.read({ import: 500n })])
  return rig
}
