#include "proxy/queue_place.hpp"

#include "proxy/core.hpp"

namespace scoregate::proxy {

queue_place::queue_place(core& where)
    : waiter(woken),
      core_(where),
      limit_(where.wheel, this, [](void* self) { static_cast<queue_place*>(self)->tell(); }) {}

queue_place::~queue_place() {
    if (in_ != nullptr) in_->abandon(*this);
}

base::result<bool> queue_place::ask(routing::deployment& at, const config::request_settings& settings,
                                    std::chrono::steady_clock::time_point now, std::chrono::nanoseconds waited) {
    const auto left = settings.max_queue_wait - std::chrono::floor<std::chrono::milliseconds>(waited);
    if (left.count() <= 0) {
        auto reserved = at.reserve_now(now, this);
        if (!reserved) return reserved.error();
        slot_ = std::move(*reserved);
        return true;
    }
    auto answer = at.reserve(*this, now);
    if (const auto* const refused = std::get_if<base::failure>(&answer)) return *refused;
    if (auto* const reserved = std::get_if<routing::slot>(&answer)) {
        slot_ = std::move(*reserved);
        return true;
    }
    in_ = &at;
    granted_ = false;
    longest_ = left;
    news_.emplace(core_.where());
    return false;
}

base::task<bool> queue_place::wait(bool (*pointless)(const void* who), const void* who) {
    limit_.arm(longest_);
    while (!granted_ && !pointless(who) && !limit_.fired()) co_await news_->async_wait(base::awaited);
    limit_.disarm();
    if (!granted_ && !in_->abandon(*this))
        while (!granted_) co_await news_->async_wait(base::awaited); // the grant was quicker
    in_ = nullptr;
    news_.reset();
    if (granted_) slot_ = waiter::take();
    co_return granted_;
}

void queue_place::tell() {
    if (news_) news_->tell();
}

void queue_place::woken(routing::waiter& who) noexcept { // NOLINT(bugprone-exception-escape)
    auto& place = static_cast<queue_place&>(who);
    place.core_.post([&place] {
        place.granted_ = true;
        place.tell();
    });
}

} // namespace scoregate::proxy
