/** Why a station is not connected, and what an installer can do. The codes never change their meaning. */
const advice = {
  path: 'Set the URL in the station to ws://ADDRESS:PORT/IDENTITY: the last part of the path is its identity.',
  'unknown-station':
    'If it is yours: wattline-gateway ocpp adopt IDENTITY. If you have adopted it, compare the spelling.',
  'no-subprotocol':
    "It names no version of OCPP. Set OCPP 1.6J (JSON) in the station; if it has no such setting, put noSubprotocol: 'ocpp1.6' under this station.",
  'unknown-version': 'Set OCPP 1.6J, 2.0.1 or 2.1 in the station. OCPP 1.5 and SOAP are not spoken here.',
  'password-missing':
    'Enter the password (often called AuthorizationKey) in the station, or adopt it again with a lower --profile.',
  'password-unset': 'Give the station a passwordFile in the configuration, or adopt it.',
  'password-wrong':
    'Compare the password in the station, character by character; or adopt it again to give it a new one.',
  'user-name': 'The user name of the login must be the identity at the end of the URL: compare both in the station.',
  'authorization-scheme': 'Set Basic authentication in the station.',
  'tls-needed': 'Change the URL in the station to wss:// and the port to that of tls, or lower its security profile.',
  'certificate-missing':
    'It has no certificate of this gateway yet. Let it in with a password first (--profile 2), then adopt it with --profile 3.',
  'certificate-expired':
    'Let it in with a password (--profile 2), then adopt it again: it gets a new one. Check the date of this gateway as well.',
  'certificate-early': 'The date of this gateway is behind that of whoever signed it: set the clock of the gateway.',
  'certificate-foreign':
    'Another authority has signed it. Adopt the station again with --profile 3 to give it one of ours.',
  'certificate-name':
    'Two stations may have been mixed up. If the other name is the serial number of this one, set certificateName for it.',
  'tls-on-plain': 'This is the port without TLS: change the URL in the station to ws://, or take the port of tls.',
  'plain-on-tls': 'This is the port with TLS: change the URL in the station to wss://, or take the other port.',
  'tls-version':
    'It speaks TLS 1.0 or 1.1 only, which are broken. Look for a newer firmware, or take --profile 0 or 1.',
  'tls-cipher': 'It has no way of encrypting in common with this gateway. Look for a newer firmware.',
  'tls-distrust':
    "It does not trust this gateway's certificate. Load ca.pem into the station as root certificate of the central system, and check that the host in its URL is one of the certificate's names.",
  'tls-clock':
    "It takes this gateway's certificate for expired or too early: nearly always its clock is wrong. Set the date in the station; then look at that of this gateway.",
  'tls-broken': 'It began TLS and went away. Most often it does not trust the certificate and does not say so.',
} as const

export type RefusalCode = keyof typeof advice

/** One refusal: a code for machines, and in words what happened. */
export interface Refusal {
  readonly code: RefusalCode
  readonly reason: string
}

/** What is likely wrong, and what to look at. */
export function adviceOn(code: RefusalCode): string {
  return advice[code]
}

// What OpenSSL calls the ways in which a handshake ends. The alerts come from the station.
const tlsFaults: readonly (readonly [RegExp, RefusalCode, string])[] = [
  [/HTTP_REQUEST|WRONG_VERSION_NUMBER/, 'plain-on-tls', 'it speaks without TLS on the port for TLS'],
  [/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO_LOW/, 'tls-version', 'its version of TLS is too old'],
  [/NO_SHARED_CIPHER|HANDSHAKE_FAILURE|NO_SUITABLE/, 'tls-cipher', 'no common way of encrypting'],
  [/ALERT_CERTIFICATE_EXPIRED/, 'tls-clock', 'it takes our certificate for expired or not yet valid'],
  [
    /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED)/,
    'tls-distrust',
    'it does not trust our certificate',
  ],
]

/** Why a TLS handshake failed, from the code of its error. */
export function toTlsRefusal(code: string): Refusal {
  const found = tlsFaults.find(([pattern]) => pattern.test(code))
  if (found !== undefined) return { code: found[1], reason: found[2] }
  return { code: 'tls-broken', reason: `the TLS handshake was not finished (${code.slice(0, 60)})` }
}

/** Why a client certificate is not good enough, in the words of Node's verification codes. */
export function toCertificateRefusal(fault: string): Refusal {
  if (fault === 'CERT_HAS_EXPIRED') return { code: 'certificate-expired', reason: 'its certificate has expired' }
  if (fault === 'CERT_NOT_YET_VALID') return { code: 'certificate-early', reason: 'its certificate is not valid yet' }
  return {
    code: 'certificate-foreign',
    reason: `no client certificate of our authority was shown (${fault.slice(0, 60)})`,
  }
}
