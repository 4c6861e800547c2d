import type { UpstreamCounts } from '../../store/upstream-queue.ts'

/** `idle`: the station is away, and upstream has everything. */
export type LinkState = 'idle' | 'connecting' | 'connected' | 'unreachable'

/** How a station stands upstream, for a person to look at. */
export interface UpstreamView extends UpstreamCounts {
  readonly identity: string
  readonly state: LinkState
  /** Why it is not connected. */
  readonly reason?: string
}
