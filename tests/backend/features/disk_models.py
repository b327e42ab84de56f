"""Tiny models on disk, made by the libraries that read them."""

from pathlib import Path

import numpy as np
import pytest


def save_text_model(folder: Path, words: tuple[str, ...] = ("good", "bad"), seed: int = 0) -> Path:
    """A model of model2vec that knows a few words: vectors of 4 numbers."""
    tokenizers = pytest.importorskip("tokenizers")
    model2vec = pytest.importorskip("model2vec")
    vocabulary = {word: number for number, word in enumerate(("[UNK]", *words))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    vectors = np.random.RandomState(seed).normal(size=(len(vocabulary), 4)).astype(np.float32)
    model2vec.StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder


def save_image_model(
    file: Path,
    shape: tuple[int | str, ...] = ("N", 3, 8, 8),
    kind: str = "FLOAT",
    scale: float = 1.0,
) -> Path:
    """An ONNX model whose vector is the mean of each channel."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    number = getattr(onnx.TensorProto, kind)
    places = [2, 3] if shape[1] == 3 else [1, 2]
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node
    graph = onnx.helper.make_graph(
        [
            node("ReduceMean", ["image", "places"], ["mean"], keepdims=0),
            node("Mul", ["mean", "scale"], ["vector"]),
        ],
        "means",
        [value("image", number, shape)],
        [value("vector", number, [shape[0], 3])],
        [
            onnx.helper.make_tensor("places", onnx.TensorProto.INT64, [2], places),
            onnx.helper.make_tensor("scale", number, [], [scale]),
        ],
    )
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), file)
    return file
