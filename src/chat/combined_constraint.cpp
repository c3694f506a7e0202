#include "chat/combined_constraint.h"

#include <algorithm>

#include "chat/token_mask.h"

namespace maestrale::chat {
namespace {

using Part = std::unique_ptr<engine::TokenConstraint>;

class Matching final : public engine::TokenConstraint {
 public:
  explicit Matching(grammar::Matcher matcher) : matcher_(std::move(matcher)) {}
  void mask(TokenMask mask) override { matcher_.mask(mask); }
  bool accept(text::TokenId token) override { return matcher_.accept(token); }
  bool finished() const override { return matcher_.finished(); }

 private:
  grammar::Matcher matcher_;
};

class AnyOf final : public engine::TokenConstraint {
 public:
  explicit AnyOf(std::vector<Part> parts) : parts_(std::move(parts)) {}

  void mask(TokenMask mask) override {
    if (parts_.size() == 1) return parts_.front()->mask(mask);
    allowed_.assign(mask.size(), 0);
    for (const Part& part : parts_) {
      scratch_.assign(mask.begin(), mask.end());
      part->mask(scratch_);
      for (std::size_t i = 0; i < mask.size(); ++i) allowed_[i] |= scratch_[i];
    }
    std::copy(allowed_.begin(), allowed_.end(), mask.begin());
  }

  bool accept(text::TokenId token) override {
    std::vector<Part> alive;
    for (Part& part : parts_) {
      if (part->accept(token)) alive.push_back(std::move(part));
    }
    if (alive.empty()) {
      return false;  // each of them is as it was
    }
    parts_ = std::move(alive);
    return true;
  }

  bool finished() const override {
    return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part->finished(); });
  }

 private:
  std::vector<Part> parts_;
  std::vector<std::uint64_t> allowed_, scratch_;
};

class BothOf final : public engine::TokenConstraint {
 public:
  BothOf(Part one, Part other) : one_(std::move(one)), other_(std::move(other)) {}

  void mask(TokenMask mask) override {
    scratch_.assign(mask.begin(), mask.end());
    one_->mask(mask);
    other_->mask(scratch_);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] &= scratch_[i];
  }
  bool accept(text::TokenId token) override { return one_->accept(token) && other_->accept(token); }
  bool finished() const override { return one_->finished() || other_->finished(); }

 private:
  Part one_, other_;
  std::vector<std::uint64_t> scratch_;
};

}  // namespace

std::unique_ptr<engine::TokenConstraint> matching(grammar::Matcher matcher) {
  return std::make_unique<Matching>(std::move(matcher));
}

std::unique_ptr<engine::TokenConstraint> any_of(std::vector<std::unique_ptr<engine::TokenConstraint>> parts) {
  return std::make_unique<AnyOf>(std::move(parts));
}

std::unique_ptr<engine::TokenConstraint> both_of(std::unique_ptr<engine::TokenConstraint> one,
                                                 std::unique_ptr<engine::TokenConstraint> other) {
  return std::make_unique<BothOf>(std::move(one), std::move(other));
}

}  // namespace maestrale::chat
