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

from read_sparse import BITS, add_values, apply_delta, as_items
from read_streams import read_step


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


def read_stream(family, task, entry):
    """Gives {name: (dtype, shape, bytes)} of a full fine-tune whose remainder is one stream."""
    merged = read_checkpoint(os.path.join(family, "merged"))
    stored, metadata = read_safetensors(os.path.join(family, "tasks", task, "delta.safetensors"))
    header = json.loads(metadata["taskfold"])
    assert header["format"] == 1 and header["codec"] == entry["codec"] and header["task"] == task
    assert header["absent"] == sorted(header["absent"], key=str.encode)
    left = set(stored)
    model, coded = {}, {}
    for name, tensor in header["tensors"].items():
        kind, dtype, shape = tensor["kind"], tensor["dtype"], tensor["shape"]
        stem = tensor.get("stem", name)
        if kind == "whole":
            model[name] = (dtype, shape, stored[stem][2])
            left.remove(stem)
        elif kind == "same":
            model[name] = merged[name]
        elif kind == "rows":
            assert "kept" not in tensor and "index" not in tensor
            elements = tensor["rows"] * int(np.prod(shape[1:], dtype=np.int64))
            coded[name] = (dtype, shape, as_items(merged[name][2], dtype)[:elements].copy(), stored[stem + ".rows"][2])
            left.remove(stem + ".rows")
    for name, (dtype, shape, data) in merged.items():
        if name not in header["tensors"] and name not in header["absent"]:
            assert dtype in ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"), name
            coded[name] = (dtype, shape, as_items(data, dtype).copy(), b"")
    order = [name for name in sorted(coded, key=str.encode) if coded[name][2].size > 0]
    assert (header["coded"] is None) == (order == [])
    if order:
        tables, directory, codes = (header["coded"][key] for key in ("tables", "directory", "codes"))
        left -= {tables, directory, codes}
        sizes = [coded[name][2].size for name in order]
        values = read_step(stored[tables][2], stored[directory][2], stored[codes][2], sizes, header["step"])
        for name, (positions, added) in zip(order, values):
            add_values(coded[name][2], positions, added, coded[name][0])
    assert not left, left
    for name, (dtype, shape, items, rows) in coded.items():
        model[name] = (dtype, shape, items.tobytes() + rows)
    for name, tensor in header["tensors"].items():
        if tensor["kind"] == "alias":
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
    if entry["codec"] == "step":
        return read_stream(family, task, entry)
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
