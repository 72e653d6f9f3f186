/**
 * Stable codes of `TaskfoldError`: scripts may compare them; messages may change between releases.
 *
 * One code per way that an input, an option or the machine can be at fault.
 */
export type ErrorCode =
  // what the caller asked for
  | 'INVALID_ARGUMENT' // an option has a wrong type or value
  | 'NOT_FOUND' // a path, a cached Hub repository, a task or a tensor does not exist
  | 'OUTPUT_EXISTS' // the output is already there and `force` was not given
  | 'OUTPUT_BUSY' // another running process writes the same output
  | 'CANCELLED' // the AbortSignal fired
  // checkpoints: one per way that a file can lie
  | 'NOT_A_CHECKPOINT' // the path holds no safetensors file
  | 'CONFIG_INVALID' // config.json is not a JSON object
  | 'HEADER_TOO_SHORT' // the file ends inside the 8-byte length or inside the header
  | 'HEADER_TOO_LARGE' // the header length is above the format's limit
  | 'HEADER_NOT_JSON' // the header is not UTF-8 JSON that starts with an opening brace
  | 'HEADER_INVALID' // JSON of another shape: a field is missing or has a wrong type
  | 'DUPLICATE_TENSOR' // one name twice, in one file or in two shards
  | 'UNKNOWN_DTYPE' // a dtype string the format does not define
  | 'TENSOR_SIZE_MISMATCH' // dtype × shape differs from the length of the byte range
  | 'TENSOR_OUT_OF_FILE' // a byte range ends behind the file's last byte
  | 'TENSOR_OVERLAP' // two byte ranges share bytes
  | 'TENSOR_GAP' // bytes between two ranges, or behind the last, belong to no tensor
  | 'SIZE_OVERFLOW' // dtype × shape is beyond 2^53 bytes
  | 'INDEX_INVALID' // model.safetensors.index.json is malformed or names a shard outside its folder
  | 'SHARD_MISSING' // the index names a file that is not there
  | 'INDEX_MISMATCH' // index and shards disagree about which file holds a tensor
  // LoRA adapters
  | 'ADAPTER_INVALID' // adapter_config.json and the tensors of an adapter contradict each other or the format
  | 'ADAPTER_UNSUPPORTED' // a variant (DoRA, LoHa, …) that would silently come out wrong
  // fold
  | 'PREFLIGHT_FAILED' // several problems at once: see `problems`
  | 'NOTHING_TO_MERGE' // base and tasks share no floating tensor of equal shape
  | 'NON_FINITE' // a NaN where arithmetic needs numbers
  | 'INPUT_CHANGED' // a file's size or mtime changed while it was being read
  // packs
  | 'NOT_A_FAMILY' // the folder holds no family.json
  | 'PACK_VERSION' // written by a newer format version
  | 'PACK_INVALID' // the manifest or a delta contradicts docs/FORMAT.md
  | 'HASH_MISMATCH' // stored bytes differ from their recorded fingerprint
  | 'VERIFY_FAILED' // verify found differences: see `problems`
  // the machine
  | 'DISK_FULL'
  | 'IO_ERROR'
  | 'FILE_TRUNCATED' // a file ended earlier than its header says
  | 'OUT_OF_MEMORY'
  | 'NATIVE_BINDING' // the native addon could not be loaded
  | 'DEVICE_UNAVAILABLE' // the requested device can't be used here
  | 'INTERNAL' // a bug in taskfold: please report it
