"""A second, independent reader of the family pack (docs/FORMAT.md): standard library and numpy only.

It shares no code with taskfold and no design: it reads whole files and decodes with plain numpy, so that a mistake in
both is unlikely. It trusts its input and is for checking the format, not for use.

    read_family.py FAMILY TASK                    sha256 of every tensor as JSON
    read_family.py FAMILY TASK --npz OUT.npz      the tensors as unsigned integers of their item size
    read_family.py FAMILY TASK --against CKPT     compares with a .safetensors file or a folder; 1 when they differ
"""

import argparse
import hashlib
import json
import os
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


def apply_delta(base, tensor, stem, stored):
    """Replaces the kept positions of `base`, a flat array of unsigned integers."""
    out = base.copy()
    kept, count = tensor["kept"], out.size
    if kept == 0:
        return out
    value = as_items(stored[stem + ".value"][2], tensor["dtype"])[:kept]
    index = stored[stem + ".index"][2]
    blocks = (count + BLOCK - 1) // BLOCK
    starts = np.frombuffer(stored[stem + ".blocks"][2], dtype="<u8" if kept >= 2**32 else "<u4")[: blocks + 1]
    starts = starts.astype(np.int64)
    if tensor["index"] == "bitmap":
        marks = np.unpackbits(np.frombuffer(index, dtype=np.uint8), bitorder="little")
        positions = np.flatnonzero(marks[:count])
        assert not marks[count:].any()
    else:
        inside = np.frombuffer(index, dtype="<u2")[:kept].astype(np.int64)
        positions = inside + BLOCK * np.repeat(np.arange(blocks), np.diff(starts))
    assert positions.size == kept and (np.diff(positions) > 0).all() and positions[-1] < count
    assert (np.searchsorted(positions, BLOCK * np.arange(blocks)) == starts[:-1]).all() and starts[-1] == kept
    out[positions] = value
    return out


def read_task(family, task):
    """Gives {name: (dtype, shape, bytes)} of one task's model."""
    with open(os.path.join(family, "family.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    assert manifest["taskfold"]["format"] == 1
    entry = next(entry for entry in manifest["tasks"] if entry["name"] == task)
    merged = read_checkpoint(os.path.join(family, "merged"))
    model, ties = {}, {}
    for part in entry["files"]:
        if not os.path.basename(part["path"]).startswith("delta") or not part["path"].endswith(".safetensors"):
            continue
        stored, metadata = read_safetensors(os.path.join(family, *part["path"].split("/")))
        header = json.loads(metadata["taskfold"])
        assert header["format"] == 1 and header["codec"] == "exact" and header["task"] == task
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("family")
    parser.add_argument("task")
    parser.add_argument("--npz")
    parser.add_argument("--against")
    arguments = parser.parse_args()
    model = read_task(arguments.family, arguments.task)
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
