import { noUser, type UserAssignment } from './ocmf.ts'

// SPEC-18. What a session says of its driver is the account that pays, never the card or code that was presented: the
// text is for everybody to read.

// What a record's text may hold, in the length of an owner's name.
const accountPattern = /^[ !#-[\]-{}~]{1,64}$/

/** Whether a text can stand in a record as the account of a driver. */
export function isDriverAccount(text: string): boolean {
  return accountPattern.test(text)
}

/**
 * The user assignment of a session's begin and end. The claim is the weakest that OCMF knows (`HEARSAY`): whoever
 * presents a card's number is taken for its driver. `CENTRAL` is an id that a central system has given out.
 */
export function toDriverAssignment(account: string | undefined): UserAssignment {
  if (account === undefined || !isDriverAccount(account)) return noUser
  return { assigned: true, level: 'HEARSAY', flags: [], type: 'CENTRAL', id: account }
}

/** The account that a record names; undefined where it names none. */
export function driverOf({ assigned, type, id }: UserAssignment): string | undefined {
  return assigned && type === 'CENTRAL' && isDriverAccount(id) ? id : undefined
}
