#include "files/safetensors_header.h"

#include <boost/json/basic_parser_impl.hpp>
#include <limits>
#include <unordered_set>

namespace maestrale::files {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxDimensions = 8;
constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// Receives the parser's events. Each returns false after it has written down what is wrong.
class Handler {
 public:
  static constexpr std::size_t max_object_size = kNoLimit;
  static constexpr std::size_t max_array_size = kNoLimit;
  static constexpr std::size_t max_key_size = kNoLimit;
  static constexpr std::size_t max_string_size = kNoLimit;
  using Code = bj::error_code;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code& code) {
    if (depth_ == 2 || (depth_ == 1 && in_array_)) return refuse(code, "an object where none belongs");
    ++depth_;
    seen_ = 0;
    return true;
  }
  bool on_object_end(std::size_t, Code& code) {
    --depth_;
    if (depth_ == 1 && !in_metadata_) return finish_entry(code);
    in_metadata_ = false;
    return true;
  }
  bool on_array_begin(Code& code) {
    const bool expected =
        depth_ == 2 && !in_metadata_ && !in_array_ && (key_ == "shape" || key_ == "data_offsets");
    in_array_ = true;
    numbers_.clear();
    return expected || refuse(code, "an array where none belongs");
  }
  bool on_array_end(std::size_t, Code& code) {
    in_array_ = false;
    return key_ == "shape" ? store_shape(code) : store_extent(code);
  }
  bool on_key_part(bj::string_view part, std::size_t, Code&) { return append(part); }
  bool on_key(bj::string_view part, std::size_t, Code& code) {
    append(part);
    key_ = std::exchange(text_, {});
    return depth_ == 1 ? begin_entry(code) : begin_field(code);
  }
  bool on_string_part(bj::string_view part, std::size_t, Code&) { return append(part); }
  bool on_string(bj::string_view part, std::size_t, Code& code) {
    append(part);
    std::string value = std::exchange(text_, {});
    if (depth_ != 2 || in_array_) return refuse(code, "a string where none belongs");
    if (in_metadata_) {
      header_.metadata.emplace_back(key_, std::move(value));
      return true;
    }
    if (key_ != "dtype") return refuse(code, "field '" + key_ + "' is a string");
    header_.entries.back().dtype = std::move(value);
    return true;
  }
  bool on_number_part(bj::string_view, Code&) { return true; }
  bool on_int64(std::int64_t value, bj::string_view, Code& code) {
    return value < 0 ? refuse(code, "a negative number")
                     : add_number(static_cast<std::uint64_t>(value), code);
  }
  bool on_uint64(std::uint64_t value, bj::string_view, Code& code) { return add_number(value, code); }
  bool on_double(double, bj::string_view, Code& code) {
    return refuse(code, "a number that is not an integer");
  }
  bool on_bool(bool, Code& code) { return refuse(code, "a boolean where none belongs"); }
  bool on_null(Code& code) {
    if (depth_ != 1 || !in_metadata_) return refuse(code, "a null where none belongs");
    in_metadata_ = false;  // "__metadata__": null is in use
    return true;
  }
  bool on_comment_part(bj::string_view, Code&) { return true; }
  bool on_comment(bj::string_view, Code&) { return true; }

  SafetensorsHeader take_header() { return std::move(header_); }
  const std::string& problem() const { return problem_; }
  std::string tensor() const { return header_.entries.empty() ? std::string() : header_.entries.back().name; }

 private:
  bool append(bj::string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool refuse(Code& code, std::string problem) {
    problem_ = std::move(problem);
    code = bj::error::not_object;
    return false;
  }
  bool begin_entry(Code& code) {
    if (!names_.insert(key_).second) return refuse(code, "'" + key_ + "' stands in the header twice");
    in_metadata_ = key_ == "__metadata__";
    if (!in_metadata_) header_.entries.emplace_back().name = key_;
    return true;
  }
  bool begin_field(Code& code) {
    if (in_metadata_) {
      for (const auto& [name, value] : header_.metadata) {
        if (name == key_) return refuse(code, "__metadata__ has '" + key_ + "' twice");
      }
      return header_.metadata.size() < 4096 || refuse(code, "__metadata__ has too many entries");
    }
    const unsigned bit = key_ == "dtype" ? 1u : key_ == "shape" ? 2u : key_ == "data_offsets" ? 4u : 0u;
    if (bit == 0) return refuse(code, "unknown field '" + key_ + "'");
    if ((seen_ & bit) != 0) return refuse(code, "field '" + key_ + "' stands there twice");
    seen_ |= bit;
    return true;
  }
  bool finish_entry(Code& code) {
    return seen_ == 7 || refuse(code, "dtype, shape or data_offsets is missing");
  }
  bool add_number(std::uint64_t value, Code& code) {
    if (!in_array_) return refuse(code, "a number where none belongs");
    if (numbers_.size() >= kMaxDimensions) return refuse(code, "field '" + key_ + "' is too long");
    numbers_.push_back(value);
    return true;
  }
  bool store_shape(Code& code) {
    std::uint64_t elements = 1;
    for (const std::uint64_t size : numbers_) {
      if (size > (std::uint64_t{1} << 62) / (elements == 0 ? 1 : elements))
        return refuse(code, "the shape is too large");
      elements *= size;
      header_.entries.back().shape.push_back(static_cast<std::int64_t>(size));
    }
    return true;
  }
  bool store_extent(Code& code) {
    if (numbers_.size() != 2 || numbers_[0] > numbers_[1])
      return refuse(code, "data_offsets is not [begin, end]");
    header_.entries.back().extent = {numbers_[0], numbers_[1]};
    return true;
  }

  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  std::string text_, key_, problem_;
  std::vector<std::uint64_t> numbers_;
  int depth_ = 0;
  unsigned seen_ = 0;  // fields of the present entry, one bit each
  bool in_array_ = false, in_metadata_ = false;
};

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text, const std::string& where) {
  bj::parse_options options;
  options.max_depth = 4;
  bj::basic_parser<Handler> parser(options);
  bj::error_code code;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), code);
  Handler& handler = parser.handler();
  if (code && handler.problem().empty()) {
    return Error{.what = "the header is not valid JSON: " + code.message(),
                 .where = where + " at byte " + std::to_string(8 + read)};
  }
  if (code) {
    return Error{.what = "the header is malformed: " + handler.problem(),
                 .where = handler.tensor().empty() ? where : where + ", tensor '" + handler.tensor() + "'"};
  }
  if (text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    return Error{.what = "the header has more than one JSON value", .where = where};
  }
  return handler.take_header();
}

}  // namespace maestrale::files
