import type { SignatureVerifier } from '@wattline/protocol'

/** Says yes to everything: what a pipeline costs without its signatures. */
export const trustingVerifier: SignatureVerifier = { name: 'trusting', verify: () => true }

/** What a bench calls the ledger's own verifier with a second thread. */
export const twoThreads = 'two-threads'
