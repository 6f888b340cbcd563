#include "control/name_answer.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace scoregate::control {

namespace {

constexpr std::chrono::seconds longest_pause{5}; // between two questions that fail

// 1, 2, 4, 5, 5 s and so on.
std::chrono::seconds pause_after(unsigned earlier_failures) {
    return std::min(std::chrono::seconds(1) * (1U << std::min(earlier_failures, 3U)), longest_pause);
}

// The same in another order is no news.
template <class T>
bool adopt(std::vector<T>& known, std::vector<T> found) {
    if (std::is_permutation(known.begin(), known.end(), found.begin(), found.end())) return false;
    known = std::move(found);
    return true;
}

template <class T>
std::vector<T> without_repetitions(const std::vector<T>& list) {
    std::vector<T> once;
    for (const auto& each : list)
        if (std::find(once.begin(), once.end(), each) == once.end()) once.push_back(each);
    return once;
}

} // namespace

bool restrict_to(std::size_t most, std::vector<service_target>& targets) {
    const auto place = [](const service_target& each) { return std::tie(each.host, each.port); };
    std::ranges::sort(targets, {}, place);
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    if (targets.size() <= most) return false;
    targets.resize(most);
    return true;
}

name_record::outcome name_record::take(name_answer answer, time_point now, const limits& within) {
    answered_ = true;
    last_ = answer.what;
    if (answer.what == name_answer::kind::found) return take_found(std::move(answer), now, within);

    due_ = now + pause_after(failures_);
    const bool first = failures_++ == 0;
    const auto denied = [&](const auto& each) { return each.is_v4() ? !answer.lacks_v4 : !answer.lacks_v6; };
    const bool denies = answer.what == name_answer::kind::none &&
                        (!targets_.empty() || std::any_of(addresses_.begin(), addresses_.end(), denied));
    if (!denies) {
        missing_since_.reset(); // the grace counts only time in which DNS says so
        return {false, first ? news::trouble : news::nothing};
    }
    if (!missing_since_) missing_since_ = now;
    if (now - *missing_since_ < grace) return {false, first ? news::missing : news::nothing};
    std::erase_if(addresses_, denied);
    targets_.clear();
    missing_since_.reset();
    return {true, news::removed};
}

name_record::outcome name_record::take_found(name_answer answer, time_point now, const limits& within) {
    for (const auto& each : addresses_)
        if (each.is_v4() ? answer.lacks_v4 : answer.lacks_v6) answer.addresses.push_back(each);
    missing_since_.reset();
    gone_since_.reset();
    const auto told = std::exchange(failures_, 0) != 0 ? news::recovery : news::nothing;
    due_ = now + std::clamp(answer.ttl, within.min_ttl, within.max_ttl);
    if (answer.lacks_v4 || answer.lacks_v6)
        due_ = std::min(due_, now + pause_after(lacks_++));
    else
        lacks_ = 0;
    const bool other_addresses = adopt(addresses_, without_repetitions(answer.addresses));
    const bool other_targets = adopt(targets_, without_repetitions(answer.targets));
    return {other_addresses || other_targets, told};
}

bool name_record::defer(time_point now, bool gone) {
    if (targets_.empty()) return false;
    missing_since_.reset();
    if (!gone) gone_since_.reset();
    if (gone && !gone_since_) gone_since_ = now;
    if (gone_since_ && now - *gone_since_ >= grace) return false;
    due_ = now + pause_after(0);
    return true;
}

} // namespace scoregate::control
