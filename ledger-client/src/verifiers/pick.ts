import { makeSigner, nobleVerifier, type SignatureVerifier, type Signer, WattError } from '@wattline/protocol'
import { loadLibrary, makeNativeSigner, makeNativeVerifier } from './native-verifier.ts'
import { makeNodeVerifier } from './node-verifier.ts'

/** The verifiers that there are; `auto` takes the fastest that this machine has. */
export const verifierNames = ['auto', 'native', 'node', 'noble'] as const
export type VerifierName = (typeof verifierNames)[number]

/** Gives the verifier of a name. */
export async function pickVerifier(name: VerifierName): Promise<SignatureVerifier> {
  if (name === 'noble') return nobleVerifier
  if (name === 'node') return makeNodeVerifier()
  const library = await loadLibrary()
  if (library !== undefined) return makeNativeVerifier(library)
  if (name === 'auto') return makeNodeVerifier()
  throw new WattError('config/invalid', "verifier 'native': no secp256k1 package with a build for this machine")
}

/** The fastest signer that this machine has. */
export async function pickSigner(secretKey: Uint8Array): Promise<Signer> {
  const library = await loadLibrary()
  return library === undefined ? makeSigner(secretKey) : makeNativeSigner(library, secretKey)
}
