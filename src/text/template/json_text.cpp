// The filter tojson: Python's json.dumps with transformers' signature
// tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"
#include "text/template/machine.h"

namespace maestrale::text::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Machine& machine, std::size_t limit) : machine_(machine), limit_(limit) {}

  Status configure(const Bound& arguments) {
    ascii_ = !arguments[0].absent() && truthy(arguments[0]);
    const Value& indent = arguments[1];
    if (indent.is_string()) {
      indented_ = true;
      indent_ = indent.str();
    } else if (indent.is_integral()) {
      indented_ = true;
      const std::int64_t width = std::max<std::int64_t>(indent.as_int(), 0);
      if (width > kMaxIndent) return machine_.fail(fmt::format("tojson: an indent beyond {}", kMaxIndent));
      indent_ = std::string(static_cast<std::size_t>(width), ' ');
    } else if (!indent.absent() && !indent.is_none()) {
      return machine_.fail("tojson: indent must be an integer or a string");
    }
    if (indented_) item_separator_ = ",";
    const Value& separators = arguments[2];
    if (!separators.absent() && !separators.is_none()) {
      if (!separators.is_sequence() || separators.size != 2 || !separators.items[0].is_string() ||
          !separators.items[1].is_string()) {
        return machine_.fail("tojson: separators must be a pair of strings");
      }
      item_separator_ = separators.items[0].str();
      key_separator_ = separators.items[1].str();
    }
    sort_ = !arguments[3].absent() && truthy(arguments[3]);
    return {};
  }

  Status write(const Value& value, int depth) {
    TRY(machine_.charge(1 + value.size / 64));
    if (depth > kMaxDataDepth) return machine_.fail("tojson: nested too deep", ErrorKind::kResource);
    if (out_.size() > limit_)
      return machine_.fail("tojson: the result is beyond the limit", ErrorKind::kResource);
    switch (value.kind) {
      case Kind::kNone:
        out_ += "null";
        return {};
      case Kind::kBool:
        out_ += value.boolean ? "true" : "false";
        return {};
      case Kind::kInt:
        out_ += std::to_string(value.integer);
        return {};
      case Kind::kFloat:
        write_float(value.real);
        return {};
      case Kind::kString:
        write_string(value.str());
        return {};
      case Kind::kList:
      case Kind::kTuple:
        return write_list(value.elements(), depth);
      case Kind::kDict:
        return write_dict(*value.dict, depth);
      default:
        return machine_.fail(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static constexpr std::int64_t kMaxIndent = 1000;

  void newline(int depth) {
    if (!indented_) return;
    out_ += '\n';
    for (int i = 0; i < depth; ++i) out_ += indent_;
  }

  void write_float(double value) {
    if (std::isnan(value)) {
      out_ += "NaN";
    } else if (std::isinf(value)) {
      out_ += value < 0 ? "-Infinity" : "Infinity";
    } else {
      append_float(out_, value);
    }
  }

  void write_escaped(char32_t c) {
    if (c > 0xffff) {
      const char32_t rest = c - 0x10000;
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + static_cast<unsigned>(rest >> 10),
                          0xdc00 + static_cast<unsigned>(rest & 0x3ff));
    } else {
      out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    }
  }

  void write_string(std::string_view text) {
    out_ += '"';
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      static constexpr std::string_view kSpecial = "\"\\\n\r\t\f\b", kLetters = "\"\\nrtfb";
      const std::size_t special = kSpecial.find(c);
      const auto byte = static_cast<unsigned char>(c);
      if (special != kSpecial.npos) {
        out_ += '\\';
        out_ += kLetters[special];
      } else if (byte < 0x20 || (ascii_ && byte == 0x7f)) {
        write_escaped(byte);
      } else if (ascii_ && byte >= 0x80) {
        const DecodedCodepoint decoded = decode_utf8(text.substr(i));
        write_escaped(decoded.codepoint);
        i += static_cast<std::size_t>(decoded.length - 1);
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  Status write_list(std::span<const Value> items, int depth) {
    if (items.empty()) {
      out_ += "[]";
      return {};
    }
    out_ += '[';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += item_separator_;
      newline(depth + 1);
      TRY(write(items[i], depth + 1));
    }
    newline(depth);
    out_ += ']';
    return {};
  }

  Status write_key(const Value& key) {
    if (key.is_string()) {
      write_string(key.str());
      return {};
    }
    if (!key.is_number() && !key.is_none()) {
      return machine_.fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
    }
    out_ += '"';
    TRY(write(key, 0));
    out_ += '"';
    return {};
  }

  Status write_dict(const Dict& dict, int depth) {
    if (dict.size == 0) {
      out_ += "{}";
      return {};
    }
    std::vector<Entry> entries(dict.all().begin(), dict.all().end());
    if (sort_) {
      for (const Entry& entry : entries) TRY(machine_.compare(entries[0].key, entry.key));
      std::stable_sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) {
        const auto order = machine_.compare(a.key, b.key);
        return order.ok() && *order < 0;
      });
    }
    out_ += '{';
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += item_separator_;
      newline(depth + 1);
      TRY(write_key(entries[i].key));
      out_ += key_separator_;
      TRY(write(entries[i].value, depth + 1));
    }
    newline(depth);
    out_ += '}';
    return {};
  }

  Machine& machine_;
  std::size_t limit_;
  std::string out_;
  std::string indent_;
  std::string item_separator_ = ", ", key_separator_ = ": ";
  bool ascii_ = false, sort_ = false, indented_ = false;
};

}  // namespace

Result<Value> to_json(Machine& machine, const Value& value, const Bound& arguments) {
  JsonWriter writer(machine, machine.output_limit());
  TRY(writer.configure(arguments));
  TRY(writer.write(value, 0));
  const std::string text = writer.take();
  TRY(machine.room(text.size()));
  return machine.string(text);
}

}  // namespace maestrale::text::jinja
