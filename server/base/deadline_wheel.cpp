#include "base/deadline_wheel.hpp"

#include <algorithm>

namespace scoregate::base {

void deadline::arm(std::chrono::milliseconds after) {
    const auto tick = deadline_wheel::tick_length.count();
    // One tick more than the division says: now_ lies anywhere within the current tick.
    expiry_ =
        wheel_.now_ + static_cast<std::uint64_t>((std::max<std::int64_t>(after.count(), 0) + tick - 1) / tick) + 1;
    fired_ = false;
    if (visit_ > expiry_) {
        unlink();
        wheel_.link(*this, expiry_);
    }
}

void deadline::unlink() {
    if (visit_ == never) return;
    if (previous_)
        previous_->next_ = next_;
    else
        wheel_.slots_[visit_ % deadline_wheel::slot_count] = next_;
    if (next_) next_->previous_ = previous_;
    previous_ = next_ = nullptr;
    visit_ = never;
}

void deadline_wheel::link(deadline& which, std::uint64_t visit) {
    auto& first = slots_[visit % slot_count];
    which.visit_ = visit;
    which.previous_ = nullptr;
    which.next_ = first;
    if (first) first->previous_ = &which;
    first = &which;
}

void deadline_wheel::advance(std::chrono::milliseconds elapsed) {
    const auto target = static_cast<std::uint64_t>(elapsed / tick_length);
    while (now_ < target) visit(++now_);
}

void deadline_wheel::visit(std::uint64_t tick) {
    // Detach first: relinking below may put a deadline back into this very slot, a full turn later.
    deadline* due = nullptr;
    for (auto* each = slots_[tick % slot_count]; each != nullptr;) {
        auto* const next = each->next_;
        if (each->visit_ <= tick) {
            each->unlink();
            each->next_ = due;
            due = each;
        }
        each = next;
    }
    while (due != nullptr) {
        auto& each = *due;
        due = each.next_;
        each.next_ = nullptr;
        if (each.expiry_ == deadline::never) continue;
        if (each.expiry_ > tick) {
            link(each, each.expiry_);
            continue;
        }
        each.fired_ = true;
        link(each, tick + 1);
        each.expired_(each.owner_);
    }
}

} // namespace scoregate::base
