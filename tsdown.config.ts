import { defineConfig } from 'tsdown'

export default defineConfig({
  entry: { index: 'lib/index.ts', kernels: 'lib/kernels.ts', cli: 'lib/cli/main.ts' },
  format: ['esm', 'cjs'],
  platform: 'node',
  target: 'node20',
  dts: true,
  sourcemap: true,
  outDir: 'dist',
  clean: true,
  external: ['#native'],
  logLevel: 'warn',
  inputOptions: { checks: { pluginTimings: false } },
})
