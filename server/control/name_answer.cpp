#include "control/name_answer.hpp"

#include <algorithm>
#include <utility>

namespace scoregate::control {

namespace {

constexpr std::chrono::seconds longest_pause{5}; // between two questions that fail

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

name_record::outcome name_record::take(name_answer answer, time_point now, const limits& within) {
    answered_ = true;
    if (answer.what == name_answer::kind::found) return take_found(std::move(answer), now, within);

    due_ = now + std::min(std::chrono::seconds(1) * (1U << std::min(failures_, 3U)), longest_pause);
    const auto told = failures_++ == 0 ? news::trouble : news::nothing;
    if (answer.what == name_answer::kind::failed || !known()) return {false, told};
    if (!missing_since_) missing_since_ = now;
    if (now - *missing_since_ < grace) return {false, told};
    addresses_.clear();
    targets_.clear();
    return {true, news::removed};
}

name_record::outcome name_record::take_found(name_answer answer, time_point now, const limits& within) {
    for (const auto& each : addresses_)
        if (each.is_v4() ? answer.lacks_v4 : answer.lacks_v6) answer.addresses.push_back(each);
    missing_since_.reset();
    const auto told = std::exchange(failures_, 0) != 0 ? news::recovery : news::nothing;
    due_ = now + std::clamp(answer.ttl, within.min_ttl, within.max_ttl);
    const bool other_addresses = adopt(addresses_, without_repetitions(answer.addresses));
    const bool other_targets = adopt(targets_, without_repetitions(answer.targets));
    return {other_addresses || other_targets, told};
}

} // namespace scoregate::control
