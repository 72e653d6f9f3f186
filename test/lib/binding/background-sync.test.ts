import test from 'ava'
import { BackgroundSync } from '../../../lib/binding/background-sync.js'
import type { NativeBinding, NativeFile } from '../../../lib/binding/binding-types.js'

const file: NativeFile = { size: 1, path: '/out', close: () => undefined }

/** A binding whose syncs end when the test says so. */
function controlled() {
  const pending: { resolve(): void; reject(error: Error): void }[] = []
  const syncFile = () => new Promise<void>((resolve, reject) => pending.push({ resolve, reject }))
  return { pending, sync: new BackgroundSync({ syncFile } as unknown as NativeBinding) }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('one sync at a time, and the last one covers everything', async (t) => {
  const { pending, sync } = controlled()
  sync.start(file)
  sync.start(file)
  t.is(pending.length, 1)
  const done = sync.finish(file)
  await turn()
  t.is(pending.length, 1, 'waits for the running one')
  pending[0]!.resolve()
  await turn()
  t.is(pending.length, 2)
  pending[1]!.resolve()
  await done
})

test('a fault in the background comes up at the end, as ours', async (t) => {
  const { pending, sync } = controlled()
  sync.start(file)
  pending[0]!.reject(new Error('x'))
  await turn()
  const done = sync.finish(file)
  await turn()
  pending[1]!.reject(Object.assign(new Error('no space'), { code: 'DISK_FULL' }))
  const error = await t.throwsAsync(done, { code: 'DISK_FULL' })
  t.is((error as { file?: string }).file, '/out')
})

test('a cancelled fold does not wait for the disk', async (t) => {
  const { sync } = controlled()
  const controller = new AbortController()
  const done = sync.finish(file, controller.signal)
  await turn()
  controller.abort()
  await t.throwsAsync(done, { code: 'CANCELLED' })
  await t.throwsAsync(sync.finish(file, controller.signal), { code: 'CANCELLED' })
})
