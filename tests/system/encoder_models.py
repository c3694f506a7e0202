"""Tiny encoders with random weights, as Hugging Face folders and as GGUF files, and what they compute, written from
the papers' formulas in plain Python doubles (BERT: arXiv 1810.04805, Nomic: 2402.01613, Jina: 2310.19923)."""

import json
import math
import random
import struct

import tiny_models
from tiny_models import ARRAY, BOOL, F32, I32, STRING, U32, Tensor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat", "a", "dog", "ran", "far", "##s", "##ed",
         ".", ",", "in", "house", "of", "red", "blue", "sun", "moon", "walk", "talk", "tree", "bird", "sing", "fish"]
FFN, LAYERS, POSITIONS = 40, 2, 48
BERT, NOMIC, JINA, ROBERTA = "bert", "nomic-bert", "jina-bert-v2", "roberta"
HUGGING_FACE = {
    "token_embd": "embeddings.word_embeddings", "token_types": "embeddings.token_type_embeddings",
    "position_embd": "embeddings.position_embeddings", "token_embd_norm": "embeddings.LayerNorm",
    "attn_q": "attention.self.query", "attn_k": "attention.self.key", "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense", "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense", "ffn_down": "output.dense", "layer_output_norm": "output.LayerNorm",
    "ffn_gate_up": "mlp.gated_layers"}
NOMIC_NAMES = {"token_embd_norm": "emb_ln", "attn_qkv": "attn.Wqkv", "attn_output": "attn.out_proj",
               "attn_output_norm": "norm1", "ffn_gate": "mlp.fc12", "ffn_up": "mlp.fc11", "ffn_down": "mlp.fc2",
               "layer_output_norm": "norm2"}
JINA_NAMES = {"ffn_down": "mlp.wo", "layer_output_norm": "mlp.layernorm"}


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


class TinyEncoder:
    """weights: canonical name with suffix -> rows of a matrix, or a vector."""

    def __init__(self, kind, scorer=False):
        self.kind, self.scorer = kind, scorer
        self.heads = 6 if kind == JINA else 4
        self.hidden = 8 * self.heads
        self.eps = 1e-5
        self.first_position = 2 if kind == ROBERTA else 0
        self.random = random.Random(kind)
        self.weights = {}
        self.matrix("token_embd", len(WORDS), self.hidden, False)
        self.matrix("token_types", 1 if kind == ROBERTA else 2, self.hidden, False)
        if kind in (BERT, ROBERTA):
            self.matrix("position_embd", POSITIONS + self.first_position, self.hidden, False)
        self.norm("token_embd_norm")
        for layer in range(LAYERS):
            self.layer(f"blk.{layer}.")
        if scorer:
            self.matrix("cls", self.hidden, self.hidden, True)
            self.matrix("cls.output", 1, self.hidden, True)

    def vector(self, name, size, middle=0.0):
        self.weights[name] = [f32(middle + self.random.uniform(-0.3, 0.3)) for _ in range(size)]

    def matrix(self, name, rows, columns, bias):
        size = 1.6 / math.sqrt(columns)
        self.weights[name + ".weight"] = [[f32(self.random.uniform(-size, size)) for _ in range(columns)]
                                          for _ in range(rows)]
        if bias:
            self.vector(name + ".bias", rows)

    def norm(self, name):
        self.vector(name + ".weight", self.hidden, 1.0)
        self.vector(name + ".bias", self.hidden)

    def layer(self, prefix):
        biases, gated = self.kind != NOMIC, self.kind in (NOMIC, JINA)
        for part in ("q", "k", "v", "output"):
            self.matrix(prefix + "attn_" + part, self.hidden, self.hidden, biases)
        if gated:
            self.matrix(prefix + "ffn_gate", FFN, self.hidden, False)
        self.matrix(prefix + "ffn_up", FFN, self.hidden, not gated)
        self.matrix(prefix + "ffn_down", self.hidden, FFN, biases)
        self.norm(prefix + "attn_output_norm")
        self.norm(prefix + "layer_output_norm")

    # --- what it computes

    def linear(self, name, x):
        bias = self.weights.get(name + ".bias", None)
        return [sum(w * v for w, v in zip(row, x)) + (bias[i] if bias else 0.0)
                for i, row in enumerate(self.weights[name + ".weight"])]

    def normalised(self, name, x):
        mean = sum(x) / len(x)
        variance = sum((v - mean) ** 2 for v in x) / len(x)
        scale, shift = self.weights[name + ".weight"], self.weights[name + ".bias"]
        return [(v - mean) / math.sqrt(variance + self.eps) * a + b for v, a, b in zip(x, scale, shift)]

    def rotated(self, head, position):
        if self.kind != NOMIC:
            return head
        half, out = len(head) // 2, list(head)
        for i in range(half):
            angle = position * 1000.0 ** (-2 * i / len(head))
            out[i] = head[i] * math.cos(angle) - head[i + half] * math.sin(angle)
            out[i + half] = head[i + half] * math.cos(angle) + head[i] * math.sin(angle)
        return out

    def slope(self, head):
        """Heads 1, 2, 4, 8: 2^-(8 (h + 1) / n); further heads take every other slope of twice as many."""
        whole = 2 ** int(math.log2(self.heads))
        if head < whole:
            return 2 ** (-8 * (head + 1) / whole)
        return 2 ** (-8 * (2 * (head - whole) + 1) / (2 * whole))

    def attention(self, prefix, states):
        size, out = self.hidden // self.heads, [[] for _ in states]
        q, k, v = ([self.linear(prefix + "attn_" + part, x) for x in states] for part in "qkv")
        for head in range(self.heads):
            part = slice(head * size, (head + 1) * size)
            queries = [self.rotated(x[part], i) for i, x in enumerate(q)]
            keys = [self.rotated(x[part], i) for i, x in enumerate(k)]
            for i, query in enumerate(queries):
                scores = [sum(a * b for a, b in zip(query, key)) / math.sqrt(size)
                          - (self.slope(head) * abs(i - j) if self.kind == JINA else 0.0)
                          for j, key in enumerate(keys)]
                weights = [math.exp(score - max(scores)) for score in scores]
                out[i] += [sum(w * v[j][column] for j, w in enumerate(weights)) / sum(weights)
                           for column in range(head * size, (head + 1) * size)]
        return [self.linear(prefix + "attn_output", x) for x in out]

    def feed_forward(self, prefix, x):
        gelu = lambda value: value * 0.5 * (1 + math.erf(value / math.sqrt(2)))  # noqa: E731
        silu = lambda value: value / (1 + math.exp(-value))  # noqa: E731
        up = self.linear(prefix + "ffn_up", x)
        if self.kind in (NOMIC, JINA):
            act = silu if self.kind == NOMIC else gelu
            up = [act(g) * u for g, u in zip(self.linear(prefix + "ffn_gate", x), up)]
        else:
            up = [gelu(value) for value in up]
        return self.linear(prefix + "ffn_down", up)

    def states(self, tokens, types=None):
        states = []
        for position, token in enumerate(tokens):
            rows = [self.weights["token_embd.weight"][token],
                    self.weights["token_types.weight"][types[position] if types else 0]]
            if "position_embd.weight" in self.weights:
                rows.append(self.weights["position_embd.weight"][position + self.first_position])
            states.append(self.normalised("token_embd_norm", [sum(values) for values in zip(*rows)]))
        for layer in range(LAYERS):
            prefix = f"blk.{layer}."
            mixed = self.attention(prefix, states)
            states = [self.normalised(prefix + "attn_output_norm", [a + b for a, b in zip(x, y)])
                      for x, y in zip(states, mixed)]
            states = [self.normalised(prefix + "layer_output_norm",
                                      [a + b for a, b in zip(x, self.feed_forward(prefix, x))]) for x in states]
        return states

    def score(self, tokens, types):
        dense = [math.tanh(value) for value in self.linear("cls", self.states(tokens, types)[0])]
        return 1 / (1 + math.exp(-self.linear("cls.output", dense)[0]))

    # --- its files

    def fused(self):
        """(name, rows) in the file's order; nomic joins q, k, v, and Jina's folders gate and up."""
        out = {}
        for name, values in self.weights.items():
            if self.kind == NOMIC and ".attn_q." in name:
                values = values + self.weights[name.replace("_q.", "_k.")] + self.weights[name.replace("_q.", "_v.")]
                name = name.replace("_q.", "_qkv.")
            elif self.kind == NOMIC and (".attn_k." in name or ".attn_v." in name):
                continue
            out[name] = values
        return out

    def hugging_face_name(self, name):
        stem, suffix = name.rsplit(".", 1)
        prefix = "roberta." if self.kind == ROBERTA and self.scorer else "bert." if self.scorer else ""
        if stem.startswith("cls"):
            if self.kind == ROBERTA:
                return ("classifier.out_proj." if stem == "cls.output" else "classifier.dense.") + suffix
            return ("classifier." if stem == "cls.output" else "bert.pooler.dense.") + suffix
        layer = "encoder.layers." if self.kind == NOMIC else "encoder.layer."
        if stem.startswith("blk."):
            prefix += layer + stem.split(".")[1] + "."
            stem = stem.split(".", 2)[2]
        names = {**HUGGING_FACE, **(NOMIC_NAMES if self.kind == NOMIC else JINA_NAMES if self.kind == JINA else {})}
        return prefix + names[stem] + "." + suffix

    def hugging_face_weights(self):
        out = {}
        for name, values in self.fused().items():
            if self.kind == JINA and ".ffn_gate." in name:
                out[self.hugging_face_name(name.replace("_gate", "_gate_up"))] = (
                    values + self.weights[name.replace("gate", "up")])
            elif not (self.kind == JINA and ".ffn_up." in name):
                out[self.hugging_face_name(name)] = values
        if self.kind == BERT and not self.scorer:  # training's leftovers
            out["pooler.dense.weight"] = out["encoder.layer.0.attention.output.dense.weight"]
            out["pooler.dense.bias"] = out["encoder.layer.0.attention.output.dense.bias"]
        return out

    def config(self):
        shared = {"vocab_size": len(WORDS), "model_type": "bert", "torch_dtype": "float32"}
        if self.kind == NOMIC:
            return {**shared, "architectures": ["NomicBertModel"], "n_embd": self.hidden, "n_head": self.heads,
                    "n_layer": LAYERS, "n_inner": FFN, "n_positions": POSITIONS, "activation_function": "swiglu",
                    "layer_norm_epsilon": self.eps, "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
                    "rotary_emb_interleaved": False, "rotary_emb_scale_base": None, "rotary_scaling_factor": None,
                    "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False, "prenorm": False,
                    "causal": False, "use_rms_norm": False, "parallel_block": False, "scale_attn_weights": True,
                    "type_vocab_size": 2, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
        names = {BERT: "Bert", ROBERTA: "XLMRoberta", JINA: "JinaBert"}
        head = "ForSequenceClassification" if self.scorer else "ForMaskedLM" if self.kind == JINA else "Model"
        config = {**shared, "architectures": [names[self.kind] + head], "hidden_size": self.hidden,
                  "num_attention_heads": self.heads, "num_hidden_layers": LAYERS, "intermediate_size": FFN,
                  "max_position_embeddings": POSITIONS + self.first_position, "hidden_act": "gelu",
                  "layer_norm_eps": self.eps, "type_vocab_size": 2, "pad_token_id": 1 if self.kind == ROBERTA else 0,
                  "attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1,
                  "position_embedding_type": "alibi" if self.kind == JINA else "absolute", "use_cache": True}
        if self.kind == JINA:
            config |= {"feed_forward_type": "geglu", "emb_pooler": "mean", "attn_implementation": "torch"}
        return config

    def write_folder(self, folder, pooling=None):
        header, data = {}, b""
        for name, values in self.hugging_face_weights().items():
            matrix = isinstance(values[0], list)
            flat = [v for row in values for v in row] if matrix else values
            packed = struct.pack(f"<{len(flat)}f", *flat)
            header[name] = {"dtype": "F32", "shape": [len(values), len(values[0])] if matrix else [len(values)],
                            "data_offsets": [len(data), len(data) + len(packed)]}
            data += packed
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
        (folder / "config.json").write_text(json.dumps(self.config()))
        (folder / "tokenizer.json").write_text(json.dumps({
            "version": "1.0",
            "added_tokens": [{"id": i, "content": WORDS[i], "special": True, "normalized": False, "lstrip": False,
                              "rstrip": False, "single_word": False} for i in range(4)],
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                           "strip_accents": None, "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {word: i for i, word in enumerate(WORDS)}}}))
        if pooling:
            (folder / "modules.json").write_text(json.dumps([
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]))
            (folder / "1_Pooling").mkdir(exist_ok=True)
            modes = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": False, "pooling_mode_max_tokens": False}
            (folder / "1_Pooling" / "config.json").write_text(json.dumps(
                {"word_embedding_dimension": self.hidden, **modes, pooling: True}))
        return folder

    def gguf(self, pooling=1):
        arch = BERT if self.kind == ROBERTA else self.kind
        pieces = [word[2:] if word.startswith("##") else word if word.startswith("[") else "▁" + word for word in WORDS]
        keys = {
            "general.architecture": (STRING, arch), f"{arch}.block_count": (U32, LAYERS),
            f"{arch}.context_length": (U32, POSITIONS), f"{arch}.embedding_length": (U32, self.hidden),
            f"{arch}.feed_forward_length": (U32, FFN), f"{arch}.attention.head_count": (U32, self.heads),
            f"{arch}.attention.layer_norm_epsilon": (F32, self.eps), f"{arch}.attention.causal": (BOOL, False),
            f"{arch}.pooling_type": (U32, pooling), "general.file_type": (U32, 0),
            "tokenizer.ggml.model": (STRING, "bert"), "tokenizer.ggml.pre": (STRING, "default"),
            "tokenizer.ggml.token_type_count": (U32, 2),
            "tokenizer.ggml.tokens": (ARRAY, (STRING, pieces)),
            "tokenizer.ggml.token_type": (ARRAY, (I32, [3, 2, 3, 3] + [1] * (len(WORDS) - 4))),
            "tokenizer.ggml.scores": (ARRAY, (F32, [-1000.0] * len(WORDS))),
            "tokenizer.ggml.bos_token_id": (U32, 2), "tokenizer.ggml.eos_token_id": (U32, 3),
            "tokenizer.ggml.cls_token_id": (U32, 2), "tokenizer.ggml.seperator_token_id": (U32, 3),
            "tokenizer.ggml.unknown_token_id": (U32, 1), "tokenizer.ggml.padding_token_id": (U32, 0)}
        if self.kind == NOMIC:
            keys[f"{arch}.rope.freq_base"] = (F32, 1000.0)
        tensors = []
        for name, values in self.fused().items():
            if name.startswith("position_embd"):
                values = values[self.first_position:]
            matrix = isinstance(values[0], list)
            flat = [v for row in values for v in row] if matrix else values
            tensors.append(Tensor(name, [len(values[0]), len(values)] if matrix else [len(values)],
                                  struct.pack(f"<{len(flat)}f", *flat)))
        return tiny_models.gguf(keys, tensors)
