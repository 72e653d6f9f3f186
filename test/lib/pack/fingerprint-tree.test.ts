import test from 'ava'
import { combineFingerprints } from '../../../lib/pack/fingerprint-tree.js'
import { fingerprint } from '../../helpers/naive-pack.js'

test('the fingerprint of a model is that of its lines in bytewise order', async (t) => {
  const a = { name: 'a', dtype: 'F32', shape: [2], fingerprint: '0'.repeat(32) }
  const b = { name: 'b"', dtype: 'BF16', shape: [], fingerprint: '1'.repeat(32) }
  const text = `["a","F32",[2],"${'0'.repeat(32)}"]\n["b\\"","BF16",[],"${'1'.repeat(32)}"]\n`
  const expected = await fingerprint(Buffer.from(text))
  t.is(await combineFingerprints([a, b]), expected)
  t.is(await combineFingerprints([b, a]), expected)
  t.not(await combineFingerprints([a, { ...b, shape: [1] }]), expected)
  t.is(await combineFingerprints([]), '99aa06d3014798d86001c324468d497f')
})
