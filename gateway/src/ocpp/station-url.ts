/** Which station a request names, or why it names none. */
export type NamedStation =
  | { readonly ok: true; readonly stationId: string }
  | { readonly ok: false; readonly reason: string }

// OCPP-J 2.0.1 part 4 §3.1.1: at most 48 characters. Which ones, it leaves to identifierString and URLs; 1.6 says
// nothing. Blanks and what looks like a path are left out: an identity is written into logs, tables and file names.
const identityPattern = /^[A-Za-z0-9*\-_=:+|@.~!]{1,48}$/
const longestUrl = 512

/**
 * Reads a station's identity from the path of its connection: the last part that is not empty, so that slashes at the
 * end and between do no harm. The path comes from anybody: nothing in it makes this throw.
 */
export function nameStation(url: string): NamedStation {
  if (url.length > longestUrl) return refuse(`the path is longer than ${longestUrl} characters`)
  const path = url.replace(/[?#].*$/s, '')
  const last = path.split('/').findLast((part) => part !== '')
  if (last === undefined) return refuse("the path does not end in the station's identity")
  const stationId = decodeOnce(last)
  if (stationId === undefined) return refuse('the path has a percent sign that stands for nothing')
  if (!identityPattern.test(stationId) || stationId === '.' || stationId === '..') {
    return refuse('an identity has 1 to 48 letters, digits and * - _ = : + | @ . ~ !')
  }
  return { ok: true, stationId }
}

function refuse(reason: string): NamedStation {
  return { ok: false, reason }
}

function decodeOnce(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined // told as the reason
  }
}
