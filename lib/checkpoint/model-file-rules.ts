/**
 * What in a model's folder is not part of its configuration. Everything else is copied along: tokenizers and code come
 * under too many names for a list of what to take.
 */

const weightExtensions = [
  'safetensors',
  'bin',
  'pt',
  'pth',
  'ckpt',
  'h5',
  'keras',
  'msgpack',
  'gguf',
  'ggml',
  'onnx',
  'onnx_data',
  'npz',
  'pb',
  'tflite',
  'ot',
  'mlmodel',
  'pkl',
  'pickle',
  'pdparams',
  'nemo',
  'distcp',
]

/** Reasons are for the reader of this file; the order does not matter. */
const leftOutFiles: readonly RegExp[] = [
  // weights of any format: they are folded, or are another copy of what is folded
  new RegExp(`\\.(${weightExtensions.join('|')})$`),
  // TensorFlow's weights have their kind behind the extension; ONNX keeps large ones beside the graph
  /\.ckpt[.-]/,
  /\.onnx[._]data/,
  // indexes of weights: they would name shards that are not there
  /\.(safetensors|bin|pt|h5|msgpack)\.index(\.[\w-]+)?\.json$/,
  // the state of a training run; its other files have extensions of weights (optimizer.pt, rng_state_0.pth, …)
  /^(trainer_state|training_args)\.\w+$/,
  // logs of training runs
  /^events\.out\.tfevents\./,
  // downloads that did not end, and our own unfinished output
  /\.(incomplete|partial|part|tmp|lock)$/,
]

const leftOutFolders: readonly RegExp[] = [
  // Meta's own format of the same weights
  /^original$/,
  // snapshots during a training run, each a whole checkpoint
  /^checkpoint-\d+$/,
  /^global_step\d+$/,
  // logs of training runs
  /^(runs|logs|wandb)$/,
  // compiled code and installed packages
  /^(__pycache__|node_modules)$/,
  // unfinished output of ours, and what it replaced
  /\.partial(\.old)?$/,
]

/**
 * Whether a file of a model's folder belongs to the model, its weights aside.
 *
 * @param name - file name without folders
 * @returns false for weights, indexes, training states, unfinished downloads and hidden files
 */
export function isModelFile(name: string): boolean {
  return !name.startsWith('.') && !leftOutFiles.some((rule) => rule.test(name.toLowerCase()))
}

/**
 * Whether a folder inside a model's folder may hold files that belong to the model.
 *
 * @param name - folder name without its parents
 * @returns false for hidden folders, training snapshots, logs and other formats of the same weights
 */
export function isModelFolder(name: string): boolean {
  return !name.startsWith('.') && !leftOutFolders.some((rule) => rule.test(name.toLowerCase()))
}
