/** How a device's answers are waited for. */
export interface TimingOptions {
  /** For a device that never answered yet. */
  readonly initialTimeoutMs: number
  readonly shortestTimeoutMs: number
  readonly longestTimeoutMs: number
  /** How many times the filtered latency a timeout is. */
  readonly multiple: number
  /** The share of the line's time that waiting for a silent device may take from the others. */
  readonly silentShare: number
  /** What a device that has answered before may be waited for beyond that share: a few lost answers. */
  readonly creditMs: number
}

interface Device {
  filteredMs: number | undefined
  /** Grows while nothing comes, so that a device slower than its timeout is found again. */
  patience: number
  /** Time waited for nothing, less the share that has been granted since. */
  debtMs: number
  debtAtMs: number
}

const patienceStep = 1.5

/** What the bus has learnt of each device's pace. */
export class DeviceTiming {
  readonly #options: TimingOptions
  readonly #devices = new Map<number, Device>()

  constructor(options: TimingOptions) {
    this.#options = options
  }

  timeoutMs(unitId: number): number {
    const { initialTimeoutMs, shortestTimeoutMs, longestTimeoutMs, multiple } = this.#options
    const { filteredMs, patience } = this.#device(unitId)
    const base = filteredMs === undefined ? initialTimeoutMs : Math.max(filteredMs * multiple, shortestTimeoutMs)
    return Math.min(base * patience, longestTimeoutMs)
  }

  /** How long the device usually thinks, as far as that is known. */
  latencyMs(unitId: number): number {
    return this.#devices.get(unitId)?.filteredMs ?? 0
  }

  answered(unitId: number, latencyMs: number): void {
    const device = this.#device(unitId)
    const known = device.filteredMs ?? latencyMs
    // Rises fast and falls slowly: a timeout that is too short loses a reading, one too long only time.
    const weight = latencyMs > known ? 1 / 2 : 1 / 8
    device.filteredMs = known + (latencyMs - known) * weight
    this.#wake(device)
  }

  /** The answer came after the request was given up. */
  late(unitId: number, latencyMs: number): void {
    const device = this.#device(unitId)
    device.filteredMs = Math.max(device.filteredMs ?? 0, latencyMs)
    this.#wake(device)
  }

  /** Nothing came, and waiting for it cost that much of the line's time. */
  silent(unitId: number, cost: { readonly spentMs: number; readonly nowMs: number }): void {
    const device = this.#device(unitId)
    device.patience *= this.timeoutMs(unitId) < this.#options.longestTimeoutMs ? patienceStep : 1
    const granted = (cost.nowMs - device.debtAtMs) * this.#options.silentShare
    device.debtMs = Math.max(0, device.debtMs - granted) + cost.spentMs
    device.debtAtMs = cost.nowMs
  }

  /** Until when a silent device is left alone, so that the others are served. */
  restUntilMs(unitId: number): number {
    const { debtMs, debtAtMs, filteredMs } = this.#device(unitId)
    if (this.#devices.size < 2) return Number.NEGATIVE_INFINITY
    const { silentShare, creditMs } = this.#options
    const owedMs = debtMs - (filteredMs === undefined ? 0 : creditMs)
    return owedMs <= 0 ? Number.NEGATIVE_INFINITY : debtAtMs + owedMs / silentShare
  }

  /** The bus was connected anew: whoever was silent before may be there now. */
  forgive(): void {
    for (const device of this.#devices.values()) this.#wake(device)
  }

  #wake(device: Device): void {
    device.patience = 1
    device.debtMs = 0
  }

  #device(unitId: number): Device {
    const known = this.#devices.get(unitId)
    if (known !== undefined) return known
    const device = { filteredMs: undefined, patience: 1, debtMs: 0, debtAtMs: 0 }
    this.#devices.set(unitId, device)
    return device
  }
}
