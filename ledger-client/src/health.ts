import type { ErrorCode } from '@wattline/protocol'

/** What keeps the ledger from doing its work, if anything. */
export interface Trouble {
  readonly code: ErrorCode | 'mqtt/disconnected'
  readonly message: string
}

/** The states that a person or a supervisor asks for. */
export class Health {
  readonly #troubles = new Map<string, Trouble>()

  /** Gives true where the trouble is new. */
  raise(trouble: Trouble): boolean {
    const isNew = !this.#troubles.has(trouble.code)
    this.#troubles.set(trouble.code, trouble)
    return isNew
  }

  /** Gives true where the trouble was there until now. */
  clear(code: Trouble['code']): boolean {
    return this.#troubles.delete(code)
  }

  troubles(): readonly Trouble[] {
    return [...this.#troubles.values()]
  }
}
