"""Tiny models for the system tests, written byte by byte: a GGUF file and a Hugging Face folder with the same
random weights and a byte-level SentencePiece vocabulary. Whatever a test wants to be wrong is an argument."""

import json
import random
import struct
from array import array

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
HIDDEN, FFN, HEADS, VOCABULARY = 64, 96, 2, 300
F32_TENSOR = 0


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    """A GGUF value without its key: (kind, content), arrays as (ARRAY, (kind, items))."""
    if kind == STRING:
        return string(content)
    if kind == ARRAY:
        inner, items = content
        return struct.pack("<IQ", inner, len(items)) + b"".join(value(inner, item) for item in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?", U64: "<Q"}[kind], content)


def vocabulary():
    """(pieces, scores, types): <unk> <s> </s>, the 256 bytes, then normal pieces."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    letters = ["\u2581"] + [chr(ord("a") + i) for i in range(26)] + ["th", "he", "\u2581the"]
    letters += [f"x{i}" for i in range(VOCABULARY - len(pieces) - len(letters))]
    pieces += letters
    kinds += [1] * len(letters)
    return pieces, [-float(i) for i in range(len(pieces))], kinds


def keys():
    pieces, scores, kinds = vocabulary()
    return {
        "general.architecture": (STRING, "llama"),
        "llama.block_count": (U32, 1),
        "llama.context_length": (U32, 128),
        "llama.embedding_length": (U32, HIDDEN),
        "llama.feed_forward_length": (U32, FFN),
        "llama.attention.head_count": (U32, HEADS),
        "llama.attention.head_count_kv": (U32, HEADS),
        "llama.attention.layer_norm_rms_epsilon": (F32, 1e-5),
        "llama.rope.dimension_count": (U32, HIDDEN // HEADS),
        "tokenizer.ggml.model": (STRING, "llama"),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, pieces)),
        "tokenizer.ggml.scores": (ARRAY, (F32, scores)),
        "tokenizer.ggml.token_type": (ARRAY, (I32, kinds)),
        "tokenizer.ggml.bos_token_id": (U32, 1),
        "tokenizer.ggml.eos_token_id": (U32, 2),
    }


SHAPES = {  # GGUF name: (Hugging Face name, rows, columns); vectors have no columns
    "token_embd.weight": ("model.embed_tokens.weight", VOCABULARY, HIDDEN),
    "blk.0.attn_norm.weight": ("model.layers.0.input_layernorm.weight", HIDDEN, None),
    "blk.0.attn_q.weight": ("model.layers.0.self_attn.q_proj.weight", HIDDEN, HIDDEN),
    "blk.0.attn_k.weight": ("model.layers.0.self_attn.k_proj.weight", HIDDEN, HIDDEN),
    "blk.0.attn_v.weight": ("model.layers.0.self_attn.v_proj.weight", HIDDEN, HIDDEN),
    "blk.0.attn_output.weight": ("model.layers.0.self_attn.o_proj.weight", HIDDEN, HIDDEN),
    "blk.0.ffn_norm.weight": ("model.layers.0.post_attention_layernorm.weight", HIDDEN, None),
    "blk.0.ffn_gate.weight": ("model.layers.0.mlp.gate_proj.weight", FFN, HIDDEN),
    "blk.0.ffn_up.weight": ("model.layers.0.mlp.up_proj.weight", FFN, HIDDEN),
    "blk.0.ffn_down.weight": ("model.layers.0.mlp.down_proj.weight", HIDDEN, FFN),
    "output_norm.weight": ("model.norm.weight", HIDDEN, None),
    "output.weight": ("lm_head.weight", VOCABULARY, HIDDEN),
}


def weights(rows, columns, seed):
    noise = random.Random(seed)
    return array("f", (noise.uniform(-0.2, 0.2) for _ in range(rows * (columns or 1)))).tobytes()


class Tensor:
    """One entry of a GGUF header; `dims` is innermost first, as the file has it."""

    def __init__(self, name, dims, data, kind=F32_TENSOR):
        self.name, self.dims, self.data, self.kind = name, dims, data, kind
        self.offset = None  # None: where the data really goes

    def entry(self, offset):
        dims = b"".join(struct.pack("<Q", size) for size in self.dims)
        return (string(self.name) + struct.pack("<I", len(self.dims)) + dims
                + struct.pack("<IQ", self.kind, offset if self.offset is None else self.offset))


def tensors():
    return [Tensor(name, [rows] if columns is None else [columns, rows], weights(rows, columns, name))
            for name, (_, rows, columns) in SHAPES.items()]


def gguf(metadata=None, contents=None, tensor_count=None, key_count=None, version=3, alignment=32):
    metadata = keys() if metadata is None else metadata
    contents = tensors() if contents is None else contents
    out = b"GGUF" + struct.pack("<IQQ", version, len(contents) if tensor_count is None else tensor_count,
                                len(metadata) if key_count is None else key_count)
    for key, (kind, content) in metadata.items():
        out += string(key) + struct.pack("<I", kind) + (content if isinstance(content, bytes) else value(kind, content))
    data = b""
    for tensor in contents:
        out += tensor.entry(len(data))
        data += tensor.data + b"\0" * (-len(tensor.data) % alignment)
    return out + b"\0" * (-len(out) % alignment) + data


def config():
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
            "intermediate_size": FFN, "num_hidden_layers": 1, "num_attention_heads": HEADS,
            "num_key_value_heads": HEADS, "vocab_size": VOCABULARY, "max_position_embeddings": 128,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False}


def safetensors_header():
    header, at = {}, 0
    for name, rows, columns in SHAPES.values():
        size = 4 * rows * (columns or 1)
        header[name] = {"dtype": "F32", "shape": [rows] if columns is None else [rows, columns],
                        "data_offsets": [at, at + size]}
        at += size
    return header


def safetensors(header=None, length=None):
    """`header` may be a dictionary or raw bytes; `length` lies about its size."""
    header = safetensors_header() if header is None else header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    data = b"".join(weights(rows, columns, name) for name, (_, rows, columns) in SHAPES.items())
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def write_folder(folder, settings=None, weights_file=None, **more):
    """A Hugging Face folder without a tokenizer; `more` are further files, by name with __ for a dot. An empty
    `weights_file` is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = config() if settings is None else settings
    (folder / "config.json").write_bytes(settings if isinstance(settings, bytes) else json.dumps(settings).encode())
    if weights_file != b"":
        (folder / "model.safetensors").write_bytes(safetensors() if weights_file is None else weights_file)
    for name, content in more.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder
