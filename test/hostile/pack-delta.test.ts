import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { ErrorCode } from '../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { materializeTensor } from '../../lib/materialize/materialize-tensor.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { verify } from '../../lib/report/verify.js'
import { type NaiveHooks, type NaiveTensor, naivePack } from '../helpers/naive-pack.js'
import { sampleFamily } from '../helpers/sample-family.js'
import { tempFolder } from '../helpers/temp-folder.js'

// biome-ignore lint/suspicious/noExplicitAny: lies have any shape
type Edit = (header: any) => void
type Lie = { hooks: NaiveHooks; tensor?: string; message: RegExp; code?: ErrorCode }

/** A lie in the description of task one's tensors. */
function header(edit: Edit): NaiveHooks {
  return { header: (value, task) => task === 'one' && edit(value) }
}

/** A lie in task one's stored tensors. */
function stored(edit: (tensors: Map<string, NaiveTensor>, list: NaiveTensor[]) => void): NaiveHooks {
  return {
    stored: (list, task) =>
      task === 'one' && edit(new Map(list.map((tensor) => [tensor.name, tensor])), list),
  }
}

function shorten(tensor: NaiveTensor, bytes: number, count: number): void {
  tensor.data = tensor.data.subarray(0, bytes)
  tensor.shape = [count]
}

/** Found from headers alone, before anything is read or written. */
const headerLies: Record<string, Lie> = {
  'a newer format': { hooks: header((h) => (h.format = 2)), message: /format 2/, code: 'PACK_VERSION' },
  'a codec of a newer release': {
    hooks: header((h) => (h.codec = 'step')),
    message: /codec 'step'/,
    code: 'PACK_VERSION',
  },
  "another task's name": { hooks: header((h) => (h.task = 'two')), message: /task must be 'one'/ },
  'no tensors': { hooks: header((h) => delete h.tensors), message: /tensors must be an object/ },
  'a description that is an array': {
    hooks: header((h) => (h.tensors.a = [])),
    tensor: 'a',
    message: /object/,
  },
  'an unknown kind': { hooks: header((h) => (h.tensors.a.kind = '__proto__')), tensor: 'a', message: /kind/ },
  'an unknown index code': {
    hooks: header((h) => (h.tensors.a.index = 'rice')),
    tensor: 'a',
    message: /index/,
  },
  'a delta of integers': { hooks: header((h) => (h.tensors.a.dtype = 'I32')), tensor: 'a', message: /dtype/ },
  'another dtype than merged': {
    hooks: header((h) => (h.tensors.b.dtype = 'F16')),
    tensor: 'b',
    message: /BF16/,
  },
  'another shape than merged': {
    hooks: header((h) => (h.tensors.b.shape = [5, 3])),
    tensor: 'b',
    message: /\[3, 5\]/,
  },
  'a shape that is no array': {
    hooks: header((h) => (h.tensors.b.shape = 15)),
    tensor: 'b',
    message: /shape/,
  },
  'a negative extent': {
    hooks: header((h) => (h.tensors.b.shape = [-3, -5])),
    tensor: 'b',
    message: /shape/,
  },
  'an extent that is no integer': {
    hooks: header((h) => (h.tensors.b.shape = [3, '5'])),
    tensor: 'b',
    message: /shape/,
  },
  'a shape beyond 2^53': {
    hooks: header((h) => (h.tensors.empty.shape = [0, 2 ** 52, 4])),
    tensor: 'empty',
    message: /2\^53/,
  },
  'kept above the elements': {
    hooks: header((h) => (h.tensors.b.kept = 16)),
    tensor: 'b',
    message: /kept is 16/,
  },
  'a huge kept': { hooks: header((h) => (h.tensors.b.kept = 2 ** 53)), tensor: 'b', message: /kept/ },
  'a negative kept': { hooks: header((h) => (h.tensors.b.kept = -1)), tensor: 'b', message: /kept/ },
  'one kept more than stored': {
    hooks: header((h) => (h.tensors.b.kept = 5)),
    tensor: 'b',
    message: /needs BF16 \[8\]/,
  },
  'arrays of a delta that keeps nothing': {
    hooks: header((h) => (h.tensors.b.kept = 0)),
    message: /belongs to no/,
  },
  'a delta of a tensor that merged lacks': {
    hooks: header(
      (h) => (h.tensors.new = { kind: 'delta', dtype: 'F32', shape: [1], kept: 0, index: 'u16' }),
    ),
    tensor: 'new',
    message: /merged\/ does not have/,
  },
  'a stem that is not stored': {
    hooks: header((h) => (h.tensors.a.stem = 'b2')),
    tensor: 'a',
    message: /not stored/,
  },
  'a stem that is no text': { hooks: header((h) => (h.tensors.a.stem = 1)), tensor: 'a', message: /stem/ },
  'a stem that another tensor uses': {
    hooks: header((h) => (h.tensors.b.stem = 'a')),
    message: /stored|needs/,
  },
  'the same as a tensor that merged lacks': {
    hooks: header((h) => (h.tensors.ghost = { kind: 'same', dtype: 'F32', shape: [] })),
    tensor: 'ghost',
    message: /merged\/ does not have/,
  },
  'the same in another dtype': {
    hooks: header((h) => (h.tensors.ids.dtype = 'U64')),
    tensor: 'ids',
    message: /I64/,
  },
  'a dtype that does not exist': {
    hooks: header((h) => (h.tensors.ids.dtype = 'Q7')),
    tensor: 'ids',
    message: /Q7/,
  },
  'a whole tensor of another shape': {
    hooks: header((h) => (h.tensors.head.shape = [4])),
    tensor: 'head',
    message: /\[3\]/,
  },
  'a tie to nothing': {
    hooks: header((h) => (h.tensors.tied.of = 'toString')),
    tensor: 'tied',
    message: /does not have/,
  },
  'a tie to itself': {
    hooks: header((h) => (h.tensors.tied.of = 'tied')),
    tensor: 'tied',
    message: /tied itself/,
  },
  'a tie to another size': {
    hooks: header((h) => (h.tensors.tied.of = 'b')),
    tensor: 'tied',
    message: /another dtype or size/,
  },
  'more rows than merged': {
    hooks: header((h) => (h.tensors.table.rows = 5)),
    tensor: 'table',
    message: /rows is 5/,
  },
  'more rows than the task': {
    hooks: header((h) => (h.tensors.table.shape = [3, 8])),
    tensor: 'table',
    message: /rows is 4/,
  },
  'rows of a scalar': {
    hooks: header((h) => (h.tensors.table.shape = [])),
    tensor: 'table',
    message: /rows is 4/,
  },
  'rows of another width': {
    hooks: header((h) => (h.tensors.table.shape = [6, 9])),
    tensor: 'table',
    message: /needs BF16/,
  },
  'fewer rows than coded': {
    hooks: header((h) => (h.tensors.table.rows = 3)),
    tensor: 'table',
    message: /kept|needs/,
  },
  'a tensor without a name': {
    hooks: header((h) => (h.tensors[''] = h.tensors.ids)),
    tensor: '',
    message: /empty/,
  },
  'a stored tensor that nobody describes': {
    hooks: stored((_, list) => list.push({ name: 'more', dtype: 'U8', shape: [1], data: new Uint8Array(1) })),
    message: /"more" belongs to no/,
  },
  'a missing array': {
    hooks: stored((_, list) =>
      list.splice(
        list.findIndex((tensor) => tensor.name === 'a.blocks'),
        1,
      ),
    ),
    tensor: 'a',
    message: /"a.blocks" is not stored/,
  },
  'values of another dtype': {
    hooks: stored((m) => (m.get('b.value')!.dtype = 'F16')),
    tensor: 'b',
    message: /BF16/,
  },
  'values without padding': {
    hooks: stored((m) => shorten(m.get('b.value')!, 6, 3)),
    tensor: 'b',
    message: /needs/,
  },
  'a short bitmap': {
    hooks: stored((m) => shorten(m.get('d.index')!, 8, 8)),
    tensor: 'd',
    message: /\[16\]/,
  },
  'block starts of one block less': {
    hooks: stored((m) => shorten(m.get('a.blocks')!, 8, 2)),
    tensor: 'a',
    message: /\[4\]/,
  },
  'an index of another code': {
    hooks: header((h) => (h.tensors.a.index = 'bitmap')),
    tensor: 'a',
    message: /needs U8/,
  },
  'arrays off their alignment': {
    hooks: stored((_, list) =>
      list.unshift(
        list.splice(
          list.findIndex((tensor) => tensor.name === 'mask'),
          1,
        )[0]!,
      ),
    ),
    tensor: '__proto__',
    message: /multiple of 8/,
  },
  'a repeated key': {
    hooks: {
      headerText: (text, task) => (task === 'one' ? text.replace('"codec":', '"codec":"x","codec":') : text),
    },
    message: /twice/,
  },
  'no JSON': { hooks: { headerText: () => '{' }, message: /not JSON/ },
}

for (const [name, { hooks, tensor, message, code = 'PACK_INVALID' }] of Object.entries(headerLies)) {
  test(`a delta file with ${name}`, async (t) => {
    const folder = tempFolder(t)
    const root = await naivePack(join(folder, 'family'), sampleFamily(), hooks)
    const pack = await openPack(root)
    const error = await t.throwsAsync(materialize(pack, 'one', join(folder, 'out')), {
      instanceOf: TaskfoldError,
    })
    t.is(error.code, code, error.message)
    t.is(error.file, join(root, 'tasks/one/delta.safetensors'))
    t.regex(error.message, message)
    if (tensor !== undefined) t.is(error.tensor, tensor)
    t.deepEqual(readdirSync(folder), ['family'])
  })
}

const u16 = (tensor: NaiveTensor) => new Uint16Array(tensor.data.buffer, tensor.data.byteOffset)
const u32 = (tensor: NaiveTensor) => new Uint32Array(tensor.data.buffer, tensor.data.byteOffset)

/** Found when the arrays are read; a reader must not write through any of them. */
const arrayLies: Record<
  string,
  { edit: (tensors: Map<string, NaiveTensor>) => void; tensor: string; quiet?: true }
> = {
  'positions that fall': { edit: (m) => u16(m.get('a.index')!).set([5, 0]), tensor: 'a' },
  'a position twice': { edit: (m) => u16(m.get('a.index')!).set([5, 5]), tensor: 'a' },
  'a position behind the tensor': { edit: (m) => u16(m.get('table.index')!).set([0, 32]), tensor: 'table' },
  'a position behind the last block': { edit: (m) => u16(m.get('a.index')!).set([9000], 5), tensor: 'a' },
  'a scalar with a position 1': { edit: (m) => u16(m.get('e.index')!).set([1]), tensor: 'e' },
  'block starts that fall': { edit: (m) => u32(m.get('a.blocks')!).set([0, 5, 3, 6]), tensor: 'a' },
  'block starts that do not begin with 0': { edit: (m) => u32(m.get('a.blocks')!).set([1]), tensor: 'a' },
  'block starts that do not end with kept': { edit: (m) => u32(m.get('a.blocks')!).set([5], 3), tensor: 'a' },
  'a huge block start': { edit: (m) => u32(m.get('a.blocks')!).set([0xffffffff], 1), tensor: 'a' },
  'a mark too many': { edit: (m) => m.get('b.index')!.data.set([0xff]), tensor: 'b' },
  'a mark too few': { edit: (m) => m.get('b.index')!.data.set([0]), tensor: 'b' },
  'a mark behind the last element': { edit: (m) => m.get('b.index')!.data.set([0x01, 0xc0]), tensor: 'b' },
  'a value in the padding': { edit: (m) => m.get('e.value')!.data.set([1], 1), tensor: 'e', quiet: true },
  'a position in the padding': { edit: (m) => u16(m.get('e.index')!).set([1], 1), tensor: 'e', quiet: true },
  'a mark in the padding': { edit: (m) => m.get('b.index')!.data.set([1], 2), tensor: 'b', quiet: true },
}

for (const [name, { edit, tensor, quiet }] of Object.entries(arrayLies)) {
  test(`arrays with ${name}`, async (t) => {
    const folder = tempFolder(t)
    const root = await naivePack(join(folder, 'family'), sampleFamily(), stored(edit))
    const file = join(root, 'tasks/one/delta.safetensors')
    const pack = await openPack(root)
    if (quiet === undefined) {
      const unfold = await t.throwsAsync(materialize(pack, 'one', join(folder, 'out')), {
        instanceOf: TaskfoldError,
      })
      const single = await t.throwsAsync(materializeTensor(pack, 'one', tensor), {
        instanceOf: TaskfoldError,
      })
      for (const error of [unfold, single])
        t.deepEqual([error.code, error.file, error.tensor], ['PACK_INVALID', file, tensor])
      t.deepEqual(readdirSync(folder), ['family'])
    }
    // Padding is never read when unfolding; verify looks at every byte.
    const error = await t.throwsAsync(verify(root), { instanceOf: TaskfoldError })
    t.is(error.code, 'VERIFY_FAILED')
    t.deepEqual(
      error.problems!.map((p) => [p.code, p.file, p.tensor]),
      [['PACK_INVALID', file, tensor]],
    )
  })
}
