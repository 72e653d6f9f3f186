import test from 'ava'
import { ERROR_CODES, isErrorCode } from '../../../lib/errors/error-code-list.js'
import { formatError } from '../../../lib/errors/format-error.js'
import { escapeControls, quoteName } from '../../../lib/errors/quote-name.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { throwIfAborted } from '../../../lib/errors/throw-if-aborted.js'

test('message, code and hint', (t) => {
  const error = new TaskfoldError('NOT_FOUND', 'no tensor "w"', { hint: 'Check the name.' })
  t.is(formatError(error), 'error: no tensor "w" (NOT_FOUND)\nhint: Check the name.')
})

test('all problems, each with its code and hint', (t) => {
  const problems = [
    new TaskfoldError('NOTHING_TO_MERGE', 'first'),
    new TaskfoldError('DISK_FULL', 'second', { hint: 'Free some.' }),
  ]
  t.is(
    formatError(new TaskfoldError('PREFLIGHT_FAILED', '2 problems', { problems })),
    'error: 2 problems (PREFLIGHT_FAILED)\n  - first (NOTHING_TO_MERGE)\n  - second (DISK_FULL)\n    Free some.',
  )
})

test('very many problems are counted', (t) => {
  const problems = Array.from({ length: 73 }, (_, i) => new TaskfoldError('HASH_MISMATCH', `problem ${i}`))
  const lines = formatError(new TaskfoldError('VERIFY_FAILED', 'bad', { problems })).split('\n')
  t.is(lines.length, 52)
  t.is(lines.at(-1), '  … and 23 more')
})

test('a hostile name cannot write to the terminal', (t) => {
  const text = formatError(new TaskfoldError('HEADER_INVALID', 'a\u001b[2Jb\r\nc\u202ed\u0085'))
  t.is(text, 'error: a\\u001b[2Jb\\u000d\\u000ac\\u202ed\\u0085 (HEADER_INVALID)')
  t.is(escapeControls('ä 漢 😀'), 'ä 漢 😀')
})

test('foreign errors are formatted too', (t) => {
  t.regex(formatError(new Error('bug')), /^error: unexpected error: bug \(INTERNAL\)\nhint: /)
  t.regex(formatError(null), /INTERNAL/)
})

test('quoteName shortens, quotes and stays on one line', (t) => {
  t.is(quoteName('w'), '"w"')
  t.is(quoteName('a"b\n\u007f'), '"a\\"b\\n\\u007f"')
  t.true(quoteName('x'.repeat(1e6)).length < 250)
})

test('codes are known at run time', (t) => {
  t.true(isErrorCode('CANCELLED'))
  for (const other of ['ENOENT', 'toString', '__proto__', '', undefined, 7]) t.false(isErrorCode(other))
  t.is(new Set(ERROR_CODES).size, ERROR_CODES.length)
})

test('throwIfAborted keeps the reason', (t) => {
  t.notThrows(() => throwIfAborted(undefined))
  const controller = new AbortController()
  t.notThrows(() => throwIfAborted(controller.signal))
  controller.abort('enough')
  const error = t.throws(() => throwIfAborted(controller.signal), { instanceOf: TaskfoldError })
  t.is(error?.code, 'CANCELLED')
  t.is(error?.cause, 'enough')
})
