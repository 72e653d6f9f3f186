import test from 'ava'
import { createProgress, type Progress } from '../../../lib/io/progress.js'

function recorder() {
  const events: Progress[] = []
  const clock = { now: 0 }
  return { events, clock, listen: (event: Progress) => events.push(event), now: () => clock.now }
}

test('reports at most every 50 ms and always at the end', (t) => {
  const { events, clock, listen, now } = recorder()
  const progress = createProgress(listen, 'merge', 1000, now)
  for (clock.now = 0; clock.now < 200; clock.now += 10) progress.add(10)
  t.deepEqual(
    events.map((event) => event.bytesDone),
    [10, 60, 110, 160],
  )
  progress.done()
  t.deepEqual(events.at(-1), { phase: 'merge', bytesDone: 1000, bytesTotal: 1000 })
})

test('names the latest task and tensor', (t) => {
  const { events, clock, listen, now } = recorder()
  const progress = createProgress(listen, 'write deltas', 10, now)
  progress.add(1, { task: 'digits', tensor: 'w' })
  clock.now = 100
  progress.set(5)
  clock.now = 200
  progress.set(6, { task: 'mnist' })
  t.deepEqual(events, [
    { phase: 'write deltas', bytesDone: 1, bytesTotal: 10, task: 'digits', tensor: 'w' },
    { phase: 'write deltas', bytesDone: 5, bytesTotal: 10, task: 'digits', tensor: 'w' },
    { phase: 'write deltas', bytesDone: 6, bytesTotal: 10, task: 'mnist' },
  ])
})

test('is silent after done and without a listener', (t) => {
  const { events, listen, now } = recorder()
  const progress = createProgress(listen, 'copy', 0, now)
  progress.done()
  progress.done()
  progress.add(1)
  t.is(events.length, 1)
  t.notThrows(() => {
    const silent = createProgress(undefined, 'copy', 1)
    silent.add(1)
    silent.done()
  })
})
