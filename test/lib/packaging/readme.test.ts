import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'ava'

const root = path.join(import.meta.dirname, '..', '..', '..')
const readme = readFileSync(path.join(root, 'README.md'), 'utf8')

/** The first code block of a language behind a heading. */
function codeBlock(heading: string, language: string): string {
  const start = readme.indexOf(`\`\`\`${language}\n`, readme.indexOf(`## ${heading}\n`)) + language.length + 4
  return readme.slice(start, readme.indexOf('```', start))
}

/** A user's folder with the built package installed and the models that the README names. */
function userFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'taskfold-readme-'))
  mkdirSync(path.join(folder, 'node_modules'))
  symlinkSync(root, path.join(folder, 'node_modules', 'taskfold'))
  const family = path.join(root, 'examples', 'family')
  cpSync(path.join(family, 'base'), path.join(folder, 'base'), { recursive: true })
  for (const task of ['mnist', 'fashion']) {
    cpSync(path.join(family, 'tasks', task), path.join(folder, task), { recursive: true })
    cpSync(path.join(family, 'lora', task), path.join(folder, `${task}-lora`), { recursive: true })
  }
  return folder
}

test("README's command lines work as written", (t) => {
  const folder = userFolder()
  t.teardown(() => rmSync(folder, { recursive: true }))
  const lines = ['Command line', 'LoRA adapters'].flatMap((heading) => {
    const found = codeBlock(heading, 'sh').split('\n').filter(Boolean)
    t.true(found.length >= 5)
    return found
  })
  for (const line of lines) {
    const words = line.replace(/\s+#.*$/, '').split(' ')
    t.deepEqual(words.splice(0, 2), ['npx', 'taskfold'])
    execFileSync(process.execPath, ['node_modules/taskfold/bin/taskfold.js', ...words], {
      cwd: folder,
      stdio: 'pipe',
    })
  }
  t.deepEqual(readdirSync(path.join(folder, 'all-again')).sort(), ['fashion', 'mnist'])
  t.true(readdirSync(path.join(folder, 'mnist-again')).includes('model.safetensors'))
  for (const adapter of ['mnist-r4', 'mnist-small', 'mnist-extracted', 'mnist-adapter'])
    t.true(readdirSync(path.join(folder, adapter)).includes('adapter_model.safetensors'), adapter)
  for (const model of ['mnist-merged', 'merged'])
    t.true(readdirSync(path.join(folder, model)).includes('model.safetensors'), model)
})

test("README's program works as written", (t) => {
  const folder = userFolder()
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(path.join(folder, 'program.mjs'), codeBlock('From TypeScript or JavaScript', 'ts'))
  const printed = execFileSync(process.execPath, ['program.mjs'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: 'pipe',
  })
  t.regex(printed, /^classifier\.weight \[ 10, 80 \]$/m)
  t.true(readdirSync(path.join(folder, 'mnist-again')).includes('config.json'))
})
