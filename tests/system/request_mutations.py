"""Requests that are right, one for each way of asking, and what makes them wrong: another kind of value, a value out of
its range, an unknown or a missing field at any depth, and bytes that are no JSON."""

import json

TOOL = {"type": "function", "function": {"name": "look", "description": "d", "strict": False,
                                         "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": {"type": "object"}}}
TURNS = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": "assistant", "content": "b", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]},
    {"role": "user", "content": "c", "name": "n"},
]
CHAT = {"model": "tiny", "messages": TURNS, "max_tokens": 4, "temperature": 0.5, "top_p": 0.5, "stop": ["x"], "seed": 1,
        "stream": False, "tools": [TOOL], "tool_choice": "auto", "presence_penalty": 0.5, "frequency_penalty": 0.5, "n": 1}
BODIES = {
    "/v1/chat/completions": CHAT | {
        "max_completion_tokens": 4, "logprobs": True, "top_logprobs": 2, "logit_bias": {"5": 1},
        "parallel_tool_calls": True, "user": "u", "top_k": 5, "min_p": 0.1},
    "/v1/chat/completions#stream": {"model": "tiny", "messages": TURNS[:2], "stream": True,
                                    "stream_options": {"include_usage": True}},
    "/v1/chat/completions#format": {"model": "tiny", "messages": TURNS[:2], "response_format": SCHEMA},
    "/v1/chat/completions#choice": {
        "model": "tiny", "messages": TURNS[:2], "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "look"}}},
    "/v1/completions": {"model": "tiny", "prompt": "hi", "max_tokens": 4, "temperature": 0.5, "n": 1, "echo": True,
                        "stop": ["x"], "stream": False, "seed": 1, "logit_bias": {"5": 1}},
    "/v1/completions#logprobs": {"model": "tiny", "prompt": [5, 6], "logprobs": 1, "max_tokens": 4},
    "/v1/messages": {
        "model": "tiny", "max_tokens": 4, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "stop_sequences": ["x"],
        "stream": False, "system": [{"type": "text", "text": "s"}], "metadata": {"user_id": "u"},
        "tools": [{"name": "look", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 2},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""},
                                              {"type": "tool_use", "id": "c1", "name": "look", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": False,
                                          "content": [{"type": "text", "text": "r"}]}]}]},
    "/v1/messages/count_tokens": {
        "model": "tiny", "system": "s", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "tools": [{"name": "look", "description": "d", "input_schema": {"type": "object"}}]},
    "/api/chat": {
        "model": "tiny", "stream": False, "keep_alive": "5m", "tools": [TOOL],
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"},
                     {"role": "assistant", "content": "b", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]},
                     {"role": "tool", "content": "r", "tool_name": "look"}, {"role": "user", "content": "c"}],
        "options": {"num_predict": 4, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "seed": 1, "stop": ["x"],
                    "min_p": 0.1, "repeat_penalty": 1.5, "presence_penalty": 0.5, "frequency_penalty": 0.5}},
    "/api/generate": {"model": "tiny", "prompt": "hi", "stream": False, "system": "s", "raw": False,
                      "options": {"num_predict": 4, "temperature": 0.5}},
    "/v1/fim/completions": {"model": "tiny", "prompt": "hi", "max_tokens": 4, "stop": ["x"],
                            "temperature": 0.5, "top_p": 0.5, "stream": False, "random_seed": 1},
    "/v1/responses": {
        "model": "tiny", "instructions": "s", "max_output_tokens": 4, "temperature": 0.5, "top_p": 0.5, "stream": False,
        "store": False, "metadata": {"k": "v"}, "tool_choice": "auto", "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}},
        "tools": [{"type": "function", "name": "look", "description": "d", "parameters": {"type": "object"}}],
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
                  {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                  {"type": "function_call_output", "call_id": "c1", "output": "r"}]},
    "/v1/embeddings": {"model": "embed", "input": "hi", "encoding_format": "float", "user": "u"},
    "/api/embed": {"model": "embed", "input": "hi", "truncate": False},
    "/v1/rerank": {"model": "embed", "query": "hi", "documents": ["hi", "ho"], "top_n": 1, "return_documents": True},
    "/tokenize": {"model": "tiny", "prompt": "hi"},
    "/detokenize": {"model": "tiny", "tokens": [5, 6]},
}
WRONG = {
    float: ["1", True, [], {}, -1e9, 1e300, [1]],
    int: ["1", True, [], {}, 1.5, -10**12, 1e300, 10**30],
    bool: [1, 0, "true", [], {}],
    str: [1, True, [], {}, [1]],
    dict: [1, "x", True, [1]],
    list: [1, True, {"a": 1}],
}
# Where more than one kind of value is right, and where what stands within is the client's own.
ALSO = {"stop": (str,), "prompt": (list,), "input": (str, list), "content": (str, list), "system": (str, list),
        "tool_choice": (str, dict), "arguments": (str, dict), "keep_alive": (int, float), "output": (list,)}
OWN = {"parameters", "schema", "input_schema", "logit_bias", "metadata", "arguments"}
REQUIRED = {
    "/v1/chat/completions": ["model", "messages", "messages[0].role", "messages[1].content[0].type",
                             "messages[1].content[0].text", "messages[2].tool_calls[0].function",
                             "messages[2].tool_calls[0].function.name", "messages[3].tool_call_id", "tools[0].function",
                             "tools[0].function.name"],
    "/v1/chat/completions#format": ["response_format.type", "response_format.json_schema"],
    "/v1/chat/completions#choice": ["tool_choice.function", "tool_choice.function.name"],
    "/v1/completions": ["model", "prompt"],
    "/v1/messages": ["model", "messages", "max_tokens", "messages[0].role", "messages[0].content",
                     "messages[0].content[0].type", "messages[1].content[1].id", "messages[1].content[1].input",
                     "messages[2].content[0].tool_use_id", "tools[0].name", "tools[0].input_schema", "tool_choice.type",
                     "thinking.budget_tokens", "system[0].text"],
    "/v1/messages/count_tokens": ["model", "messages", "messages[0].role", "tools[0].input_schema"],
    "/api/chat": ["model", "messages[1].role", "messages[2].tool_calls[0].function", "tools[0].function.name"],
    "/api/generate": ["model"],
    "/v1/fim/completions": ["model", "prompt"],
    "/v1/responses": ["model", "input", "input[0].role", "input[1].call_id", "input[1].name", "input[2].call_id",
                      "input[2].output", "tools[0].name", "text.format.type"],
    "/v1/embeddings": ["model", "input"],
    "/api/embed": ["model"],
    "/v1/rerank": ["model", "query", "documents"],
    "/tokenize": ["model", "prompt"],
    "/detokenize": ["model", "tokens"],
}
# What the fields of these names cannot hold, though it is of the right kind.
RANGES = {
    "temperature": [-0.5, 1000, -1e-9], "top_p": [-0.1, 1.5, 1e9], "n": [0, -1, 100000], "max_tokens": [-5, 2**40],
    "top_logprobs": [-1, 1000], "role": ["wizard", "", "User", "x" * 100000], "stop": [[""], ["x" * 5000], ["x"] * 100],
    "encoding_format": ["base65"], "name": ["", "x" * 300], "budget_tokens": [0, -1],
    "max_output_tokens": [0, -3], "tokens": [[-1], [2**40], [1.5], ["x"], [None]], "arguments": ["{", "[]", "5"],
    "type": ["", "wonder", "x" * 100000], "tool_choice": ["maybe", {"type": "wonder"}],
}


def places(value, path=(), name=""):
    """(path, name in errors, value) of everything within."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        called = f"{name}[{key}]" if isinstance(key, int) else f"{name}.{key}" if name else key
        yield (*path, key), called, inner
        if not owned(key, value):
            yield from places(inner, (*path, key), called)


def owned(key, container):
    return key in OWN or (key == "input" and "id" in container)  # the arguments of a call


def placed(body, path, change):
    """A copy of the body in which change(container, key) was done at the path."""
    copy = json.loads(json.dumps(body))
    container = copy
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return copy


EVERYWHERE = {way: list(places(body)) for way, body in BODIES.items()}


def wrong_values(key, value):
    """Values of another kind than the field takes."""
    kinds = {type(value), *ALSO.get(key, ())}
    if kinds & {int, float}:
        kinds |= {int, float} if key in ALSO else set()
    negative = [-10**12] if key in ("seed", "random_seed") else []  # any whole number of 64 bits is one
    numbers = (int, float) if type(value) in (int, float) else ()
    return [wrong for wrong in WRONG[type(value)] if (type(wrong) not in kinds or type(wrong) in numbers) and wrong not in negative]


def with_another_kind(random_source, way):
    path, name, value = random_source.choice(EVERYWHERE[way])
    of_history = path[-1] == "name" and path[0] != "tools"  # what was called once may have any name
    ranges = [] if of_history or random_source.random() < 0.5 else RANGES.get(path[-1], [])
    choices = wrong_values(path[-1], value) + ranges
    if not choices:
        return None
    wrong = random_source.choice(choices)
    name = "prompt" if path[0] == "prompt" else name  # texts or tokens: what is wrong with the list
    return placed(BODIES[way], path, lambda inside, key: inside.__setitem__(key, wrong)), name


def with_an_unknown_field(random_source, way):
    unknown = "".join(random_source.choice("abcdefgh_") for _ in range(12))
    objects = [((), "", BODIES[way])] + [
        place for place in EVERYWHERE[way] if isinstance(place[2], dict) and place[0][-1] not in OWN | {"input"}]
    path, name, _ = random_source.choice(objects)
    value = random_source.choice([1, "x", True, [], {}])
    return placed(BODIES[way], (*path, unknown), lambda inside, key: inside.__setitem__(key, value)), f"{name}.{unknown}".lstrip(".")


def without_a_field(random_source, way):
    name = random_source.choice(REQUIRED.get(way) or [None])
    path = next((path for path, called, _ in EVERYWHERE[way] if called == name), None)
    return path and (placed(BODIES[way], path, lambda inside, key: inside.__delitem__(key)), name)


def no_json(random_source, way):
    """Bytes that are no JSON object in UTF-8."""
    text = json.dumps(BODIES[way])
    data = text.encode()
    at = random_source.randrange(1, len(data) - 1)
    odd_number = random_source.choice(["NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1.", ".5", "1e", "--1", "1_000"])
    return random_source.choice([
        data[:at], data[:at] + bytes([random_source.randrange(128, 256)]) + data[at:], b"[" * 5000, b'{"a":' * 5000, b"",
        b"null", b"[]", b"\x00" * 10, data + b"x", data + data, data.replace(b'"', b"'"), b'{"model": "\\ud800"}',
        b'{"model": "\\udc00\\ud800"}', b"{" + b'"x":1,' * 3, b"\xef\xbb\xbf" + data, text.encode("utf-16"), text.encode("utf-32"),
        data.replace(b'"tiny"', b'"ti\xc0\x80ny"').replace(b'"embed"', b'"em\xed\xa0\x80bed"'),
        data.replace(b'"tiny"', b'"ti\nny"').replace(b'"embed"', b'"em\x00bed"'),
        data[:-1] + b', "a": ' + odd_number.encode() + b"}", b"// c\n" + data, data[:-1] + b",}", b'{"a":' + b"9" * 10000 + b"."]), None


def malformed(random_source):
    """(path, body, the name that the error must hold or None) without end."""
    ways = list(BODIES)
    kinds = [with_another_kind] * 5 + [with_an_unknown_field] * 2 + [without_a_field] * 2 + [no_json] * 2
    while True:
        way = random_source.choice(ways)
        made = random_source.choice(kinds)(random_source, way)
        if made:
            yield way.split("#")[0], *made
