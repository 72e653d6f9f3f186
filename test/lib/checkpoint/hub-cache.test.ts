import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { hubCacheRoot, parseHubRepo, resolveHubCache } from '../../../lib/checkpoint/hub-cache.js'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { tinySafetensors } from '../../helpers/tiny-checkpoint.js'

const first = 'abcd'.padEnd(40, '1')
const second = 'abcd'.padEnd(40, '2')
const model = tinySafetensors({ tensors: { w: { dtype: 'F32', shape: [1], data: [1] } } })

function put(path: string, content: string | Uint8Array) {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

/** A cache as the Hugging Face tools lay it out, with two commits of org/model. */
function cache(t: ExecutionContext, links = true): string {
  const root = join(tempFolder(t), 'hub')
  const repo = join(root, 'models--org--model')
  put(join(repo, 'refs/main'), first)
  put(join(repo, 'refs/v1.0'), `${second}\n`)
  put(join(repo, 'refs/refs/pr/3'), second)
  put(join(repo, 'refs/gone'), 'f'.repeat(40))
  put(join(repo, 'refs/broken'), '../../../etc')
  put(join(repo, 'refs/huge'), 'a'.repeat(100_000))
  put(join(repo, 'blobs/etag1'), model)
  put(join(repo, 'blobs/etag2'), '{"size":1}')
  put(join(repo, 'blobs/etag3.incomplete'), 'half')
  for (const commit of [first, second]) {
    const snapshot = join(repo, 'snapshots', commit)
    mkdirSync(join(snapshot, 'onnx'), { recursive: true })
    for (const [name, blob] of [
      ['model.safetensors', 'etag1'],
      ['config.json', 'etag2'],
    ] as const) {
      if (links) symlinkSync(`../../blobs/${blob}`, join(snapshot, name))
      else put(join(snapshot, name), blob === 'etag1' ? model : '{"size":1}')
    }
  }
  return root
}

test('names of repositories', (t) => {
  t.deepEqual(parseHubRepo('org/name'), { org: 'org', name: 'name', revision: 'main' })
  t.deepEqual(parseHubRepo('Org_1/na.me-2@v1.0'), { org: 'Org_1', name: 'na.me-2', revision: 'v1.0' })
  t.deepEqual(parseHubRepo('a/b@refs/pr/3'), { org: 'a', name: 'b', revision: 'refs/pr/3' })
  const others = [
    '',
    'name',
    'a/b/c',
    './a',
    '../a',
    '/a/b',
    'a/',
    '/b',
    'a/b@',
    'a/b@../x',
    'a/b@x/../y',
    'a/b@/x',
  ]
  others.push(
    'a/b@.',
    'a/b@x//y',
    'a/..',
    'a/.b',
    '-a/b',
    'a/b-',
    'a--b/c',
    'a/b..c',
    'a/b c',
    'a/b\0',
    'a\\b/c',
    '~/b',
  )
  others.push('a/b@x y', 'a/b@a@b', `${'a'.repeat(97)}/b`, `a/b@${'x'.repeat(300)}`)
  for (const other of others) t.is(parseHubRepo(other), null, other)
})

test('the root follows the environment', (t) => {
  const HOME = '/home/u'
  t.is(hubCacheRoot({ HOME }), '/home/u/.cache/huggingface/hub')
  t.is(hubCacheRoot({ HOME, XDG_CACHE_HOME: '/xdg' }), '/xdg/huggingface/hub')
  t.is(hubCacheRoot({ HOME, XDG_CACHE_HOME: '/xdg', HF_HOME: '/hf' }), '/hf/hub')
  t.is(hubCacheRoot({ HOME, HF_HOME: '~/hf' }), '/home/u/hf/hub')
  t.is(hubCacheRoot({ HOME, HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old' }), '/old')
  t.is(hubCacheRoot({ HOME, HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '~/new' }), '/home/u/new')
  t.is(hubCacheRoot({ HOME, HF_HUB_CACHE: '', HF_HOME: '' }), '/home/u/.cache/huggingface/hub')
})

test('revisions: branch, tag, pull request, commit, beginning of a commit', async (t) => {
  const cacheDir = cache(t)
  const snapshots = join(cacheDir, 'models--org--model/snapshots')
  const found = async (source: string) =>
    (await resolveHubCache(source, { cacheDir })).replace(`${snapshots}/`, '')
  t.is(await found('org/model'), first)
  t.is(await found('org/model@main'), first)
  t.is(await found('org/model@v1.0'), second)
  t.is(await found('org/model@refs/pr/3'), second)
  t.is(await found(`org/model@${second}`), second)
  t.is(await found(`org/model@${second.slice(0, 5)}`), second)
})

test('env is used when no folder is given', async (t) => {
  const root = cache(t)
  const found = await resolveHubCache('org/model', { env: { HF_HOME: dirname(root) } })
  t.is(found, join(root, 'models--org--model/snapshots', first))
})

test('what is not in the cache: NOT_FOUND with the command that fetches it', async (t) => {
  const cacheDir = cache(t)
  const cases = {
    'other/model': /hf download other\/model\./,
    'org/model@dev': /hf download org\/model --revision dev\./,
    'org/model@gone': /--revision gone/,
    'org/model@broken': /--revision broken/,
    'org/model@huge': /--revision huge/,
    'org/model@refs': /--revision refs/,
    'org/model@beef': /--revision beef/,
    [`org/model@${'e'.repeat(40)}`]: /--revision e{40}/,
  }
  for (const [source, hint] of Object.entries(cases)) {
    const error = await t.throwsAsync(resolveHubCache(source, { cacheDir }), { instanceOf: TaskfoldError })
    t.is(error?.code, 'NOT_FOUND', source)
    t.regex(error?.hint ?? '', hint)
  }
  const error = await t.throwsAsync(resolveHubCache('org/model@dev', { cacheDir }))
  t.true(error?.message.includes(first), 'says which commits there are')
})

test('a beginning that fits two commits, and what is no name', async (t) => {
  const cacheDir = cache(t)
  const error = await t.throwsAsync(resolveHubCache('org/model@abcd', { cacheDir }))
  t.like(error, { code: 'INVALID_ARGUMENT' })
  t.true(error?.message.includes(first) && error.message.includes(second))
  t.like(await t.throwsAsync(resolveHubCache('../x', { cacheDir })), { code: 'INVALID_ARGUMENT' })
})

for (const links of [true, false]) {
  test(`readCheckpoint opens a cached repository ${links ? 'of links' : 'of plain files'}`, async (t) => {
    const cacheDir = cache(t, links)
    const before = readdirSync(cacheDir, { recursive: true }).sort()
    const checkpoint = await readCheckpoint('org/model@v1.0', { cacheDir })
    t.is(checkpoint.source, 'org/model@v1.0')
    t.is(checkpoint.folder, join(cacheDir, 'models--org--model/snapshots', second))
    t.deepEqual(checkpoint.otherFiles, ['config.json'])
    t.deepEqual(checkpoint.config, { size: 1 })
    t.deepEqual([...checkpoint.tensors.keys()], ['w'])
    t.deepEqual(
      readdirSync(cacheDir, { recursive: true }).sort(),
      before,
      'nothing is written into the cache',
    )
  })
}

test('an unfinished download names the missing file and the command', async (t) => {
  const cacheDir = cache(t)
  rmSync(join(cacheDir, 'models--org--model/blobs/etag1'))
  const error = await t.throwsAsync(readCheckpoint('org/model', { cacheDir }), { instanceOf: TaskfoldError })
  t.is(error?.code, 'SHARD_MISSING')
  t.regex(error?.file ?? '', /model\.safetensors$/)
  t.regex(error?.hint ?? '', /hf download org\/model/)
})

test('a missing repository through readCheckpoint; a folder of that name wins', async (t) => {
  const cacheDir = cache(t)
  t.like(await t.throwsAsync(readCheckpoint('org/other', { cacheDir })), { code: 'NOT_FOUND' })
  // Tests run in the package's folder, where this is a path.
  t.true(existsSync('lib/checkpoint'))
  t.like(await t.throwsAsync(readCheckpoint('lib/checkpoint', { cacheDir })), { code: 'NOT_A_CHECKPOINT' })
})
