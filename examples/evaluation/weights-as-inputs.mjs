// ONNX Runtime copies initializers when a session is created, also those of `externalData`. Tensors that are a graph's
// inputs are used where they lie. So this turns the one into the other, with just enough of protobuf's wire format.

const GRAPH = 7 // of ModelProto
const INITIALIZER = 5 // of GraphProto, a TensorProto
const INPUT = 11 // of GraphProto, a ValueInfoProto

/**
 * An ONNX model whose initializers with external data have become inputs of the same names, without data.
 *
 * @param {Uint8Array} model an ONNX file
 * @returns {{ model: Uint8Array, names: string[] }} the new file, and what its inputs are called
 */
export function weightsAsInputs(model) {
  const names = []
  const graph = (bytes) => {
    const parts = []
    for (const { number, payload, whole } of fields(bytes)) {
      const tensor = number === INITIALIZER ? readTensor(payload) : null
      if (!tensor?.external) parts.push(whole)
      else {
        names.push(tensor.name)
        parts.push(valueInfo(tensor))
      }
    }
    return Buffer.concat(parts)
  }
  const parts = [...fields(model)].map(({ number, payload, whole }) =>
    number === GRAPH ? field(GRAPH, graph(payload)) : whole,
  )
  return { model: Buffer.concat(parts), names }
}

/** The fields of a message in order; numbers as `value`, the rest as `payload`. */
function* fields(bytes) {
  let at = 0
  const varint = () => {
    let value = 0
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]
      value += (byte & 127) * shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const start = at
    const key = varint()
    const wire = key & 7
    let value
    let payload
    if (wire === 0) value = varint()
    else {
      const length = wire === 2 ? varint() : wire === 1 ? 8 : 4
      payload = bytes.subarray(at, at + length)
      at += length
    }
    yield { number: Math.floor(key / 8), value, payload, whole: bytes.subarray(start, at) }
  }
}

/** TensorProto: 1 dims, 2 data_type, 8 name, 14 data_location (1: external). */
function readTensor(bytes) {
  const tensor = { dims: [], type: 0, name: '', external: false }
  for (const { number, value, payload } of fields(bytes)) {
    if (number === 1 && payload === undefined) tensor.dims.push(value)
    if (number === 1 && payload !== undefined) {
      for (const part of packed(payload)) tensor.dims.push(part)
    }
    if (number === 2) tensor.type = value
    if (number === 8) tensor.name = Buffer.from(payload).toString()
    if (number === 14) tensor.external = value === 1
  }
  return tensor
}

/** Packed varints: the same bytes as varint fields without their keys. */
function packed(bytes) {
  const values = []
  let value = 0
  let shift = 1
  for (const byte of bytes) {
    value += (byte & 127) * shift
    shift = byte < 128 ? 1 : shift * 128
    if (byte >= 128) continue
    values.push(value)
    value = 0
  }
  return values
}

/** ValueInfoProto { name, type { tensor_type { elem_type, shape { dim { dim_value } } } } } as an input of the graph. */
function valueInfo({ name, type, dims }) {
  const shape = Buffer.concat(dims.map((dim) => field(1, number(1, dim))))
  const tensorType = Buffer.concat([number(1, type), field(2, shape)])
  return field(INPUT, Buffer.concat([field(1, Buffer.from(name)), field(2, field(1, tensorType))]))
}

function field(id, bytes) {
  return Buffer.concat([varint(id * 8 + 2), varint(bytes.length), bytes])
}

function number(id, value) {
  return Buffer.concat([varint(id * 8), varint(value)])
}

function varint(value) {
  const bytes = []
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left])
    bytes.push((left % 128) | 128)
  }
}
