import type { Commands } from './commands.ts'
import type { DialectContext } from './dialect.ts'
import type { Answer, Payload } from './rpc.ts'
import type { CertificateHash } from './station-security.ts'

interface Context extends DialectContext {
  readonly commands: Commands
}

type Handler = (payload: never, context: Context) => Answer

const ok = (status: string, more: Payload = {}): Answer => ({ payload: { status, ...more } })

/** The security extension of OCPP 1.6, and what is like it: files that go up or down. */
export const security16: Readonly<Record<string, Handler>> = {
  CertificateSigned: ({ certificateChain }: { certificateChain: string }, { commands, clock }) =>
    ok(commands.security.takeCertificate(certificateChain, clock.nowMs) ? 'Accepted' : 'Rejected'),
  InstallCertificate: (
    { certificateType, certificate }: { certificateType: string; certificate: string },
    { commands },
  ) => ok(commands.security.installRoot(certificateType, certificate)),
  DeleteCertificate: ({ certificateHashData }: { certificateHashData: CertificateHash }, { commands }) =>
    ok(commands.security.deleteRoot(certificateHashData)),
  GetInstalledCertificateIds: ({ certificateType }: { certificateType: string }, { commands }) => {
    const found = commands.security.roots([certificateType])
    return found.length === 0 ? ok('NotFound') : ok('Accepted', { certificateHashData: found.map(({ hash }) => hash) })
  },
  SignedUpdateFirmware: ({ requestId }: { requestId: number }, { commands }) => {
    commands.updateFirmware((status) => ({
      action: 'SignedFirmwareStatusNotification',
      payload: { status, requestId },
    }))
    return ok('Accepted')
  },
  // The simulated station has no way to send a file, and says so as a real one does whose upload fails.
  GetDiagnostics: (_: Payload, { commands }) => {
    const report = (status: string) => ({ action: 'DiagnosticsStatusNotification', payload: { status } })
    commands.afterwards([report('Uploading'), report('UploadFailed')])
    return { payload: { fileName: 'diagnostics.txt' } }
  },
  GetLog: ({ requestId }: { requestId: number }, { commands }) => {
    const report = (status: string) => ({ action: 'LogStatusNotification', payload: { status, requestId } })
    commands.afterwards([report('Uploading'), report('NotSupportedOperation')])
    return ok('Accepted', { filename: 'log.txt' })
  },
}

/** ExtendedTriggerMessage: has the station ask for a certificate. */
export function askForCertificate16({ commands }: Context): Answer {
  commands.afterwards([{ action: 'SignCertificate', payload: { csr: commands.security.makeRequest() } }])
  return ok('Accepted')
}

/**
 * OCPP 1.6 security whitepaper §3: a higher profile is taken where everything for it is there, and used at once; a
 * lower one never.
 */
export function changeSecurityProfile(value: string, { commands, settings }: Context): Answer {
  const wanted = Number(value)
  const hasPassword = settings.text('password') !== '' || commands.hasPassword
  const isTls = commands.url().startsWith('wss:')
  const isReady = [false, hasPassword, hasPassword && isTls, commands.security.identity.cert !== undefined && isTls]
  if (wanted < settings.number('securityProfile') || isReady[wanted] !== true) return ok('Rejected')
  settings.change('SecurityProfile', value)
  commands.reconnectSoon()
  return ok('Accepted')
}
