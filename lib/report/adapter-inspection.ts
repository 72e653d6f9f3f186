/** A LoRA adapter, from its headers, with `spectra` from its factors too. All sizes in bytes. */
export interface AdapterInspection {
  /** Says that it is an adapter. */
  kind: 'adapter'
  /** As given. */
  source: string
  /** Absolute path of its folder. */
  folder: string
  /** Layout of its files. */
  format: 'peft' | 'kohya'
  /** The base that its configuration names; null when it names none. */
  base: string | null
  /** Largest rank of a layer. */
  rank: number
  /** In bytewise order of their modules. */
  layers: AdapterLayerInspection[]
  /** Tensors that it has whole: modules_to_save, biases. */
  rest: {
    /** Its name. */
    name: string
    /** Its dtype. */
    dtype: string
    /** Row-major extents. */
    shape: number[]
    /** Length in bytes. */
    bytes: number
  }[]
  /** `__metadata__` of its file. */
  metadata: Record<string, string>
  /** Files of the adapter that are neither weights nor its configuration. */
  otherFiles: string[]
  /** All tensors. */
  totals: {
    /** Number of layers. */
    layers: number
    /** Parameters of the factors. */
    parameters: number
    /** Bytes of all tensors. */
    bytes: number
  }
}

/** One layer of an adapter. */
export interface AdapterLayerInspection {
  /** As the format names it. */
  module: string
  /** What it is laid over. */
  kind: 'linear' | 'conv2d' | 'embedding'
  /** Of B·A. */
  rows: number
  /** Of B·A; conv kernels flattened. */
  columns: number
  /** Rank of its factors. */
  rank: number
  /** α as stored. */
  alpha: number
  /** What B·A is multiplied with. */
  scale: number
  /** Of A. */
  dtype: string
  /** Of A and B. */
  bytes: number
  /** Only with `spectra`: all singular values of s·B·A, descending. */
  singularValues?: number[]
  /** Only with `spectra`: Σσ², the squared Frobenius norm of s·B·A. */
  energy?: number
}
