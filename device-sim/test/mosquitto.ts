import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Debian's broker as a child process, with the settings that lose messages when it is killed: its defaults. */
export class Mosquitto {
  readonly port: number
  readonly #config: string
  #child: ChildProcess | undefined

  constructor(folder: string, port: number) {
    this.port = port
    this.#config = join(folder, 'mosquitto.conf')
    writeFileSync(this.#config, `listener ${port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n`)
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`
  }

  async start(): Promise<void> {
    this.#child = spawn('/usr/sbin/mosquitto', ['-c', this.#config], { stdio: 'ignore' })
    while (!(await this.#answers())) await sleep(20)
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  async #answers(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return true
    } catch {
      return false // not listening yet
    } finally {
      socket.destroy()
    }
  }
}
