import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readCheckpoint } from '../../lib/checkpoint/open-checkpoint.js'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { tempFolder } from '../helpers/temp-folder.js'

/** One way that a file can lie. */
export interface Lie {
  what: string
  bytes: Uint8Array
  code: ErrorCode
  tensor?: string
  message?: RegExp
  hint?: RegExp
}

/** JSON of one tensor in a header. */
export const entry = (dtype: string, shape: string, offsets: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`

/** Declares a test for each lie: read as a file and as a folder, it is caught with its code and named. */
export function testLies(lies: readonly Lie[]): void {
  for (const lie of lies) {
    test(`${lie.what}: ${lie.code}`, async (t) => {
      const folder = tempFolder(t)
      const file = join(folder, 'model.safetensors')
      writeFileSync(file, lie.bytes)
      for (const source of [file, folder]) await assertCaught(t, source, file, lie)
      t.deepEqual(readdirSync(folder), ['model.safetensors'])
    })
  }
}

async function assertCaught(t: ExecutionContext, source: string, file: string, lie: Lie) {
  const error = await t.throwsAsync(readCheckpoint(source), { instanceOf: TaskfoldError })
  t.is(error?.code, lie.code, error?.message)
  t.is(error?.file, file)
  t.is(error?.tensor, lie.tensor)
  t.true(error?.message.includes(file))
  t.false(/[\p{Cc}]/u.test(error?.message ?? ''), 'the message is one line without control characters')
  t.true((error?.message.length ?? 0) < 1000)
  t.truthy(error?.hint)
  if (lie.message) t.regex(error?.message ?? '', lie.message)
  if (lie.hint) t.regex(error?.hint ?? '', lie.hint)
}
