"""A second, independent reader of the family pack (docs/FORMAT.md): standard library and numpy only.

It shares no code with taskfold and no design: it reads whole files and decodes with plain numpy, so that a mistake in
both is unlikely. It trusts its input and is for checking the format, not for use.

    read_family.py FAMILY TASK                    sha256 of every tensor as JSON
    read_family.py FAMILY TASK --npz OUT.npz      the tensors as unsigned integers of their item size
    read_family.py FAMILY TASK --against CKPT     compares with a .safetensors file or a folder; 1 when they differ
    read_family.py FAMILY TASK --base CKPT …      a LoRA task whose base is elsewhere now
"""

import argparse
import hashlib
import json
import os
import re
import struct
import sys

import numpy as np

BLOCK = 65536
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}


def read_safetensors(path):
    """Gives {name: (dtype, shape, bytes)} and the metadata."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["dtype"], entry["shape"], data[8 + length + begin : 8 + length + end])
    return tensors, metadata


def read_checkpoint(path):
    """Gives {name: (dtype, shape, bytes)} of a file, or of all shards of a folder."""
    if os.path.isfile(path):
        return read_safetensors(path)[0]
    index = os.path.join(path, "model.safetensors.index.json")
    if os.path.exists(index):
        with open(index, encoding="utf-8") as file:
            names = set(json.load(file)["weight_map"].values())
    else:
        names = [name for name in os.listdir(path) if name.endswith(".safetensors")]
    tensors = {}
    for name in sorted(names):
        tensors.update(read_safetensors(os.path.join(path, name))[0])
    return tensors


def as_items(data, dtype):
    """Bytes as unsigned integers, one an element where elements have whole bytes."""
    return np.frombuffer(data, dtype="<u%d" % max(1, BITS[dtype] // 8))


class Bits:
    """Bits of bytes, the lowest of each first."""

    def __init__(self, data):
        self.bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
        self.at = 0

    def take(self, count):
        """The next `count` bits as a number, lowest first."""
        bits = self.bits[self.at : self.at + count]
        assert bits.size == count
        self.at += count
        return int((bits.astype(np.int64) << np.arange(count)).sum())

    def ones(self):
        """How many ones stand before the next zero, which is skipped."""
        count = int(np.argmin(self.bits[self.at :]))
        assert self.bits[self.at + count] == 0
        self.at += count + 1
        return count

    def finish(self):
        """Less than a byte is left, all zeros."""
        assert self.bits.size - self.at < 8 and not self.bits[self.at :].any()


class Rans:
    """Two states of 32 bits that share words of 16, symbols of 12 bits."""

    def __init__(self, data):
        words = np.frombuffer(data, dtype="<u2").astype(np.int64)
        self.states = [int(words[0] | words[1] << 16), int(words[2] | words[3] << 16)]
        self.words = iter(words[4:].tolist())

    def refill(self, which):
        if self.states[which] < 65536:
            self.states[which] = self.states[which] << 16 | next(self.words)

    def symbol(self, which, table):
        frequencies, starts, slots = table
        state = self.states[which]
        symbol = int(slots[state & 4095])
        self.states[which] = int(frequencies[symbol]) * (state >> 12) + (state & 4095) - int(starts[symbol])
        self.refill(which)
        return symbol

    def finish(self):
        assert self.states == [65536, 65536] and next(self.words, None) is None


def read_varint(data, at):
    """Gives a LEB128 number and where the next thing begins."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def read_table(data, at):
    """Gives (frequencies, starts, symbol of each slot) and where the next thing begins."""
    count, at = read_varint(data, at)
    frequencies = []
    for _ in range(count):
        frequency, at = read_varint(data, at)
        frequencies.append(frequency)
    assert sum(frequencies) == 4096 and frequencies[-1] > 0
    frequencies = np.array(frequencies)
    return (frequencies, np.cumsum(frequencies) - frequencies, np.repeat(np.arange(count), frequencies)), at


def read_offsets(data, count):
    """Offsets of the streams of blocks, and where what follows them begins."""
    width = 4 if count < 2**29 else 8
    length = ((count + BLOCK - 1) // BLOCK + 1) * width
    offsets = np.frombuffer(data[:length], dtype="<u%d" % width).astype(np.int64)
    assert offsets[0] == 0 and (np.diff(offsets) >= 0).all()
    return offsets, length


def check_padding(data, used):
    assert len(data) == (used + 7) // 8 * 8 and not any(data[used:])


def read_rice(index, starts, count):
    """Positions of gaps in Golomb-Rice codes."""
    offsets, front = read_offsets(index, count)
    check_padding(index, front + int(offsets[-1]))
    positions = []
    for block, entries in enumerate(np.diff(starts)):
        stream = index[front + offsets[block] : front + offsets[block + 1]]
        assert (entries == 0) == (len(stream) == 0)
        if entries == 0:
            continue
        bits, at = Bits(stream[1:]), -1
        for _ in range(entries):
            at += 1 + (bits.ones() << stream[0] | bits.take(stream[0]))
            assert at < BLOCK
            positions.append(block * BLOCK + at)
        bits.finish()
    return np.array(positions, dtype=np.int64)


def read_positions(tensor, stem, stored, count):
    """Flat positions of the kept entries, and the first entry of every block."""
    kept, code = tensor["kept"], tensor["index"]
    blocks = (count + BLOCK - 1) // BLOCK
    if code == "all":
        assert kept == count and stem + ".index" not in stored and stem + ".blocks" not in stored
        return np.arange(count), np.minimum(np.arange(blocks + 1) * BLOCK, count)
    index = stored[stem + ".index"][2]
    starts = np.frombuffer(stored[stem + ".blocks"][2], dtype="<u8" if kept >= 2**32 else "<u4")[: blocks + 1]
    starts = starts.astype(np.int64)
    if code == "bitmap":
        marks = np.unpackbits(np.frombuffer(index, dtype=np.uint8), bitorder="little")
        positions = np.flatnonzero(marks[:count])
        assert not marks[count:].any()
    elif code == "rice":
        positions = read_rice(index, starts, count)
    else:
        assert code == "u16"
        inside = np.frombuffer(index, dtype="<u2")[:kept].astype(np.int64)
        positions = inside + BLOCK * np.repeat(np.arange(blocks), np.diff(starts))
    assert positions.size == kept and (np.diff(positions) > 0).all() and positions[-1] < count
    assert (np.searchsorted(positions, BLOCK * np.arange(blocks)) == starts[:-1]).all() and starts[-1] == kept
    return positions, starts


def read_coded(value, starts, size, count):
    """Items whose high byte, behind the exponent's turn to the top, is entropy-coded."""
    offsets, front = read_offsets(value, count)
    table, front = read_table(value, front)
    check_padding(value, front + int(offsets[-1]))
    items = []
    for block, entries in enumerate(np.diff(starts).tolist()):
        stream = value[front + offsets[block] : front + offsets[block + 1]]
        assert (entries == 0) == (len(stream) == 0)
        if entries == 0:
            continue
        raw = entries * (size - 1)
        rans = Rans(stream[raw:])
        for i in range(entries):
            low = int.from_bytes(stream[i * (size - 1) : (i + 1) * (size - 1)], "little")
            turned = rans.symbol(i & 1, table) << (8 * (size - 1)) | low
            items.append(turned >> 1 | (turned & 1) << (8 * size - 1))
        rans.finish()
    return np.array(items, dtype="<u%d" % size)


def read_added(tensor, stem, stored):
    """What codecs sign and int4 add, as float32."""
    kept, value = tensor["kept"], np.frombuffer(stored[stem + ".value"][2], dtype=np.uint8)
    if tensor["values"] == "sign":
        negative = np.unpackbits(value, bitorder="little")
        assert not negative[kept:].any()
        return np.where(negative[:kept] == 1, -1, 1).astype(np.float32) * np.float32(tensor["scale"])
    nibbles = np.stack([value & 15, value >> 4], axis=1).reshape(-1)
    assert not nibbles[kept:].any() and not (nibbles == 8).any()
    codes = nibbles[:kept].astype(np.int32)
    scales = np.frombuffer(stored[stem + ".scale"][2], dtype="<f2").astype(np.float32)
    return (codes - (codes & 8) * 2).astype(np.float32) * np.repeat(scales, 64)[:kept]


def apply_delta(base, tensor, stem, stored):
    """Replaces the kept positions of `base`, a flat array of unsigned integers, or adds to them."""
    out = base.copy()
    kept, count, dtype = tensor["kept"], out.size, tensor["dtype"]
    if kept == 0:
        return out
    positions, starts = read_positions(tensor, stem, stored, count)
    values = tensor.get("values", "plain")
    if values == "plain":
        out[positions] = as_items(stored[stem + ".value"][2], dtype)[:kept]
    elif values == "coded":
        out[positions] = read_coded(stored[stem + ".value"][2], starts, BITS[dtype] // 8, count)
    else:
        added = read_added(tensor, stem, stored)
        positions, added = positions[added != 0], added[added != 0]
        sums = widen(out[positions], dtype) + added
        out[positions] = round_items(sums, dtype)
    return out


def float_values(dtype):
    """Every finite value of an 8-bit dtype that is not negative, ascending by its bits."""
    exponent_bits, mantissa_bits = {"F8_E4M3": (4, 3), "F8_E5M2": (5, 2)}[dtype]
    bits = np.arange(0x7F if dtype == "F8_E4M3" else 0x7C)
    exponent, mantissa = bits >> mantissa_bits, bits & (2**mantissa_bits - 1)
    bias = 2 ** (exponent_bits - 1) - 1
    fraction = mantissa / 2.0**mantissa_bits + (exponent > 0)
    return fraction * 2.0 ** (np.maximum(exponent, 1) - bias)


def widen(items, dtype):
    """Items as float32."""
    if dtype == "F32":
        return items.astype("<u4").view("<f4")
    if dtype == "BF16":
        return (items.astype("<u4") << 16).view("<f4")
    if dtype == "F16":
        return items.astype("<u2").view("<f2").astype(np.float32)
    finite = float_values(dtype)
    special = np.full(128, np.nan)
    special[: finite.size] = finite
    if dtype == "F8_E5M2":
        special[0x7C] = np.inf
    magnitude = special[items & 0x7F]
    return np.where(items & 0x80, -magnitude, magnitude).astype(np.float32)


def round_items(values, dtype):
    """float32 as items, halves to even; what is too large becomes infinity, or NaN where there is none."""
    if dtype == "F32":
        return np.where(np.isnan(values), np.uint32(0x7FC00000), values.view("<u4"))
    if dtype == "BF16":
        bits = values.view("<u4").astype(np.uint64)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return np.where(np.isnan(values), np.uint16(0x7E00), values.astype("<f2").view("<u2"))
    finite, last = float_values(dtype), 0x7E if dtype == "F8_E4M3" else 0x7B
    magnitude = np.abs(values.astype(np.float64))
    above = np.minimum(np.searchsorted(finite, magnitude), last)
    below = np.maximum(above - 1, 0)
    to_above, to_below = finite[above] - magnitude, magnitude - finite[below]
    bits = np.where((to_below < to_above) | ((to_below == to_above) & (below % 2 == 0)), below, above)
    # Halfway to the next step that there would be, the even one: up when the last is odd.
    limit = finite[last] + (finite[last] - finite[last - 1]) / 2
    too_large = magnitude > limit if last % 2 == 0 else magnitude >= limit
    bits = np.where(too_large, 0x7F if dtype == "F8_E4M3" else 0x7C, bits)
    bits = bits | np.where(np.signbit(values), 0x80, 0)
    return np.where(np.isnan(values), 0x7F, bits).astype(np.uint8)


def read_delta(family, task, entry):
    """Gives {name: (dtype, shape, bytes)} of a full fine-tune."""
    merged = read_checkpoint(os.path.join(family, "merged"))
    model, ties = {}, {}
    for part in entry["files"]:
        if not os.path.basename(part["path"]).startswith("delta") or not part["path"].endswith(".safetensors"):
            continue
        stored, metadata = read_safetensors(os.path.join(family, *part["path"].split("/")))
        header = json.loads(metadata["taskfold"])
        assert header["format"] == 1 and header["codec"] == entry["codec"] and header["task"] == task
        for name, tensor in header["tensors"].items():
            kind, dtype, shape = tensor["kind"], tensor["dtype"], tensor["shape"]
            stem = tensor.get("stem", name)
            if kind == "alias":
                ties[name] = tensor
            elif kind == "whole":
                model[name] = (dtype, shape, stored[stem][2])
            elif kind == "same":
                model[name] = (dtype, shape, merged[name][2])
            else:
                base = as_items(merged[name][2], dtype)
                if kind == "rows":
                    base = base[: tensor["rows"] * int(np.prod(shape[1:], dtype=np.int64))]
                data = apply_delta(base, tensor, stem, stored).tobytes()
                if kind == "rows":
                    data += stored[stem + ".rows"][2]
                model[name] = (dtype, shape, data)
    for name, tensor in ties.items():
        model[name] = (tensor["dtype"], tensor["shape"], model[tensor["of"]][2])
    for name, (dtype, shape, data) in model.items():
        assert len(data) * 8 == int(np.prod(shape, dtype=np.int64)) * BITS[dtype], name
    return model


def decode_floats(data, dtype):
    """Bytes of F32, F16 or BF16 as float64."""
    if dtype == "BF16":
        return (np.frombuffer(data, dtype="<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    return np.frombuffer(data, dtype={"F32": "<f4", "F16": "<f2"}[dtype]).astype(np.float64)


def encode_floats(values, dtype):
    """Rounds to nearest even."""
    if dtype != "BF16":
        return values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
    bits = values.astype("<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2").tobytes()


def by_pattern(patterns, module, otherwise):
    """PEFT takes the first key that is the end of a module's name, at a dot, or a pattern for one."""
    for key, value in (patterns or {}).items():
        if re.match(r"(.*\.)?(%s)$" % key, module):
            return value
    return otherwise


def find_base(family, manifest):
    """Folder or file of the base: in the family, or where the family says."""
    if "files" in manifest["base"]:
        return os.path.join(family, "base")
    assert manifest["base"]["reference"].startswith(".."), "a base of the Hub must be given with --base"
    return os.path.join(family, manifest["base"]["reference"])


def read_lora(family, task, manifest, base):
    """Gives {name: (dtype, shape, bytes)} of a LoRA task merged into its base."""
    folder = os.path.join(family, "tasks", task)
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as file:
        config = json.load(file)
    assert config["peft_type"] == "LORA" and not config.get("use_dora")
    model = read_checkpoint(base or find_base(family, manifest))
    factors = {}
    for name, tensor in read_safetensors(os.path.join(folder, "adapter_model.safetensors"))[0].items():
        key = name[len("base_model.model.") :]
        match = re.match(r"(.+)\.lora_(embedding_)?([AB])(\.weight)?$", key)
        if match:
            factors.setdefault(match[1], {})[match[3]] = (tensor, match[2] is not None)
        else:
            model[key.replace(".modules_to_save", "").replace(".base_layer", "")] = tensor
    for module, sides in factors.items():
        (a, embedding), (b, _) = sides["A"], sides["B"]
        rank = a[1][0]
        assert rank == by_pattern(config.get("rank_pattern"), module, config["r"])
        alpha = by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
        scale = alpha / (np.sqrt(rank) if config.get("use_rslora") else rank)
        left, right = decode_floats(b[2], b[0]).reshape(-1, rank), decode_floats(a[2], a[0]).reshape(rank, -1)
        change = scale * (left @ right)
        dtype, shape, data = model[module + ".weight"]
        turned = embedding or (config.get("fan_in_fan_out") and tuple(shape) == change.shape[::-1])
        weight = decode_floats(data, dtype).reshape(shape[0], -1) + (change.T if turned else change)
        model[module + ".weight"] = (dtype, shape, encode_floats(weight, dtype))
    return model


def read_task(family, task, base=None):
    """Gives {name: (dtype, shape, bytes)} of one task's model."""
    with open(os.path.join(family, "family.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert manifest["taskfold"]["format"] == 1
    entry = next(entry for entry in manifest["tasks"] if entry["name"] == task)
    if entry["codec"] == "lora":
        return read_lora(family, task, manifest, base)
    assert entry["codec"] in ("exact", "sign", "int4")
    return read_delta(family, task, entry)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("family")
    parser.add_argument("task")
    parser.add_argument("--npz")
    parser.add_argument("--against")
    parser.add_argument("--base")
    arguments = parser.parse_args()
    model = read_task(arguments.family, arguments.task, arguments.base)
    if arguments.npz:
        np.savez(arguments.npz, **{name: as_items(data, dtype) for name, (dtype, _, data) in model.items()})
    elif arguments.against:
        original = read_checkpoint(arguments.against)
        wrong = [name for name in sorted(set(model) | set(original)) if model.get(name) != original.get(name)]
        for name in wrong:
            print("differs: " + name)
        sys.exit(1 if wrong else 0)
    else:
        rows = {
            name: {"dtype": dtype, "shape": shape, "sha256": hashlib.sha256(data).hexdigest()}
            for name, (dtype, shape, data) in model.items()
        }
        print(json.dumps(rows, sort_keys=True))


if __name__ == "__main__":
    main()
