// A family of any size with the statistics that matter here: weights around 0.02, sparse-tailed task vectors, layers of
// the shapes of a Llama-like model, sharded. Made from tiles, because drawing billions of numbers would take minutes.
import { mkdirSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'

const TILE = 1 << 22 // elements
/** Odd, so that the first 2^22 tensors start at different elements. */
const STRIDE = 104729

/** xorshift32 as floats in [-0.5, 0.5). */
function randomStream(seed) {
  let s = seed | 1
  return () => {
    s ^= s << 13
    s ^= s >>> 17
    s ^= s << 5
    return (s >>> 8) / 16777216 - 0.5
  }
}

/** TILE weights of the base, or of a task: base plus a heavy-tailed difference. */
function makeTile(dtype, task) {
  const base = randomStream(12345)
  const drift = randomStream(777 + task * 1000003)
  const values = new Float32Array(TILE)
  for (let i = 0; i < TILE; i++) values[i] = 0.06 * (base() + base())
  if (task >= 0) {
    for (let i = 0; i < TILE; i++) {
      const r = drift()
      values[i] += 0.02 * r * r * r + 0.001 * r
    }
  }
  if (dtype === 'F32') return Buffer.from(values.buffer)
  const bits = new Uint32Array(values.buffer)
  const half = new Uint16Array(TILE)
  for (let i = 0; i < TILE; i++) half[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) >>> 16
  return Buffer.from(half.buffer)
}

/** Tensors of a model of about `bytes`: an embedding, then layers until it is full, then the last norm; and its config. */
function shapesFor(bytes, item) {
  const hidden = bytes >= 2 ** 31 ? 2048 : bytes >= 2 ** 28 ? 1024 : 256
  const inner = hidden * 3
  let layers = 0
  const tensors = [['model.embed_tokens.weight', [16 * hidden, hidden]]]
  let left = bytes - 16 * hidden * hidden * item
  for (let layer = 0; left > 0; layer++) {
    layers++
    const name = `model.layers.${layer}.`
    const add = (suffix, shape) => {
      tensors.push([name + suffix, shape])
      left -= shape.reduce((a, b) => a * b, item)
    }
    for (const p of ['q', 'k', 'v', 'o']) add(`self_attn.${p}_proj.weight`, [hidden, hidden])
    for (const p of ['gate', 'up']) add(`mlp.${p}_proj.weight`, [inner, hidden])
    add('mlp.down_proj.weight', [hidden, inner])
    for (const p of ['input', 'post_attention']) add(`${p}_layernorm.weight`, [hidden])
  }
  tensors.push(['model.norm.weight', [hidden]])
  // Enough for other programs to take it for a Llama with tied embeddings.
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    torch_dtype: item === 4 ? 'float32' : 'bfloat16',
    tie_word_embeddings: true,
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: hidden / 64,
    num_key_value_heads: hidden / 64,
    vocab_size: 16 * hidden,
  }
  return { tensors, config }
}

function planShards(tensors, item, shardBytes) {
  const shards = [[]]
  let size = 0
  for (const [place, [name, shape]] of tensors.entries()) {
    const bytes = shape.reduce((a, b) => a * b, item)
    if (size > 0 && size + bytes > shardBytes) {
      shards.push([])
      size = 0
    }
    shards.at(-1).push({ name, shape, bytes, place })
    size += bytes
  }
  return shards
}

async function writeShard(file, shard, dtype, tile) {
  const header = { __metadata__: { format: 'pt' } }
  let offset = 0
  for (const { name, shape, bytes } of shard) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  let json = JSON.stringify(header)
  json += ' '.repeat((8 - (json.length % 8)) % 8)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  const handle = await open(file, 'w')
  await handle.write(Buffer.concat([length, Buffer.from(json)]))
  for (const { bytes, place } of shard) {
    // Each tensor starts elsewhere in the tile: equal ones would be stored once, as tied weights are.
    let from = ((place * STRIDE) % TILE) * (tile.length / TILE)
    for (let done = 0; done < bytes; ) {
      const part = Math.min(tile.length - from, bytes - done)
      await handle.write(tile, from, part)
      done += part
      from = 0
    }
  }
  await handle.close()
}

/**
 * Writes base and tasks under `folder`; returns their folders and the bytes of one model.
 *
 * @param {string} folder
 * @param {{ bytes: number, tasks: number, dtype?: 'BF16' | 'F32', shardBytes?: number }} options
 */
export async function makeFamily(folder, { bytes, tasks, dtype = 'BF16', shardBytes = 2 ** 30 }) {
  const item = dtype === 'F32' ? 4 : 2
  const { tensors, config } = shapesFor(bytes, item)
  const shards = planShards(tensors, item, shardBytes)
  const shardName = (i) =>
    shards.length === 1
      ? 'model.safetensors'
      : `model-${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`
  const total = tensors.reduce((sum, [, shape]) => sum + shape.reduce((a, b) => a * b, item), 0)
  const models = []
  for (let task = -1; task < tasks; task++) {
    const target = path.join(folder, task < 0 ? 'base' : `task${task}`)
    mkdirSync(target, { recursive: true })
    const tile = makeTile(dtype, task)
    for (const [i, shard] of shards.entries())
      await writeShard(path.join(target, shardName(i)), shard, dtype, tile)
    if (shards.length > 1) {
      const map = Object.fromEntries(
        shards.flatMap((shard, i) => shard.map(({ name }) => [name, shardName(i)])),
      )
      const index = { metadata: { total_size: total }, weight_map: map }
      writeFileSync(path.join(target, 'model.safetensors.index.json'), JSON.stringify(index))
    }
    writeFileSync(path.join(target, 'config.json'), JSON.stringify(config))
    models.push(target)
  }
  return { base: models[0], tasks: models.slice(1), modelBytes: total }
}
