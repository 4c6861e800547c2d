import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** A key and its certificate, as files. */
export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** For tests: an authority that signs in a folder. */
export function makeAuthority(folder: string, name: string) {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const pathOf = (file: string) => join(folder, file)
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const own = { cert: pathOf(`${name}.pem`), key: pathOf(`${name}.key`) }
  openssl('req', '-x509', ...ec, '-days', '30', '-subj', `/CN=${name}`, '-keyout', own.key, '-out', own.cert)
  return {
    ...own,
    sign: (commonName: string): CertificateFiles => {
      const base = `${name}-${commonName}`
      const [cert, key, request] = [pathOf(`${base}.pem`), pathOf(`${base}.key`), pathOf(`${base}.csr`)]
      openssl('req', ...ec, '-subj', `/CN=${commonName}`, '-keyout', key, '-out', request)
      const signer = ['-CA', own.cert, '-CAkey', own.key, '-CAcreateserial']
      openssl('x509', '-req', '-in', request, ...signer, '-days', '30', '-out', cert)
      return { cert, key }
    },
  }
}
