import { type PublicKey, parseCertificate, parseRotation, samePublicKey } from '@wattline/protocol'

/** What a metering point's documents say of its keys (SPEC-95). */
export interface PointKeys {
  /** The hash of the first certificate, which the first record names. */
  readonly first: string
  /** Oldest first; each is valid up to the last epoch that it signed in. */
  readonly keys: readonly { readonly key: PublicKey; readonly lastEpoch: number }[]
}

/** Reads what `wattline-gateway certificates` prints: of each metering point certificates, and words that lead on. */
export function readKeys(lines: readonly string[]): ReadonlyMap<string, PointKeys> {
  const certificates = lines.filter((line) => line.startsWith('WATT-CERT|')).map(parseCertificate)
  const rotations = lines.filter((line) => line.startsWith('WATT-ROTATION|')).map(parseRotation)
  const byPoint = Map.groupBy(certificates, ({ point }) => point)
  return new Map(
    [...byPoint].map(([point, own]) => {
      const words = rotations.filter((word) => word.point === point)
      const lastOf = (key: PublicKey) => words.find((word) => samePublicKey(word.key, key))?.last.epoch
      const keys = own.map(({ key }) => ({ key, lastEpoch: lastOf(key) ?? Number.POSITIVE_INFINITY }))
      return [point, { first: own[0]?.hash ?? '', keys }]
    }),
  )
}

/** The key of an epoch. A rotation opens an epoch, so no epoch has two. */
export function keyAt({ keys }: PointKeys, epoch: number): PublicKey | undefined {
  return keys.find(({ lastEpoch }) => epoch <= lastEpoch)?.key
}
