import { Writable } from 'node:stream'
import { run } from '../../lib/cli/run.js'

/** A stream that keeps what is written. */
export class Sink extends Writable {
  text = ''
  isTTY = false
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

/** Runs the command line in this process; tests that do so must be serial, because signals are the process's. */
export async function callCli(...args: string[]) {
  const [stdout, stderr] = [new Sink(), new Sink()]
  const code = await run(args, { stdout, stderr })
  return { code, out: stdout.text, err: stderr.text, json: () => JSON.parse(stdout.text) }
}
