import { Anchors } from '../src/proof/anchors.ts'
import { checkProof, type ProofReport } from '../src/proof/check-proof.ts'
import { makeProof, parseProofSubject } from '../src/proof/make-proof.ts'
import { Device, fastVerifier, openRig, type Rig, testSigner } from './rig.ts'

// What proofs are made of in tests.

/** The ledger's own key. */
export const signer = testSigner(950)
const dayMs = 86_400_000
export const options = { signer, verifier: fastVerifier }

export interface Town extends Rig {
  readonly roof: Device
  readonly house: Device
  readonly charger: Device
  readonly battery: Device
  prove(subject: string): string
  /** Closes the day. */
  anchor(): void
}

/** A roof, a grid meter that has it below, a charging point, a battery: some bookings of every kind. */
export function makeTown(t: Parameters<typeof openRig>[0]): Town {
  const rig = openRig(t)
  const { engine, clock } = rig
  const house = new Device({ meter: 'house', role: 'bidirectional', owner: 'alice' })
  const roof = new Device({ meter: 'roof', role: 'producer', owner: 'alice', behind: 'gw-1/house' })
  const charger = new Device({ meter: 'CP1.1', role: 'charger', owner: 'bob' })
  engine.ingest([house, roof, charger].map((each) => each.certificateMessage()))
  for (let n = 0n; n < 4n; n++) {
    engine.ingest([house.read({ import: 7n * n, export: 0n }), roof.read({ export: 1000n * n })])
  }
  engine.ingest([
    roof.read({}, { state: 'no-answer' }),
    roof.read({ export: 4000n }),
    charger.read({ import: 10n }),
    charger.read({ import: 20n }, { mark: 'B', driver: 'carol' }),
    ...Array.from({ length: 12 }, (_, at) => charger.read({ import: 20n + 100n * BigInt(at) })),
    charger.read({ import: 1520n }, { mark: 'E', driver: 'carol' }),
  ])
  const battery = new Device({ meter: 'battery', role: 'storage', owner: 'alice' })
  engine.ingest([
    battery.certificateMessage(),
    battery.read({ import: 0n, export: 0n }),
    battery.read({ import: 1200n, export: 450n }),
  ])
  const anchors = new Anchors({ db: engine.db, ledger: engine.ledger, signer, clock })
  return {
    ...rig,
    roof,
    house,
    charger,
    battery,
    prove: (subject) => makeProof(engine.db, parseProofSubject(subject), options),
    anchor: () => {
      clock.ms += dayMs
      while (anchors.step());
    },
  }
}

export const check = (content: string, keys = {}): ProofReport => checkProof(content, keys, fastVerifier)
export const words = ({ findings }: ProofReport) =>
  findings.map(({ subject, text }) => `${subject}: ${text}`).join('\n')
