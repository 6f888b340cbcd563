#include "events.hpp"

#include <charconv>
#include <optional>

namespace load {
namespace {

// Takes `start` and the number after it off the front of text; nothing where they are not there.
std::optional<std::uint64_t> take_number(std::string_view& text, std::string_view start) {
    if (!text.starts_with(start)) return std::nullopt;
    const auto digits = text.substr(start.size());
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text = digits.substr(std::size_t(end - digits.data()));
    return value;
}

} // namespace

const std::vector<events::arrival>& events::take(std::string_view piece, moment now, clock::duration overslept) {
    arrivals_.clear();
    held_.append(piece);
    std::size_t begin = 0;
    for (std::size_t end; (end = held_.find("\n\n", begin)) != held_.npos; begin = end + 2)
        read(std::string_view(held_).substr(begin, end - begin), now, overslept);
    held_.erase(0, begin);
    return arrivals_;
}

void events::read(std::string_view event, moment now, clock::duration overslept) {
    const auto index = take_number(event, R"(data: {"i":)");
    const auto stamp = take_number(event, R"(,"t":)");
    if (!index || !stamp || event != "}") {
        ++wrong_;
        ++next_; // one event was there, whatever is left of it
        return;
    }
    const moment sent{std::chrono::nanoseconds(*stamp)};
    if (*index > next_) {
        wrong_ += *index - next_;
    } else if (*index < next_) {
        ++wrong_;
        return; // again, or late: what is expected stays
    }
    if (sent > now || sent < last_sent_) ++wrong_;
    const bool together = now == last_came_;
    if (together && now - last_sent_ - overslept > interval_ / 2) ++wrong_; // the one before had waited for this one
    next_ = *index + 1;
    last_sent_ = sent;
    last_came_ = now;
    arrivals_.push_back({sent, now - sent});
}

void events::end() {
    if (!held_.empty()) ++wrong_;
    if (next_ < count_) wrong_ += count_ - next_;
    if (next_ > count_) ++wrong_;
}

} // namespace load
