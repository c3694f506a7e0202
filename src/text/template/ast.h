// The syntax tree of a template: one node type, owned downwards, never changed after parsing.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/template/value.h"

namespace maestrale::text::jinja {

enum class Op : std::uint8_t {
  // expressions; what `children` holds stands behind each
  kConst,        // value
  kName,         // name
  kAttribute,    // object; text
  kItem,         // object, key
  kSlice,        // object, start?, stop?, step?
  kCall,         // callee; arguments
  kFilter,       // input (absent in a filter block); text, arguments
  kTest,         // subject; text, arguments
  kNot,          // operand
  kNegate,       // operand
  kPlus,         // operand
  kAnd,          // left, right
  kOr,           // left, right
  kConditional,  // condition, then, else?
  kCompare,      // first, then one operand for each of `operators`
  kBinary,       // left, right; operators[0]
  kConcat,       // operands
  kList,
  kTuple,
  kDict,  // key, value, key, value …
  // statements
  kText,         // text
  kPrint,        // expression
  kFor,          // target, iterable, condition?; blocks: body, else
  kIf,           // conditions; one block each, then the else block
  kSet,          // target, expression
  kSetBlock,     // target, filter?; block
  kMacro,        // defaults of the last parameters; text, parameters; block
  kCallBlock,    // call, defaults …; parameters; block
  kFilterBlock,  // filter; block
  kWith,         // target, expression, target, expression …; block
  kScope,        // generation: block
  kBreak,
  kContinue,
  kDo,  // expression
};

enum class Operator : std::uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

struct Node;
using NodePtr = std::unique_ptr<const Node>;
using Block = std::vector<NodePtr>;

struct ArgumentNodes {
  std::vector<NodePtr> positional;
  std::vector<std::pair<std::string, NodePtr>> named;
  NodePtr star;         // *args
  NodePtr double_star;  // **kwargs
};

struct Node {
  Op op = Op::kText;
  int line = 0;
  int depth = 1;  // of the tree below, bounded by the parser
  int name = -1;  // kName, kMacro: index into Program::names
  bool recursive = false;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;  // macros and call blocks
  Value value = {};
  std::string text = {};
  std::vector<NodePtr> children = {};
  std::vector<Block> blocks = {};
  std::vector<Operator> operators = {};
  std::vector<int> parameters = {};  // names
  ArgumentNodes arguments = {};
};

struct Program {
  std::string where;  // names the template in errors
  std::vector<std::string> names;
  std::map<std::string, int, std::less<>> name_index;
  Block body;
};

}  // namespace maestrale::text::jinja
