import { hash } from 'node:crypto'
import { makeSigner, type SignatureVerifier, type Signer } from '@wattline/protocol'

/** What we use of libsecp256k1. */
interface Library {
  ecdsaVerify(signature: Uint8Array, digest: Uint8Array, publicKey: Uint8Array): boolean
  signatureNormalize(signature: Uint8Array): Uint8Array
  ecdsaSign(digest: Uint8Array, secretKey: Uint8Array): { signature: Uint8Array }
}

/**
 * Loads libsecp256k1, or gives undefined where the optional package or a build for this machine is missing.
 * The package's own entry would silently fall back to slow JavaScript, so its native part is asked for by name.
 */
export async function loadLibrary(): Promise<Library | undefined> {
  const specifier: string = 'secp256k1/bindings.js'
  try {
    const module: { default?: unknown } = await import(specifier)
    return isLibrary(module.default) ? module.default : undefined
  } catch {
    return undefined // an optional dependency: OpenSSL serves instead
  }
}

function isLibrary(value: unknown): value is Library {
  if (typeof value !== 'object' || value === null) return false
  return ['ecdsaVerify', 'signatureNormalize', 'ecdsaSign'].every(
    (name) => typeof Reflect.get(value, name) === 'function',
  )
}

/** Verifies with libsecp256k1, about fifty times as fast as the reference. */
export function makeNativeVerifier(library: Library): SignatureVerifier {
  return {
    name: 'native',
    verify(payload, signature, publicKey) {
      // The library would take compressed and hybrid points as well; ours are uncompressed.
      if (signature.length !== 64 || publicKey.length !== 65 || publicKey[0] !== 4) return false
      try {
        // libsecp256k1 refuses high-s; the normalised copy must not overwrite the caller's bytes. Half the order of
        // the group begins with 0x7f: only what may lie above it needs the call.
        const mayBeHigh = (signature[32] ?? 0) >= 0x7f
        const low = mayBeHigh ? library.signatureNormalize(Uint8Array.from(signature)) : signature
        return library.ecdsaVerify(low, hash('sha256', payload, 'buffer'), publicKey)
      } catch {
        return false // numbers out of range and points off the curve throw; they are simply not valid
      }
    },
  }
}

/** Signs with libsecp256k1: RFC 6979 and low-s, so the very signature that the reference makes. */
export function makeNativeSigner(library: Library, secretKey: Uint8Array): Signer {
  const { publicKey } = makeSigner(secretKey)
  const key = secretKey.slice()
  return { publicKey, sign: (payload) => library.ecdsaSign(hash('sha256', payload, 'buffer'), key).signature }
}
