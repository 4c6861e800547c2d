// What a file, a ledger or a station says ends up on a person's terminal. There a control character can wipe out a line
// and write another one in its place.

/** Text for a terminal: ASCII and line breaks; everything else is written as an escape. */
export function toPrintable(text: string): string {
  return text.replace(/[^ -~\n]/g, escapeChar)
}

/** The same as one line: what others have written must not pass for a line of ours. */
export function toPrintableLine(text: string): string {
  return text.replace(/[^ -~]/g, escapeChar)
}

function escapeChar(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Lets whoever reads only the first lines close the pipe: what was begun is still finished, and told by the exit code. */
export function tolerateClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}
