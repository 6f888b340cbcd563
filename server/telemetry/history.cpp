#include "telemetry/history.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <string_view>

namespace scoregate::telemetry {

namespace {

constexpr std::size_t most_kept = history::most_services + 1; // and what no service took

std::uint32_t narrow(std::uint64_t value) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

// A service that was removed and has come back counts from zero again.
std::uint32_t growth(std::uint64_t now, std::uint64_t before) { return narrow(now >= before ? now - before : now); }

base::side blame_of(base::fault kind, std::uint16_t status) {
    if (kind != base::fault::none) return base::row(kind).blame;
    if (status >= 500) return base::side::replica;
    return status >= 400 ? base::side::client : base::side::none;
}

} // namespace

std::optional<std::chrono::nanoseconds> quantile(const histogram::reading& of, const bucket_bounds& bounds,
                                                 double part) {
    std::uint64_t all = 0;
    for (const auto each : of.counts) all += each;
    if (all == 0) return std::nullopt;
    const double rank = part * static_cast<double>(all);
    double below = 0;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        const auto here = static_cast<double>(of.counts[i]);
        if (here > 0 && below + here >= rank) {
            const auto from = i == 0 ? 0.0 : static_cast<double>(bounds[i - 1].count());
            const auto to = static_cast<double>(bounds[i].count());
            const auto within = std::max(0.0, rank - below) / here;
            return std::chrono::nanoseconds(static_cast<std::int64_t>(from + (to - from) * within));
        }
        below += here;
    }
    return bounds.back();
}

void history::sample::add_to(histogram::reading& total) const {
    for (std::size_t i = 0; i < durations.size(); ++i) total.counts[i] += durations[i];
}

history::totals history::read(const service_metrics& from) {
    totals all;
    for (const auto& core : from.cores()) {
        core.request_duration.add_to(all.durations);
        core.requests.for_each([&](base::fault kind, std::uint16_t status, std::uint64_t count) {
            const auto blame = blame_of(kind, status);
            all.requests += count;
            if (blame == base::side::client)
                all.client_errors += count;
            else if (blame != base::side::none)
                all.errors += count;
        });
    }
    return all;
}

// Which services have a history: those that have one already, then others by name while there is room.
void history::choose(std::span<const source> sources) {
    std::set<std::string_view> there;
    for (const auto& each : sources) there.insert(each.of->service());
    std::erase_if(services_, [&](const auto& each) { return !there.contains(each.first); });
    left_out_ = 0;
    for (const auto name : there) {
        if (services_.contains(name)) continue;
        if (services_.size() < most_kept)
            services_.emplace(name, samples{});
        else
            ++left_out_;
    }
}

void history::observe(std::span<const source> sources, clock::time_point now) {
    // Who was left out until now has counted for who knows how long.
    const bool all_were_kept = left_out_ == 0;
    choose(sources);
    ++turn_;
    lengths_.push_back(now - last_at_);
    last_at_ = now;
    if (lengths_.size() > most_samples) lengths_.pop_front();
    for (auto& [name, kept] : services_) {
        kept.emplace_back();
        if (kept.size() > most_samples) kept.pop_front();
    }

    std::map<std::pair<std::string, std::string>, totals> read_now;
    for (const auto& each : sources) {
        const auto found = services_.find(each.of->service());
        if (found == services_.end()) continue;
        const auto all = read(*each.of);
        const std::pair key{each.of->service(), each.of->deployment()};
        const auto known = before_.find(key);
        totals before;
        if (known != before_.end())
            before = known->second;
        else if (!all_were_kept)
            before = all;
        auto& newest = found->second.back();
        for (std::size_t i = 0; i < newest.durations.size(); ++i)
            newest.durations[i] += growth(all.durations.counts[i], before.durations.counts[i]);
        newest.requests += growth(all.requests, before.requests);
        newest.errors += growth(all.errors, before.errors);
        newest.client_errors += growth(all.client_errors, before.client_errors);
        newest.queued += narrow(each.queued);
        std::int64_t in_flight = 0;
        for (const auto& core : each.of->cores()) in_flight += core.in_flight.value();
        newest.in_flight += narrow(static_cast<std::uint64_t>(std::max<std::int64_t>(in_flight, 0)));
        read_now.emplace(key, all);
    }
    before_ = std::move(read_now);
}

history::summary history::last(const samples& of, std::size_t count) const {
    summary all;
    histogram::reading durations;
    count = std::min(count, of.size());
    for (std::size_t back = count; back > 0; --back) {
        const auto& each = of[of.size() - back];
        each.add_to(durations);
        all.length += lengths_[lengths_.size() - back];
        all.requests += each.requests;
        all.errors += each.errors;
        all.client_errors += each.client_errors;
        all.queued = std::max(all.queued, each.queued);
        all.in_flight = each.in_flight;
    }
    all.p50 = quantile(durations, request_bounds, 0.5);
    all.p99 = quantile(durations, request_bounds, 0.99);
    return all;
}

} // namespace scoregate::telemetry
