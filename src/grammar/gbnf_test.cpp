#include <gtest/gtest.h>

#include "grammar/test_support.h"

namespace maestrale::grammar {
namespace {

struct Sample {
  const char* grammar;
  std::vector<std::string> good, bad;
};

// The forms of llama.cpp's own samples.
const Sample kSamples[] = {
    {"root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "ye", "yesno"}},
    {"# a comment\nroot  ::= (expr \"=\" ws term \"\\n\")+\nexpr  ::= term ([-+*/] term)*\n"
     "term  ::= ident | num | \"(\" ws expr \")\" ws\nident ::= [a-z] [a-z0-9_]* ws\nnum   ::= [0-9]+ ws\nws "
     "   ::= [ \\t\\n]*\n",
     {"a=b\n", "(1+2)*x = 7\nb=c\n"},
     {"a=", "a=b", "A=b\n"}},
    {"root ::= \"1. \" move \" \" move \"\\n\"\nmove ::= (pawn | castle) [+#]?\npawn ::= ([a-h] \"x\")? "
     "[a-h] [1-8] (\"=\" [NBQR])?\n"
     "castle ::= \"O-O\" \"-O\"?",
     {"1. e4 e5\n", "1. exd5 O-O-O+\n"},
     {"1. e9 e5\n"}},
    {"root ::= item+\nitem ::= \"- \" [^\\r\\n\\x0b\\x0c\\x85\\u2028\\u2029]+ \"\\n\"",
     {"- one\n- tw\xc3\xb6\n"},
     {"- \n", "one\n"}},
    {"root ::= [\xe3\x81\x81-\xe3\x82\x9f]{2,3}",
     {"\xe3\x81\x82\xe3\x81\x84"},
     {"\xe3\x81\x82", "ab", "\xe3\x81\x82\xe3\x81"}},
    {"root ::= \"a\"{2} \"b\"{0,1} \"c\"{1,} | (\n \"x\" |\n \"y\"\n)",
     {"aac", "aabcc", "x", "y"},
     {"ac", "aabb", "xy"}},
    {"root ::= a\na ::= \"\" | \"[\" a \"]\" a", {"", "[]", "[[]][]"}, {"[", "]["}},
    {"root ::= ((\"a\"?)*)* \"b\"", {"b", "aaab"}, {"a", ""}},
    {"root ::= . \"\\x41\\u00e9\\U0001F600\\\"\\\\\"", {"\nA\xc3\xa9\xf0\x9f\x98\x80\"\\"}, {"A"}},
};

TEST(Gbnf, Samples) {
  const auto tokenizer = test_tokenizer();
  const auto tokens = make_token_table(*tokenizer);
  for (const Sample& sample : kSamples) {
    const auto grammar = compile_gbnf(sample.grammar);
    ASSERT_TRUE(grammar) << grammar.error().render();
    for (const std::string& text : sample.good)
      EXPECT_TRUE(accepts(*grammar, tokens, text)) << sample.grammar << ": " << text;
    for (const std::string& text : sample.bad)
      EXPECT_FALSE(accepts(*grammar, tokens, text)) << sample.grammar << ": " << text;
  }
}

TEST(Gbnf, WrongGrammarsHaveOneClearError) {
  const std::pair<const char*, const char*> cases[] = {
      {"root := \"a\"", "`::=`"},
      {"a ::= \"a\"", "no rule 'root'"},
      {"root ::= b", "'b' is not defined"},
      {"root ::= \"a", "closing quote"},
      {"root ::= [a", "`]`"},
      {"root ::= (\"a\"", "`)`"},
      {"root ::= \"a\" root2\nroot2 ::= root2 \"b\" | \"c\"", "left recursion"},
      {"root ::= root", "no text"},
      {"root ::= \"a\"\nroot ::= \"b\"", "defined twice"},
      {"root ::= \"\\q\"", "no meaning"},
      {"root ::= e root \"a\" | \"b\"\ne ::= \"x\"?", "left recursion"},
      {"root ::= <think>", "not supported"},
      {"root ::= \"a\"{3,2}", "out of order"},
      {"", "no rule 'root'"}};
  for (const auto& [source, part] : cases) {
    const auto grammar = compile_gbnf(source);
    ASSERT_FALSE(grammar) << source;
    EXPECT_NE(grammar.error().render().find(part), std::string::npos) << grammar.error().render();
  }
}

TEST(Gbnf, SizeIsBounded) {
  EXPECT_FALSE(compile_gbnf("root ::= " + std::string(60'000, '(')));
  EXPECT_FALSE(compile_gbnf("root ::= \"a\"" + std::string(60'000, '*')));
  for (const char* source :
       {"root ::= \"a\"{1,100000000}", "root ::= (((\"a\"{1000}){1000}){1000}){1000}",
        "root ::= ((\"\"{1000000000}){1000000000}){1000000000}", "root ::= (\"a\"? \"b\"?){100000}"}) {
    const auto grammar = compile_gbnf(source);
    ASSERT_FALSE(grammar) << source;
    EXPECT_EQ(grammar.error().kind, ErrorKind::kResource) << grammar.error().render();
  }
  EXPECT_TRUE(compile_gbnf("root ::= [a-z]{1,50000}"));
}

}  // namespace
}  // namespace maestrale::grammar
