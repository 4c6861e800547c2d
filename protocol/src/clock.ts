/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Timestamp = number & { readonly __brand: 'Timestamp' }

/** OCMF table 19: U unknown or unsynchronised, I informative, S synchronised, R relative. */
export type ClockStatus = 'U' | 'I' | 'S' | 'R'

export const clockStatuses: readonly ClockStatus[] = ['U', 'I', 'S', 'R']

/** Where time comes from. Everything that needs the time is given one of these. */
export interface Clock {
  now(): Timestamp
  /** What the clock honestly knows of its own state. */
  status(): ClockStatus
}
