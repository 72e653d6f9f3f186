import test from 'ava'
import { assertPlainBase } from '../../../lib/lora/plain-base.js'

const check = (config: Record<string, unknown> | null) => () => assertPlainBase({ config, folder: '/lora' })

test('inits that leave the base alone', (t) => {
  for (const init of [true, false, null, undefined, 'gaussian', 'eva', 'orthogonal', 'mica'])
    t.notThrows(check({ init_lora_weights: init }), `${init}`)
  t.notThrows(check(null))
})

test('inits that change the base, and unknown ones', (t) => {
  for (const init of ['pissa', 'pissa_niter_16', 'olora', 'corda', 'lora_ga', 'loftq', 'new-one', 7]) {
    const error = t.throws(check({ init_lora_weights: init }), { code: 'ADAPTER_UNSUPPORTED' })
    t.true(error?.message.includes(String(init)))
  }
})
